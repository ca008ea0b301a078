package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Kinds of events.
const (
	EventQuery  = "query"  // somebody asked
	EventPut    = "put"    // a record came
	EventDelete = "delete" // a record went
	EventRefuse = "refuse" // a signed update was refused
)

// Event is one line of what happened at a name.
type Event struct {
	Time      time.Time `json:"time"`
	Kind      string    `json:"kind"`
	Name      string    `json:"name"`                // lower case, no final dot
	Type      string    `json:"type"`                // such as TXT
	Client    string    `json:"client,omitempty"`    // address, as far as the server's privacy setting lets it be known
	Transport string    `json:"transport,omitempty"` // of a query: udp, tcp or tls
	Rcode     string    `json:"rcode,omitempty"`     // of a query or a refusal: NOERROR, NXDOMAIN, …
	Answers   []string  `json:"answers,omitempty"`   // of a query: type and data of each record in the answer
	More      bool      `json:"more,omitempty"`      // there were more answers than are remembered
	Truncated bool      `json:"truncated,omitempty"` // the client was told to ask again over TCP
	Value     string    `json:"value,omitempty"`     // of a change
	By        string    `json:"by,omitempty"`        // of a change: which token, key or account
	Problem   string    `json:"problem,omitempty"`   // of a refusal: why
}

// Events is the body of the reply to GET /v1/queries.
type Events struct {
	Name    string  `json:"name,omitempty"` // that was asked for
	Events  []Event `json:"events"`         // the latest first; never null
	Skipped uint64  `json:"skipped"`        // queries not remembered since the server's start, for there were too many at once
}

// Events returns what happened at a name, the latest first: who asked for it,
// what they were told, and which records came and went. limit is how many to
// return at most; 0 leaves it to the server.
func (c *Client) Events(ctx context.Context, name string) (Events, error) {
	var reply Events
	err := c.call(ctx, http.MethodGet, []string{"queries"}, url.Values{"name": {name}}, nil, http.StatusOK, &reply)
	return reply, err
}
