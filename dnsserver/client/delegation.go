package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// Registration is the body of POST /v1/delegations: what to register.
type Registration struct {
	Domain    string   `json:"domain"`               // such as www.example.com or *.example.com; a domain is registered once
	Subdomain string   `json:"subdomain,omitempty"`  // the label, or labels, to use; empty for a random one
	Zone      string   `json:"zone,omitempty"`       // of the server's zones; empty for its first
	AllowFrom []string `json:"allow_from,omitempty"` // networks that may update over the acme-dns API; none means all
}

// Delegation is a domain whose validation records are kept at the server.
type Delegation struct {
	Domain    string    `json:"domain"`             // lower case, no final dot, no "*."
	Name      string    `json:"name"`               // _acme-challenge. and the domain: where the CNAME has to be
	Target    string    `json:"target"`             // where it has to lead: a name in a zone of the server
	Subdomain string    `json:"subdomain"`          // Target without its zone
	Zone      string    `json:"zone"`               // of the server
	AllowFrom []string  `json:"allow_from"`         // networks that may update over the acme-dns API; never null
	Created   time.Time `json:"created"`            // when it was registered
	Updated   time.Time `json:"updated"`            // when a record came last; zero for never
	Values    []string  `json:"values"`             // TXT values there are now; never null
	Username  string    `json:"username,omitempty"` // of the acme-dns API
	Password  string    `json:"password,omitempty"` // of the acme-dns API; only when it is registered or rotated
}

// Delegations is the body of the reply to GET /v1/delegations.
type Delegations struct {
	Delegations []Delegation `json:"delegations"` // by domain; never null
}

// Verification is the body of the reply to GET /v1/delegations/{domain}/check:
// whether the world's servers lead the domain's validation name here.
type Verification struct {
	Domain   string       `json:"domain"`
	Name     string       `json:"name"`              // that CAs ask for
	Target   string       `json:"target"`            // where it should lead; empty when the domain is not registered
	Verified bool         `json:"verified"`          // every server leads here
	Zone     string       `json:"zone"`              // the public zone that Name is in; empty when it could not be found
	Servers  []NameServer `json:"servers"`           // those of the zone, each address; never null
	Problem  string       `json:"problem,omitempty"` // what is missing, in a sentence
	Fix      string       `json:"fix,omitempty"`     // what to do
	Checked  time.Time    `json:"checked"`
}

// NameServer is one authoritative server and what it says.
type NameServer struct {
	Host    string `json:"host"`
	Address string `json:"address"`
	Leads   bool   `json:"leads"`  // here
	Answer  string `json:"answer"` // what it said: a CNAME, NS, an rcode, or why it said nothing
}

// Register registers a domain and returns where its validation name has to
// lead. The password of the acme-dns API is in this reply only. A domain that is
// registered already gives an *Error with status 409.
func (c *Client) Register(ctx context.Context, r Registration) (Delegation, error) {
	var d Delegation
	body, err := json.Marshal(r)
	if err != nil {
		return d, fmt.Errorf("register %s: %w", r.Domain, err)
	}
	err = c.call(ctx, http.MethodPost, []string{"delegations"}, nil, body, http.StatusCreated, &d)
	return d, err
}

// Delegation returns what is registered of a domain; an *Error with status 404
// when nothing is.
func (c *Client) Delegation(ctx context.Context, domain string) (Delegation, error) {
	var d Delegation
	err := c.call(ctx, http.MethodGet, []string{"delegations", domain}, nil, nil, http.StatusOK, &d)
	return d, err
}

// Delegations returns all that the token may see, by domain.
func (c *Client) Delegations(ctx context.Context) ([]Delegation, error) {
	var d Delegations
	err := c.call(ctx, http.MethodGet, []string{"delegations"}, nil, nil, http.StatusOK, &d)
	return d.Delegations, err
}

// Unregister forgets a domain, its account and its records. One that is not
// registered is no error.
func (c *Client) Unregister(ctx context.Context, domain string) error {
	return c.call(ctx, http.MethodDelete, []string{"delegations", domain}, nil, nil, http.StatusNoContent, nil)
}

// Rotate gives a registered domain another password for the acme-dns API; the
// old one stops working.
func (c *Client) Rotate(ctx context.Context, domain string) (Delegation, error) {
	var d Delegation
	err := c.call(ctx, http.MethodPost, []string{"delegations", domain, "rotate"}, nil, nil, http.StatusOK, &d)
	return d, err
}

// Verify asks the world's authoritative servers whether the validation name of
// a domain leads to the server. A domain need not be registered.
func (c *Client) Verify(ctx context.Context, domain string) (Verification, error) {
	var v Verification
	err := c.call(ctx, http.MethodGet, []string{"delegations", domain, "check"}, nil, nil, http.StatusOK, &v)
	return v, err
}
