package watch

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Secret is a password or key; it prints as nothing.
type Secret func() string

// NewSecret hides s.
func NewSecret(s string) Secret { return func() string { return s } }

// String hides the secret.
func (Secret) String() string { return "[redacted]" }

// GoString hides the secret.
func (Secret) GoString() string { return "[redacted]" }

// Webhook tells by POST of a Notice as JSON. A status of 2xx is a success.
//
// With a key the header X-Certificate-Dns-Signature is "sha256=" and the
// HMAC-SHA256 in hex of X-Certificate-Dns-Timestamp (Unix seconds), a dot and
// the body.
type Webhook struct {
	URL  string
	Key  Secret // nil: not signed
	HTTP *http.Client
	Now  func() time.Time
}

// Name implements Channel.
func (w Webhook) Name() string { return "webhook " + hostOf(w.URL) }

// hostOf names a URL without its path, which may be a secret.
func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Host
}

// Tell implements Channel.
func (w Webhook) Tell(ctx context.Context, n Notice) error {
	body, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("write the notice as JSON: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("call the webhook at %s: its URL cannot be read", hostOf(w.URL))
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "certificate-dns")
	req.Header.Set("X-Certificate-Dns-Delivery", n.ID)
	if w.Key != nil {
		now := time.Now
		if w.Now != nil {
			now = w.Now
		}
		at := strconv.FormatInt(now().Unix(), 10)
		req.Header.Set("X-Certificate-Dns-Timestamp", at)
		req.Header.Set("X-Certificate-Dns-Signature", "sha256="+sign(w.Key(), at, body))
	}
	client := w.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		var withURL *url.Error
		if errors.As(err, &withURL) {
			err = withURL.Err // without the URL, whose path may be a secret
		}
		return fmt.Errorf("call the webhook at %s: %w", hostOf(w.URL), err)
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16)) // so that the connection can be used again
	if err := resp.Body.Close(); err != nil {
		return fmt.Errorf("call the webhook at %s: %w", hostOf(w.URL), err)
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("call the webhook at %s: it answered %s", hostOf(w.URL), resp.Status)
	}
	return nil
}

func sign(key, at string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(at + "."))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}
