package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Record is one record of a name: an element of [Records], and the body of PUT
// /v1/records/{name}.
type Record struct {
	Type       string     `json:"type"`                 // such as TXT, or TYPE65534
	TTL        uint32     `json:"ttl,omitempty"`        // seconds; 0 in a PUT means the zone's for records that come and go
	Value      string     `json:"value"`                // the text of a TXT; of others the data as in a zone file, names absolute
	ExpiresAt  *time.Time `json:"expires_at,omitempty"` // when the record goes by itself; absent for never
	Configured bool       `json:"configured,omitempty"` // it is in the server's configuration, and stays
}

// Records is the body of the reply to GET /v1/records/{name}, and an element of
// [RecordList].
type Records struct {
	Name    string   `json:"name"`    // lower case, no final dot
	Records []Record `json:"records"` // never null
}

// RecordList is the body of the reply to GET /v1/records.
type RecordList struct {
	Names []Records `json:"names"`           // never null, by name
	After string    `json:"after,omitempty"` // what to give as after for the next names; absent when there is none
}

// PutRecord makes a record one of those of its type at name and leaves the
// others alone; of a CNAME there is one. Doing it again changes its TTL and
// expiry. When it returns nil the record is durable and in the server's next
// answer. A server that refuses gives an *Error.
func (c *Client) PutRecord(ctx context.Context, name string, r Record) error {
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("put a record at %s: %w", name, err)
	}
	return c.do(ctx, http.MethodPut, "records", name, nil, body, http.StatusNoContent, nil)
}

// DeleteRecord takes the record of a type with a value away; an empty value
// means all of the type. What is not there is no error. A server that refuses
// gives an *Error.
func (c *Client) DeleteRecord(ctx context.Context, name, rrtype, value string) error {
	query := url.Values{"type": {rrtype}}
	if value != "" {
		query.Set("value", value)
	}
	return c.do(ctx, http.MethodDelete, "records", name, query, nil, http.StatusNoContent, nil)
}

// Records returns all records at name, configured ones included. A server that
// refuses gives an *Error.
func (c *Client) Records(ctx context.Context, name string) ([]Record, error) {
	var reply Records
	if err := c.do(ctx, http.MethodGet, "records", name, nil, nil, http.StatusOK, &reply); err != nil {
		return nil, err
	}
	return reply.Records, nil
}
