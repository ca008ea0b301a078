package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Status is the body of the reply to GET /v1/status.
type Status struct {
	Since   time.Time `json:"since"` // when the server started
	Zones   []Zone    `json:"zones"` // by name; never null
	Storage Storage   `json:"storage"`
}

// Zone is one zone of the server.
type Zone struct {
	Name    string `json:"name"` // lower case, no final dot
	Serial  uint32 `json:"serial"`
	Queries uint64 `json:"queries"` // answered since the start
}

// Storage is how the records are kept.
type Storage struct {
	Available bool   `json:"available"`          // changes are taken
	Problem   string `json:"problem,omitempty"`  // why they are not
	Sequence  uint64 `json:"sequence,omitempty"` // of the last change that this server shows; 0 unless servers share the storage
	Servers   []Peer `json:"servers"`            // that share it, by name; none when it is this server's alone; never null
}

// Peer is one of the servers that share a storage.
type Peer struct {
	Name     string    `json:"name"`
	Here     bool      `json:"here"`     // it is the one that replies
	Alive    bool      `json:"alive"`    // it was seen lately
	Seen     time.Time `json:"seen"`     // when it was seen last
	Sequence uint64    `json:"sequence"` // of the last change that it showed then
	Behind   uint64    `json:"behind"`   // how many more were stored then
}

// Status returns how the server is.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	err := c.call(ctx, http.MethodGet, []string{"status"}, url.Values{}, nil, http.StatusOK, &s)
	return s, err
}
