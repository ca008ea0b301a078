package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const secret = "a-secret-token"

// serve answers every request the same way and counts on a test to look at it.
func serve(t *testing.T, handler http.HandlerFunc) *Client {
	t.Helper()
	web := httptest.NewServer(handler)
	t.Cleanup(web.Close)
	c, err := New(web.URL+"/dns/", secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestClient_sendsWhatTheAPIExpects(t *testing.T) {
	var got []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, 100)
		n, _ := r.Body.Read(body)
		got = append(got, fmt.Sprintf("%s %s %s %s", r.Method, r.URL.RequestURI(), r.Header.Get("Authorization"), body[:n]))
		if r.Method == http.MethodGet {
			fmt.Fprint(w, `{"name":"a.example.com","values":["1","2"]}`)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	if err := c.Put(t.Context(), "a.example.com", "x=1"); err != nil {
		t.Error(err)
	}
	if err := c.Delete(t.Context(), "a.example.com", "x=1&y"); err != nil {
		t.Error(err)
	}
	if values, err := c.Values(t.Context(), "a/b.example.com"); err != nil || len(values) != 2 {
		t.Errorf("values %q, %v", values, err)
	}
	if err := c.PutCNAME(t.Context(), "a.example.com", "b.test"); err != nil {
		t.Error(err)
	}
	if err := c.DeleteCNAME(t.Context(), "a.example.com", "b.test"); err != nil {
		t.Error(err)
	}
	want := []string{
		`PUT /dns/v1/txt/a.example.com Bearer a-secret-token {"value":"x=1"}`,
		`DELETE /dns/v1/txt/a.example.com?value=x%3D1%26y Bearer a-secret-token `,
		`GET /dns/v1/txt/a%2Fb.example.com Bearer a-secret-token `,
		`PUT /dns/v1/cname/a.example.com Bearer a-secret-token {"value":"b.test"}`,
		`DELETE /dns/v1/cname/a.example.com?value=b.test Bearer a-secret-token `,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("sent\n%q, want\n%q", got, want)
	}
}

func TestClient_errorSaysWhatTheServerSaid(t *testing.T) {
	for _, c := range []struct {
		title  string
		status int
		body   string
		want   string
	}{
		{"the server's own words", 403, `{"error":"no, because"}`, "403 Forbidden: no, because"},
		{"a proxy's page", 502, "<html>\n  bad gateway</html>", "502 Bad Gateway: <html> bad gateway</html>"},
		{"nothing", 500, "", "500 Internal Server Error"},
		{"a success that is not the expected one", 200, "hello", "200 OK: hello"},
		{"far too much", 500, strings.Repeat("é", 1000), "500 Internal Server Error: " + strings.Repeat("é", 100) + "…"},
	} {
		t.Run(c.title, func(t *testing.T) {
			client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.body)
			})
			err := client.Put(t.Context(), "a.example.com", "v")
			var typed *Error
			if !errors.As(err, &typed) {
				t.Fatalf("%v is not an *Error", err)
			}
			if want := "PUT " + typed.URL + ": " + c.want; err.Error() != want || typed.Status != c.status {
				t.Errorf("%d %q, want %d %q", typed.Status, err, c.status, want)
			}
			if !strings.HasSuffix(typed.URL, "/dns/v1/txt/a.example.com") {
				t.Errorf("URL %q", typed.URL)
			}
		})
	}
}

func TestClient_tokenIsNeverShown(t *testing.T) {
	web := httptest.NewServer(http.NotFoundHandler())
	web.Close() // nobody listens
	c, err := New(web.URL, secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "token", c.token)
	putErr := c.Put(t.Context(), "a.example.com", "v")
	if putErr == nil {
		t.Fatal("a put to nobody succeeded")
	}
	_, newErr := New("https://example.com", secret+"\n", nil)
	for _, text := range []string{
		putErr.Error(), newErr.Error(), log.String(),
		fmt.Sprintf("%v %+v %#v %s %q", c.token, c.token, c.token, c.token, c.token),
		fmt.Sprintf("%v %+v %#v", *c, *c, *c),
	} {
		if strings.Contains(text, secret) {
			t.Errorf("%q shows the token", text)
		}
	}
}

func TestClient_endsWithItsContext(t *testing.T) {
	c := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Put(ctx, "a.example.com", "v"); !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v, want %v", err, context.Canceled)
	}
}

func TestNew_refusesWhatCannotWork(t *testing.T) {
	for _, c := range []struct{ title, url, token string }{
		{"no scheme", "auth.example.com", secret},
		{"another scheme", "ftp://auth.example.com", secret},
		{"no host", "https://", secret},
		{"a password", "https://u:p@auth.example.com", secret},
		{"a query", "https://auth.example.com?a=b", secret},
		{"no URL", "https://a b\x7f", secret},
		{"no token", "https://auth.example.com", ""},
	} {
		if _, err := New(c.url, c.token, nil); err == nil {
			t.Errorf("%s: no error", c.title)
		}
	}
}

func TestClient_refusesWhatJSONWouldAlter(t *testing.T) {
	c := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") })
	if err := c.Put(t.Context(), "a.example.com", "\xff"); err == nil {
		t.Error("a value that is not UTF-8 was put")
	}
	if err := c.Put(t.Context(), "", "v"); err == nil {
		t.Error("a value was put at no name")
	}
}
