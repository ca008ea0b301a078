// Package client talks to the HTTP API of a certificate-dns server: it puts,
// deletes and lists TXT values and CNAMEs.
//
// It is not the server and links none of it; the JSON types of the API live
// here and the server imports them. Its invariant: the token is sent to the
// server and appears nowhere else, in no error and no log.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// maxReply bounds what is read of a reply, in bytes: 64 KiB of values, each
// byte escaped in JSON, and room.
const maxReply = 1 << 20

// PutRequest is the body of PUT /v1/txt/{name} and of PUT /v1/cname/{name}.
type PutRequest struct {
	Value string `json:"value"`
}

// TXT is the body of the reply to GET /v1/txt/{name}.
type TXT struct {
	Name   string   `json:"name"`   // lower case, no final dot
	Values []string `json:"values"` // never null
}

// CNAME is the body of the reply to GET /v1/cname/{name}.
type CNAME struct {
	Name  string `json:"name"`  // lower case, no final dot
	Value string `json:"value"` // where it leads, no final dot; empty without a CNAME
}

// ErrorReply is the body of every reply with a status of 400 and above.
type ErrorReply struct {
	Error string `json:"error"` // what happened, what to do
}

// Client talks to one server with one token. It is safe for concurrent use.
type Client struct {
	base  *url.URL
	token bearer
	http  *http.Client
}

// bearer reveals a token when called, and does not print it: fmt looks into a
// string in an unexported field, and past its String method, not into this.
type bearer func() string

func (bearer) String() string       { return "[redacted]" }
func (bearer) GoString() string     { return "[redacted]" }
func (bearer) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// New returns a client of the server at baseURL, such as
// https://auth.example.com or http://127.0.0.1:8053. A nil hc means
// http.DefaultClient. It sends nothing.
func New(baseURL, token string, hc *http.Client) (*Client, error) {
	base, err := url.Parse(baseURL)
	switch {
	case err != nil:
		return nil, errors.New("the responder's URL cannot be read; write it like https://auth.example.com")
	case base.User != nil:
		return nil, errors.New("the responder's URL holds a user name or password; remove it, the token is enough")
	case base.Scheme != "https" && base.Scheme != "http" || base.Host == "":
		return nil, fmt.Errorf("the responder's URL %q has no http or https and host; write it like https://auth.example.com", baseURL)
	case base.RawQuery != "" || base.Fragment != "":
		return nil, fmt.Errorf("the responder's URL %q has a query or fragment; remove it", baseURL)
	case token == "":
		return nil, errors.New("the responder's token is empty")
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return nil, errors.New("the responder's token holds a space or line feed; trim it")
	}
	if hc == nil {
		hc = http.DefaultClient
	}
	return &Client{base, func() string { return token }, hc}, nil
}

// Put makes value one of the TXT values at name and leaves the others alone.
// Doing it again changes nothing. When it returns nil the value is durable and
// in the server's next answer. A server that refuses gives an *Error.
func (c *Client) Put(ctx context.Context, name, value string) error {
	if !utf8.ValidString(value) {
		return fmt.Errorf("put TXT at %s: the value is not UTF-8, which JSON cannot carry", name)
	}
	body, err := json.Marshal(PutRequest{value})
	if err != nil {
		return fmt.Errorf("put TXT at %s: %w", name, err)
	}
	return c.do(ctx, http.MethodPut, "txt", name, nil, body, http.StatusNoContent, nil)
}

// Delete takes value away from the TXT values at name and leaves the others
// alone. A value that is not there is no error. A server that refuses gives an
// *Error.
func (c *Client) Delete(ctx context.Context, name, value string) error {
	return c.do(ctx, http.MethodDelete, "txt", name, url.Values{"value": {value}}, nil, http.StatusNoContent, nil)
}

// Values returns the TXT values at name, or an empty slice. A server that
// refuses gives an *Error.
func (c *Client) Values(ctx context.Context, name string) ([]string, error) {
	var reply TXT
	if err := c.do(ctx, http.MethodGet, "txt", name, nil, nil, http.StatusOK, &reply); err != nil {
		return nil, err
	}
	return reply.Values, nil
}

// PutCNAME makes name an alias of target, in the place of another CNAME that was
// put there before. When it returns nil it is durable and in the server's next
// answer. A server that refuses, for other records are at the name, gives an
// *Error.
func (c *Client) PutCNAME(ctx context.Context, name, target string) error {
	body, err := json.Marshal(PutRequest{target})
	if err != nil {
		return fmt.Errorf("put CNAME at %s: %w", name, err)
	}
	return c.do(ctx, http.MethodPut, "cname", name, nil, body, http.StatusNoContent, nil)
}

// DeleteCNAME takes the CNAME at name away if it leads to target. One that is not
// there is no error. A server that refuses gives an *Error.
func (c *Client) DeleteCNAME(ctx context.Context, name, target string) error {
	return c.do(ctx, http.MethodDelete, "cname", name, url.Values{"value": {target}}, nil, http.StatusNoContent, nil)
}

func (c *Client) do(ctx context.Context, method, kind, name string, query url.Values, body []byte, want int, into any) error {
	if strings.Trim(name, ".") == "" {
		return fmt.Errorf("%s %s: the name is empty", method, strings.ToUpper(kind))
	}
	return c.call(ctx, method, []string{kind, name}, query, body, want, into)
}

// call sends one request to a path below /v1 and reads the reply into what into
// points to.
func (c *Client) call(ctx context.Context, method string, path []string, query url.Values, body []byte, want int, into any) error {
	target := c.base.JoinPath("v1")
	for _, part := range path {
		target = target.JoinPath(url.PathEscape(part))
	}
	shown := target.String()
	target.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, shown, err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token())
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var urlErr *url.Error
		if errors.As(err, &urlErr) {
			err = urlErr.Err // what it adds is said below, without the query
		}
		return fmt.Errorf("%s %s: %w", method, shown, err)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	err = errors.Join(err, resp.Body.Close())
	switch {
	case resp.StatusCode != want:
		return &Error{Status: resp.StatusCode, Method: method, URL: shown, Message: message(text)}
	case err != nil:
		return fmt.Errorf("%s %s: read the reply: %w", method, shown, err)
	case into == nil:
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s %s: the reply is not what certificate-dns sends: %w", method, shown, err)
	}
	return nil
}

// message is what a reply says: the server's own words, or the start of
// whatever else came, such as a proxy's page.
func message(body []byte) string {
	var reply ErrorReply
	if json.Unmarshal(body, &reply) == nil && reply.Error != "" {
		return reply.Error
	}
	const most = 200
	text := strings.Join(strings.Fields(strings.ToValidUTF8(string(body), "?")), " ")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// Error is a reply that is not success.
type Error struct {
	Status  int    // the HTTP status, such as 403
	Method  string // of the request
	URL     string // of the request, without its query
	Message string // what the server said, "" if nothing
}

// Error names the URL and what the server said.
func (e *Error) Error() string {
	status := fmt.Sprintf("%s %s: %d %s", e.Method, e.URL, e.Status, http.StatusText(e.Status))
	if e.Message == "" {
		return status
	}
	return status + ": " + e.Message
}
