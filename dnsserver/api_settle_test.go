package dnsserver

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/dnsserver/client"
)

func TestAPI_row20_waitsForTheSecondaries(t *testing.T) {
	secondary := newFakeSecondary(t)
	s := startServer(t, transferConfig(Secondary{Name: "ns2", Address: secondary.addr.String()}), NewMemoryStore())
	api := httptest.NewServer(s.Handler())
	t.Cleanup(api.Close)
	call := func(method, path, body string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, api.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer all-token")
		reply, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer reply.Body.Close()
		text := new(strings.Builder)
		buf := make([]byte, 4096)
		n, _ := reply.Body.Read(buf)
		text.Write(buf[:n])
		return reply.StatusCode, text.String()
	}
	const path = "/v1/txt/a.dyn.example.com"
	if code, body := call("PUT", path+"?wait=30s", `{"value":"one"}`); code != http.StatusNoContent {
		t.Errorf("%d %s, want 204: the secondary follows", code, body)
	}
	_, serial, _ := s.Serial("example.com")
	if secondary.serial.Load() != serial {
		t.Errorf("the secondary has %d, want %d", secondary.serial.Load(), serial)
	}
	if code, body := call("DELETE", path+"?value=one&wait=30s", ""); code != http.StatusNoContent {
		t.Errorf("DELETE: %d %s, want 204", code, body)
	}
	secondary.deaf.Store(1000)
	if code, body := call("PUT", path+"?wait=300ms", `{"value":"two"}`); code != http.StatusAccepted || !strings.Contains(body, `"secondary":"ns2"`) || !strings.Contains(body, `"settled":false`) {
		t.Errorf("%d %s, want 202 and who lags", code, body)
	}
	if values, _ := s.TXT("a.dyn.example.com"); len(values) != 1 {
		t.Errorf("%q, want the value: only the secondary lags", values)
	}
	for _, wait := range []string{"soon", "-1s", "2h", ""} {
		if code, body := call("PUT", path+"?wait="+wait, `{"value":"three"}`); code != http.StatusBadRequest || !strings.Contains(body, "wait") {
			t.Errorf("wait=%s: %d %s, want 400", wait, code, body)
		}
	}
	c, err := client.New(api.URL, "all-token", nil)
	if err != nil {
		t.Fatal(err)
	}
	lagging, offered, err := c.Settle(t.Context(), "a.dyn.example.com", 300*time.Millisecond)
	if err != nil || !offered || len(lagging) != 1 || lagging[0].Secondary != "ns2" {
		t.Errorf("%+v, %t, %v; want who lags", lagging, offered, err)
	}
	if lagging, offered, err = c.Settle(t.Context(), "a.child.example.com", time.Second); err != nil || !offered || len(lagging) != 0 {
		t.Errorf("a zone without secondaries: %+v, %t, %v", lagging, offered, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := c.Settle(ctx, "a.dyn.example.com", time.Second); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: %v", err)
	}
	old := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(old.Close)
	if c, err = client.New(old.URL, "all-token", nil); err != nil {
		t.Fatal(err)
	}
	if _, offered, err := c.Settle(t.Context(), "a.dyn.example.com", time.Second); offered || err != nil {
		t.Errorf("a server without it: %t, %v; want neither", offered, err)
	}
	lines := s.secondaryLines(time.Now())
	if len(lines) != 1 || lines[0].Name != "ns2" || lines[0].State == "has everything" {
		t.Errorf("the page says %+v, want that ns2 lags", lines)
	}
}
