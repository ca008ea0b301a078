package acme_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/issuer/acme"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

func pemOf(c *x509.Certificate) string { return string(pki.EncodeCertificates(c)) }

// example is the certificate of RFC 9773, appendix A.
func example() *x509.Certificate {
	return &x509.Certificate{
		AuthorityKeyId: []byte{0x69, 0x88, 0x5b, 0x6b, 0x87, 0x46, 0x40, 0x41, 0xe1, 0xb3, 0x7b, 0x84, 0x7b, 0xa0, 0xae, 0x2c, 0xde, 0x01, 0xc8, 0xd4},
		SerialNumber:   big.NewInt(0x87654321),
	}
}

const exampleID = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"

// newSuggester is an issuer at a CA that answers questions for renewal
// information with handler; nil for a CA that does not offer it.
func newSuggester(t *testing.T, handler http.HandlerFunc) *acme.Issuer {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewTLSServer(mux)
	t.Cleanup(server.Close)
	renewalInfo := ""
	if handler != nil {
		renewalInfo = server.URL + "/info"
	}
	mux.HandleFunc("/dir", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"newNonce":"%s/n","newAccount":"%s/a","newOrder":"%s/o","renewalInfo":%q}`, server.URL, server.URL, server.URL, renewalInfo)
	})
	mux.HandleFunc("GET /info/"+exampleID, orNotFound(handler))
	opened, err := acme.New(acme.Config{DirectoryURL: server.URL + "/dir", CABundle: pemOf(server.Certificate())}, nil, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

func orNotFound(handler http.HandlerFunc) http.HandlerFunc {
	if handler == nil {
		return http.NotFound
	}
	return handler
}

const goodWindow = `{"suggestedWindow":{"start":"2026-01-02T04:00:00Z","end":"2026-01-03T04:00:00Z"},"explanationURL":"https://ca.example/why"}`

func TestSuggest(t *testing.T) {
	for sentence, test := range map[string]struct {
		status     int
		body       string
		retryAfter string
		pause      time.Duration
		problem    string
	}{
		"a window":                             {200, goodWindow, "21600", 6 * time.Hour, ""},
		"a window, and no word when to return": {200, goodWindow, "", 6 * time.Hour, ""},
		"a window, to be asked for at once":    {200, goodWindow, "0", 0, ""},
		"a window, to be asked for tomorrow":   {200, goodWindow, "86400", 24 * time.Hour, ""},
		"a window, to be asked for never":      {200, goodWindow, "99999999999", 24 * time.Hour, ""},
		"nonsense for the pause":               {200, goodWindow, "soon", 6 * time.Hour, ""},
		"a pause that is negative":             {200, goodWindow, "-5", 6 * time.Hour, ""},
		"a malformed answer":                   {200, `<html>`, "600", 10 * time.Minute, "malformed"},
		"times that are none":                  {200, `{"suggestedWindow":{"start":"soon","end":"later"}}`, "600", 10 * time.Minute, "malformed"},
		"no window":                            {200, `{}`, "600", 10 * time.Minute, "ends before it starts"},
		"an inverted window":                   {200, `{"suggestedWindow":{"start":"2026-01-03T04:00:00Z","end":"2026-01-02T04:00:00Z"}}`, "600", 10 * time.Minute, "ends before it starts"},
		"an empty window":                      {200, `{"suggestedWindow":{"start":"2026-01-03T04:00:00Z","end":"2026-01-03T04:00:00Z"}}`, "600", 10 * time.Minute, "ends before it starts"},
		"a certificate the CA does not know":   {404, `{}`, "600", 10 * time.Minute, "404"},
		"a broken CA":                          {500, `oops`, "", 6 * time.Hour, "500"},
		"a CA under repair":                    {503, `later`, "7200", 2 * time.Hour, "503"},
	} {
		t.Run(sentence, func(t *testing.T) {
			opened := newSuggester(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "" || r.ContentLength > 0 {
					t.Error("the question is authenticated")
				}
				if test.retryAfter != "" {
					w.Header().Set("Retry-After", test.retryAfter)
				}
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.body))
			})
			got, pause, err := opened.Suggest(t.Context(), example())
			if pause != test.pause {
				t.Errorf("pause %s, want %s", pause, test.pause)
			}
			if test.problem == "" {
				if err != nil || !got.Start.Equal(time.Date(2026, 1, 2, 4, 0, 0, 0, time.UTC)) || got.End.Sub(got.Start) != 24*time.Hour || got.ExplanationURL != "https://ca.example/why" {
					t.Errorf("%+v, %v", got, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.problem) || got.Valid() || errors.Is(err, acme.ErrNoSuggestion) {
				t.Errorf("%+v, %v, want %q in it", got, err, test.problem)
			}
		})
	}
}

func TestSuggest_notOffered(t *testing.T) {
	if _, pause, err := newSuggester(t, nil).Suggest(t.Context(), example()); !errors.Is(err, acme.ErrNoSuggestion) || pause != 6*time.Hour {
		t.Errorf("pause %s, %v, want %v", pause, err, acme.ErrNoSuggestion)
	}
}

func TestSuggest_certificateWithoutAKeyIdentifier(t *testing.T) {
	opened := newSuggester(t, func(http.ResponseWriter, *http.Request) { t.Error("the CA was asked") })
	if _, pause, err := opened.Suggest(t.Context(), &x509.Certificate{SerialNumber: big.NewInt(1)}); err == nil || pause == 0 {
		t.Errorf("pause %s, %v", pause, err)
	}
}

func TestSuggest_unreachable(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	c := acme.Config{DirectoryURL: server.URL + "/dir", CABundle: pemOf(server.Certificate())}
	opened, err := acme.New(c, nil, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	server.Close()
	if _, _, err := opened.Suggest(t.Context(), example()); err == nil || !strings.Contains(err.Error(), c.DirectoryURL) {
		t.Errorf("%v, want the URL in it", err)
	}
}

// The directory may say when to return as well as the renewal information.
func TestSuggest_directoryUnderRepair(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7200")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(server.Close)
	c := acme.Config{DirectoryURL: server.URL + "/dir", CABundle: pemOf(server.Certificate())}
	opened, err := acme.New(c, nil, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, pause, err := opened.Suggest(t.Context(), example()); err == nil || pause != 2*time.Hour {
		t.Errorf("pause %s, %v, want 2h", pause, err)
	}
}

func TestSuggest_endsWithItsContext(t *testing.T) {
	arrived := make(chan struct{}, 1)
	opened := newSuggester(t, func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, _, err := opened.Suggest(ctx, example())
		done <- err
	}()
	await(t, arrived, 10*time.Second)
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want %v", err, context.Canceled)
		}
	case <-time.After(time.Second):
		t.Fatal("it goes on a second after it was cancelled")
	}
}
