package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"
)

// Settled is the body of the reply to GET /v1/settled/{name}, and to a change
// with ?wait= that a secondary does not have yet.
type Settled struct {
	Zone    string `json:"zone"`    // that the name is in, no final dot
	Serial  uint32 `json:"serial"`  // that is waited for
	Settled bool   `json:"settled"` // every secondary has it
	Lagging []Lag  `json:"lagging"` // those that have not; never null
}

// Lag is a secondary that does not have a change.
type Lag struct {
	Secondary string `json:"secondary"`         // its name in the server's configuration
	Address   string `json:"address"`           // where it is asked
	Serial    uint32 `json:"serial,omitempty"`  // that it answers with; absent when it has not answered
	Problem   string `json:"problem,omitempty"` // why it cannot be asked, or be told
}

// Settle waits until every secondary of the zone that name is in has the last
// change, at most for patience, and returns those that have not. A server that
// has no such wait gives offered false, and no error.
func (c *Client) Settle(ctx context.Context, name string, patience time.Duration) (lagging []Lag, offered bool, err error) {
	var reply Settled
	err = c.do(ctx, http.MethodGet, "settled", name, url.Values{"wait": {patience.String()}}, nil, http.StatusOK, &reply)
	var answer *Error
	if errors.As(err, &answer) && answer.Status == http.StatusNotFound {
		return nil, false, nil
	}
	return reply.Lagging, err == nil, err
}
