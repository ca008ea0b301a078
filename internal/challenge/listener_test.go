package challenge

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/lab/port"
)

func newRecords(t testing.TB, kind string, domains ...string) []Record {
	t.Helper()
	var records []Record
	for n, domain := range domains {
		r, err := NewRecord(kind, domain, fmt.Sprintf("token%d", n), "authorization of "+domain)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	return records
}

func newHTTP01(t testing.TB) *ListenSolver {
	t.Helper()
	return NewHTTPSolver(port.Address(t), slog.New(slog.DiscardHandler))
}

func newTLSALPN01(t testing.TB) *ListenSolver {
	t.Helper()
	return NewTLSSolver(port.Address(t), slog.New(slog.DiscardHandler))
}

// fetch asks a server for the file of a record.
func fetch(t testing.TB, address string, r Record) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+r.path(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Host, request.Close = r.Domain, true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// shake makes the handshake of a CA.
func shake(address string, r Record, protocols ...string) (*x509.Certificate, error) {
	conn, err := tls.Dial("tcp", address, &tls.Config{ServerName: r.Name, NextProtos: protocols, InsecureSkipVerify: true})
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	state := conn.ConnectionState()
	if len(protocols) > 0 && state.NegotiatedProtocol != protocols[0] {
		return nil, fmt.Errorf("negotiated %q", state.NegotiatedProtocol)
	}
	return state.PeerCertificates[0], nil
}

func wantNobody(t testing.TB, address string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err == nil {
		_ = conn.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v, want nobody to listen at %s", err, address)
	}
}

func TestHTTP01_answersWhileARecordIsPresented(t *testing.T) {
	t.Parallel()
	s := newHTTP01(t)
	wantNobody(t, s.address)
	records := newRecords(t, HTTP01, "a.test", "b.test", "192.0.2.1")
	for range 2 { // again is no error
		if err := s.Present(t.Context(), records); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range records {
		if status, body := fetch(t, s.address, r); status != http.StatusOK || body != r.Value {
			t.Errorf("%s: %d %q, want %q", r.Name, status, body, r.Value)
		}
	}
	if err := s.Withdraw(t.Context(), records[:2]); err != nil {
		t.Fatal(err)
	}
	if status, _ := fetch(t, s.address, records[0]); status != http.StatusNotFound {
		t.Errorf("a record that was withdrawn: %d, want %d", status, http.StatusNotFound)
	}
	if status, _ := fetch(t, s.address, records[2]); status != http.StatusOK {
		t.Errorf("a record that is still there: %d, want %d", status, http.StatusOK)
	}
	for range 2 {
		if err := s.Withdraw(t.Context(), records); err != nil {
			t.Fatal(err)
		}
		wantNobody(t, s.address)
	}
	if err := s.Present(t.Context(), records[:1]); err != nil {
		t.Errorf("after all: %v", err)
	}
	_ = s.Withdraw(t.Context(), records)
}

func TestHTTP01_answersNothingElse(t *testing.T) {
	t.Parallel()
	s := newHTTP01(t)
	r := newRecords(t, HTTP01, "a.test")[0]
	if err := s.Present(t.Context(), []Record{r}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Withdraw(t.Context(), []Record{r}) }()
	for sentence, test := range map[string]struct {
		method, path string
		status       int
	}{
		"the file":         {http.MethodGet, r.path(), http.StatusOK},
		"its head":         {http.MethodHead, r.path(), http.StatusOK},
		"a change":         {http.MethodPut, r.path(), http.StatusNotFound},
		"another token":    {http.MethodGet, wellKnown + "other", http.StatusNotFound},
		"the folder":       {http.MethodGet, wellKnown, http.StatusNotFound},
		"a way out of it":  {http.MethodGet, wellKnown + "../../etc/passwd", http.StatusNotFound},
		"the front page":   {http.MethodGet, "/", http.StatusNotFound},
		"the bare token":   {http.MethodGet, "/token0", http.StatusNotFound},
		"a longer path":    {http.MethodGet, r.path() + "/x", http.StatusNotFound},
		"a proxied domain": {http.MethodGet, "/http://a.test" + r.path(), http.StatusNotFound},
	} {
		request, err := http.NewRequestWithContext(t.Context(), test.method, "http://"+s.address+test.path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != test.status {
			t.Errorf("%s: %d, want %d", sentence, response.StatusCode, test.status)
		}
	}
}

func TestTLSALPN01_showsTheDigest(t *testing.T) {
	t.Parallel()
	s := newTLSALPN01(t)
	records := newRecords(t, TLSALPN01, "a.test", "192.0.2.1", "2001:db8::1")
	if err := s.Present(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		leaf, err := shake(s.address, r, alpnProtocol)
		if err != nil {
			t.Errorf("%s: %v", r.Domain, err)
			continue
		}
		if got := append(leaf.DNSNames, addresses(leaf)...); len(got) != 1 || got[0] != r.Domain {
			t.Errorf("the certificate is for %q, want %q alone", got, r.Domain)
		}
		found := false
		for _, e := range leaf.Extensions {
			if e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}) {
				digest, err := hex.DecodeString(r.Value)
				// An OCTET STRING of 32 bytes (RFC 8737 §3).
				found = err == nil && e.Critical && bytes.Equal(e.Value, append([]byte{4, 32}, digest...))
			}
		}
		if !found {
			t.Errorf("%s: the certificate has no critical extension with the digest", r.Domain)
		}
	}
	if err := s.Withdraw(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	wantNobody(t, s.address)
}

func addresses(c *x509.Certificate) (texts []string) {
	for _, ip := range c.IPAddresses {
		texts = append(texts, ip.String())
	}
	return texts
}

func TestTLSALPN01_refusesWhoIsNoCA(t *testing.T) {
	t.Parallel()
	s := newTLSALPN01(t)
	r := newRecords(t, TLSALPN01, "a.test")
	if err := s.Present(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Withdraw(t.Context(), r) }()
	for sentence, try := range map[string]func() (*x509.Certificate, error){
		"a browser":                 func() (*x509.Certificate, error) { return shake(s.address, r[0], "h2", "http/1.1") },
		"a client of no protocol":   func() (*x509.Certificate, error) { return shake(s.address, r[0]) },
		"a name that nobody proves": func() (*x509.Certificate, error) { return shake(s.address, Record{Name: "b.test"}, alpnProtocol) },
	} {
		if leaf, err := try(); err == nil {
			t.Errorf("%s gets a certificate for %q, want none", sentence, leaf.DNSNames)
		}
	}
	if _, err := shake(s.address, Record{Name: "A.test"}, alpnProtocol); err != nil {
		t.Errorf("the name in upper case: %v", err)
	}
}

// A handshake names the host alone: two orders for it take turns.
func TestTLSALPN01_secondOrderForANameWaits(t *testing.T) {
	t.Parallel()
	s := newTLSALPN01(t)
	first, second := newRecords(t, TLSALPN01, "a.test", "b.test"), newRecords(t, TLSALPN01, "b.test", "c.test")
	for n := range second {
		second[n].Value = strings.Repeat("ab", 32)
	}
	if err := s.Present(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Present(ctx, second); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want %v", err, context.DeadlineExceeded)
	}
	if _, err := shake(s.address, second[1], alpnProtocol); err == nil {
		t.Error("a part of what has to wait is presented")
	}
	done := make(chan error, 1)
	go func() { done <- s.Present(t.Context(), second) }()
	if err := s.Withdraw(t.Context(), second); err != nil { // what is not there
		t.Fatal(err)
	}
	if _, err := shake(s.address, first[1], alpnProtocol); err != nil {
		t.Errorf("withdrawing another order's record for the name took this one's: %v", err)
	}
	if err := s.Withdraw(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the second order still waits")
	}
	if _, err := shake(s.address, second[0], alpnProtocol); err != nil {
		t.Error(err)
	}
	if err := s.Withdraw(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	wantNobody(t, s.address)
}

// Orders come and go at once; whenever one has presented its record, the CA can
// see it, and in the end nobody listens.
func TestListenSolver_sharedByManyOrders(t *testing.T) {
	t.Parallel()
	s := newHTTP01(t)
	var orders sync.WaitGroup
	for n := range 8 {
		orders.Go(func() {
			for round := range 20 {
				r, err := NewRecord(HTTP01, "a.test", fmt.Sprintf("token-%d-%d", n, round), "authorization")
				if err == nil {
					err = s.Present(t.Context(), []Record{r})
				}
				if err != nil {
					t.Error(err)
					return
				}
				if status, _ := fetch(t, s.address, r); status != http.StatusOK {
					t.Errorf("%s: %d, want %d", r.Name, status, http.StatusOK)
				}
				if err := s.Withdraw(t.Context(), []Record{r}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	orders.Wait()
	wantNobody(t, s.address)
}

// Two configurations of the provider are two processes: they take turns.
func TestListenSolver_waitsForAnotherProcess(t *testing.T) {
	t.Parallel()
	waits := make(chan struct{}, 100)
	address := port.Address(t)
	other := NewHTTPSolver(address, slog.New(slog.DiscardHandler))
	s := NewHTTPSolver(address, slog.New(tell{slog.DiscardHandler, "wait for the address", waits}))
	records := newRecords(t, HTTP01, "a.test")
	if err := other.Present(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Present(t.Context(), records) }()
	select {
	case <-waits:
	case err := <-done:
		t.Fatalf("%v, want it to wait", err)
	}
	if err := other.Withdraw(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	_ = s.Withdraw(t.Context(), records)
}

// tell tells of records with a message.
type tell struct {
	slog.Handler
	message string
	heard   chan<- struct{}
}

func (h tell) Enabled(context.Context, slog.Level) bool { return true }

func (h tell) Handle(_ context.Context, r slog.Record) error {
	if r.Message == h.message {
		h.heard <- struct{}{}
	}
	return nil
}

func TestListenSolver_saysWhatToDoAboutAnAddress(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = busy.Close() })
	logger := slog.New(slog.DiscardHandler)
	for sentence, test := range map[string]struct {
		solver *ListenSolver
		says   []string
	}{
		"a busy port, HTTP":    {NewHTTPSolver(busy.Addr().String(), logger), []string{busy.Addr().String(), "http-01", "in use", "validation.http_01.webroot", "validation.http_01.listen"}},
		"a busy port, TLS":     {NewTLSSolver(busy.Addr().String(), logger), []string{busy.Addr().String(), "tls-alpn-01", "in use", alpnProtocol, "validation.tls_alpn_01.listen"}},
		"an address elsewhere": {NewHTTPSolver("192.0.2.1:8080", logger), []string{"192.0.2.1:8080", "this machine does not have the address", "validation.http_01.listen"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			records := newRecords(t, test.solver.Type(), "a.test")
			wantParts(t, test.solver.Present(t.Context(), records), test.says...)
			if err := test.solver.Withdraw(t.Context(), records); err != nil {
				t.Errorf("withdraw what was never there: %v", err)
			}
		})
	}
	// Root, who may listen anywhere, does not see this one.
	wantParts(t, NewHTTPSolver(":80", logger).adviseListen(syscall.EACCES), "CAP_NET_BIND_SERVICE", "validation.http_01.listen")
}
