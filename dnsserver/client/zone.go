package client

import (
	"context"
	"net/http"
	"time"
)

// ZoneKeys is the body of the replies to GET /v1/zones/{zone}/keys and POST
// /v1/zones/{zone}/rollover: the keys of a signed zone.
type ZoneKeys struct {
	Zone string    `json:"zone"` // lower case, no final dot
	Keys []ZoneKey `json:"keys"` // never null
	DS   []string  `json:"ds"`   // records that the parent zone should have; never null
}

// ZoneKey is one key of a signed zone.
type ZoneKey struct {
	Tag    uint16    `json:"tag"`
	State  string    `json:"state"` // published, waiting, seen, active or retired
	Since  time.Time `json:"since"` // when it came to that
	Here   bool      `json:"here"`  // the server that replies has its private half
	DNSKEY string    `json:"dnskey"`
	DS     string    `json:"ds"`
}

// ZoneKeys returns the keys of a signed zone. A server that refuses gives an
// *Error.
func (c *Client) ZoneKeys(ctx context.Context, zone string) (ZoneKeys, error) {
	var reply ZoneKeys
	err := c.call(ctx, http.MethodGet, []string{"zones", zone, "keys"}, nil, nil, http.StatusOK, &reply)
	return reply, err
}

// RollOver begins the way to another key of a signed zone. A zone that is on
// such a way gives an *Error with status 409.
func (c *Client) RollOver(ctx context.Context, zone string) (ZoneKeys, error) {
	var reply ZoneKeys
	err := c.call(ctx, http.MethodPost, []string{"zones", zone, "rollover"}, nil, nil, http.StatusOK, &reply)
	return reply, err
}
