package dnsserver

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/certiform/terraform-provider-certificate/dnsserver/client"
)

// FuzzRespond checks that no message of a stranger's makes the server panic,
// and that every reply echoes ID, RD, opcode and question, fits, and parses.
func FuzzRespond(f *testing.F) {
	one := [4]uint16{1, 0, 0, 0}
	f.Add(raw(0x0100, one, wireWWW))
	f.Add(raw(0, [4]uint16{1, 0, 0, 1}, wireWWW+wireOPT))
	f.Add(raw(0, [4]uint16{1, 0, 0, 1}, wireWWW+"\x00\x00\x29\x10\x00\x00\x01\x00\x00\x00\x00"))
	f.Add(raw(5<<11, [4]uint16{1, 0, 1, 0}, wireWWW+"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04abcd"))
	f.Add(raw(0, one, "\x05\x00\xff.\\\"\x07example\x03com\x00\x00\x10\x00\x01"))
	for _, q := range []string{"sub.example.com. A", "x.wild.example.com. TXT", "alias2.example.com. A", "example.com. ANY", "many.example.com. TXT"} {
		f.Add(wire(f, ask(q)))
	}
	v := testView(f)
	for i := range 50 {
		next, err := v.with(txtChange("many.example.com.", strings.Repeat(string(rune('a'+i%26)), i*7)))
		if err != nil {
			f.Fatal(err)
		}
		v = next
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		for _, limit := range []int{edns0UDPSize, tcpSize} {
			before := bytes.Clone(msg)
			r := v.respond(msg, &terms{limit: limit})
			if !bytes.Equal(msg, before) {
				t.Fatal("the request was altered")
			}
			if r.wire == nil {
				if len(msg) >= headerSize && msg[2]&0x80 == 0 {
					t.Fatal("a request got no reply")
				}
				continue
			}
			checkEcho(t, msg, r.wire)
			if len(r.wire) > limit {
				t.Fatalf("%d bytes, limit %d", len(r.wire), limit)
			}
			unwire(t, r.wire)
		}
	})
}

// FuzzAPI checks that no path and body make the API panic or answer an error
// without saying what to do, and that what it accepts is there until it is deleted.
func FuzzAPI(f *testing.F) {
	f.Add("_acme-challenge.example.com", []byte(`{"value":"v"}`))
	f.Add("*.example.com", []byte(`{"value":"\ud800"}`))
	f.Add("a\\.b.example.com", []byte(`{"value":""}`))
	f.Add("", []byte(`[`))
	s := startServer(f, testConfig(), NewMemoryStore())
	handler := s.Handler()
	f.Fuzz(func(t *testing.T, name string, body []byte) {
		call := func(method, query string, body io.ReadCloser) *httptest.ResponseRecorder {
			r := &http.Request{
				Method: method, Body: body, Header: http.Header{"Authorization": {"Bearer all-token"}},
				URL: &url.URL{Path: "/v1/txt/" + name, RawPath: "/v1/txt/" + url.PathEscape(name), RawQuery: query},
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r.WithContext(t.Context()))
			var reply client.ErrorReply
			if w.Code >= 400 && (json.Unmarshal(w.Body.Bytes(), &reply) != nil || reply.Error == "") || w.Code >= 500 {
				t.Errorf("%s %q: %d %q", method, name, w.Code, w.Body)
			}
			return w
		}
		if call("PUT", "", io.NopCloser(bytes.NewReader(body))).Code != http.StatusNoContent {
			return
		}
		var given client.PutRequest
		if err := json.Unmarshal(body, &given); err != nil || !utf8.Valid(body) {
			t.Fatalf("accepted the body %q (%v)", body, err)
		}
		value := given.Value
		for _, want := range []bool{true, false} {
			w := call("GET", "", http.NoBody)
			var got client.TXT
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || slices.Contains(got.Values, value) != want {
				t.Fatalf("%q at %q: GET says %d %q, want it there: %t", value, name, w.Code, w.Body, want)
			}
			if w := call("DELETE", url.Values{"value": {value}}.Encode(), http.NoBody); w.Code != http.StatusNoContent {
				t.Fatalf("delete %q at %q: %d %q", value, name, w.Code, w.Body)
			}
		}
	})
}
