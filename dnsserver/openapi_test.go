package dnsserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

func description(t *testing.T) *openapi3.T {
	t.Helper()
	text, err := pageFiles.ReadFile("web/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err == nil {
		err = doc.Validate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// The description has every route of the API and no other, and every method
// that a route takes.
func TestOpenAPI_hasEveryRoute(t *testing.T) {
	doc := description(t)
	s := startServer(t, typed(), NewMemoryStore())
	var routes, described []string
	for _, r := range s.routes() {
		routes = append(routes, r.pattern)
	}
	for path, item := range doc.Paths.Map() {
		described = append(described, path)
		target := strings.NewReplacer("{name}", "a.example.com", "{domain}", "a.example.com", "{username}", "u", "{zone}", "example.com").Replace(path)
		allowed := call(t, s, "PROPFIND", target, "any-token", "").Header().Get("Allow")
		for _, method := range []string{"GET", "PUT", "POST", "DELETE"} {
			takes := slices.Contains(strings.Split(allowed, ", "), method)
			if _, ok := item.Operations()[method]; ok != takes && allowed != "" {
				t.Errorf("%s %s: described %t, taken %t", method, path, ok, takes)
			}
		}
	}
	slices.Sort(routes)
	slices.Sort(described)
	if !slices.Equal(routes, described) {
		t.Errorf("described %q, want %q", described, routes)
	}
}

// checked is a client whose every request and reply has to be as described.
type checked struct {
	t       *testing.T
	handler http.Handler
	router  routers.Router
	seen    map[string]bool // operations that succeeded
}

func (c *checked) do(method, target, body string, header ...string) *httptest.ResponseRecorder {
	c.t.Helper()
	request := httptest.NewRequestWithContext(c.t.Context(), method, target, strings.NewReader(body))
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	route, parameters, err := c.router.FindRoute(request)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, target, err)
	}
	input := &openapi3filter.RequestValidationInput{
		Request: request, PathParams: parameters, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	}
	bad := openapi3filter.ValidateRequest(c.t.Context(), input)
	request.Body = io.NopCloser(strings.NewReader(body))
	w := httptest.NewRecorder()
	c.handler.ServeHTTP(w, request)
	if bad != nil && w.Code < 400 {
		c.t.Errorf("%s %s: %d, though the request is not as described: %v", method, target, w.Code, bad)
	}
	reply := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: w.Code, Header: w.Header(), Body: io.NopCloser(bytes.NewReader(w.Body.Bytes())),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateResponse(c.t.Context(), reply); err != nil {
		c.t.Errorf("%s %s: the reply %d %s is not as described: %v", method, target, w.Code, w.Body, err)
	}
	if w.Code < 400 {
		c.seen[route.Operation.OperationID] = true
	}
	return w
}

// Requests that are as described are taken, and all replies are as described,
// refusals too.
func TestOpenAPI_repliesAreAsDescribed(t *testing.T) {
	doc := description(t)
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	config := typed()
	signed := signedConfig(t)
	config.Zones, config.DNSSEC = append(config.Zones, signed.Zones[0]), signed.DNSSEC
	config.Tokens = append(config.Tokens, Token{Name: "everything", SHA256: hashOf("everything"), Rights: allRights(), Types: []string{"ANY"}})
	config.Accounts = Accounts{AcmeDNS: true, Register: true, Zone: "example.com"}
	s := startServer(t, config, NewMemoryStore())
	c := &checked{t, s.Handler(), router, map[string]bool{}}
	with := []string{"Authorization", "Bearer everything"}
	for _, r := range []struct{ method, target, body string }{
		{"PUT", "/v1/txt/a.example.com", `{"value":"v"}`},
		{"PUT", "/v1/txt/a.example.com?wait=1s", `{"value":"v"}`},
		{"GET", "/v1/settled/a.example.com?wait=1s", ""},
		{"GET", "/v1/txt/a.example.com", ""},
		{"DELETE", "/v1/txt/a.example.com?value=v", ""},
		{"PUT", "/v1/cname/a.example.com", `{"value":"b.example.net"}`},
		{"GET", "/v1/cname/a.example.com", ""},
		{"DELETE", "/v1/cname/a.example.com?value=b.example.net", ""},
		{"PUT", "/v1/records/a.example.com", `{"type":"A","value":"192.0.2.1","ttl":60,"expires_at":"2199-01-01T00:00:00Z"}`},
		{"GET", "/v1/records/a.example.com", ""},
		{"GET", "/v1/records/www.example.com", ""},
		{"GET", "/v1/records?limit=1", ""},
		{"DELETE", "/v1/records/a.example.com?type=A", ""},
		{"POST", "/v1/delegations", `{"domain":"www.example.org"}`},
		{"GET", "/v1/delegations", ""},
		{"GET", "/v1/delegations/www.example.org", ""},
		{"POST", "/v1/delegations/www.example.org/rotate", ""},
		{"GET", "/v1/accounts", ""},
		{"GET", "/v1/queries?limit=5", ""},
		{"GET", "/v1/queries?name=a.example.com", ""},
		{"GET", "/v1/status", ""},
		{"GET", "/v1/zones/signed.example/keys", ""},
		{"POST", "/v1/zones/signed.example/rollover", ""},
		{"POST", "/v1/zones/signed.example/rollover", ""}, // refused: it is on its way
		{"GET", "/v1/zones/example.com/keys", ""},
		{"GET", "/v1/zones/none.example/keys", ""},
		{"GET", "/v1/openapi.json", ""},
		{"GET", "/healthz", ""},
		{"GET", "/readyz", ""},
		{"GET", "/metrics", ""},
		{"GET", "/health", ""},
		// Refusals.
		{"PUT", "/v1/txt/a.example.com", `{"value":1}`},
		{"PUT", "/v1/txt/a.example.org", `{"value":"v"}`},
		{"DELETE", "/v1/txt/a.example.com", ""},
		{"PUT", "/v1/records/a.example.com", `{"type":"A","value":"x"}`},
		{"GET", "/v1/records?limit=5000", ""},
		{"POST", "/v1/delegations", `{"domain":"www.example.org"}`},
		{"GET", "/v1/delegations/none.example.org", ""},
		{"GET", "/v1/accounts/none", ""},
		{"POST", "/register", `{"allowfrom":["x"]}`},
		{"POST", "/update", `{}`},
	} {
		c.do(r.method, r.target, r.body, with...)
	}
	c.do("GET", "/v1/txt/a.example.com", "")
	c.do("GET", "/v1/delegations", "", "Authorization", "Bearer one-token")
	registered := c.do("POST", "/register", "")
	var a struct{ Username, Password, Subdomain string }
	if err := json.Unmarshal(registered.Body.Bytes(), &a); err != nil {
		t.Fatal(err)
	}
	c.do("POST", "/update", fmt.Sprintf(`{"subdomain":%q,"txt":"v"}`, a.Subdomain), "X-Api-User", a.Username, "X-Api-Key", a.Password)
	c.do("GET", "/v1/accounts/"+a.Username, "", with...)
	c.do("POST", "/v1/accounts/"+a.Username+"/rotate", "", with...)
	c.do("DELETE", "/v1/accounts/"+a.Username, "", with...)
	c.do("DELETE", "/v1/delegations/www.example.org", "", with...)
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			if !c.seen[operation.OperationID] && operation.OperationID != "checkDelegation" { // asks the world
				t.Errorf("%s %s was never seen to succeed", method, path)
			}
		}
	}
}

// The guide has each operation of the description, and no other.
func TestOpenAPI_theGuideHasEveryOperation(t *testing.T) {
	text, err := os.ReadFile("../templates/guides/responder-api.md")
	if err != nil {
		t.Fatal(err)
	}
	var told, described []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Z]+ /[^ `]*)`").FindAllStringSubmatch(string(text), -1) {
		told = append(told, m[1])
	}
	for path, item := range description(t).Paths.Map() {
		for method := range item.Operations() {
			described = append(described, method+" "+path)
		}
	}
	slices.Sort(told)
	slices.Sort(described)
	if !slices.Equal(told, described) {
		t.Errorf("the guide has %q, want %q", told, described)
	}
}

// Replies about a store that several servers share are as described, also while
// it is away.
func TestOpenAPI_repliesOfASharedStore(t *testing.T) {
	router, err := gorillamux.NewRouter(description(t))
	if err != nil {
		t.Fatal(err)
	}
	store := (&sharedLog{}).store("ns1")
	s := startServer(t, typed(), store)
	c := &checked{t, s.Handler(), router, map[string]bool{}}
	with := []string{"Authorization", "Bearer any-token"}
	c.do("GET", "/v1/status", "", with...)
	store.setAway(errDisk)
	eventually(t, "the loss is noticed", s.storageFault.Load)
	if w := c.do("GET", "/v1/status", "", with...); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"available":false`) {
		t.Errorf("status: %d %s", w.Code, w.Body)
	}
	for method, target := range map[string]string{"PUT": "/v1/txt/a.example.com", "GET": "/readyz"} {
		if w := c.do(method, target, map[string]string{"PUT": `{"value":"v"}`}[method], with...); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s %s: %d, Retry-After %q", method, target, w.Code, w.Header().Get("Retry-After"))
		}
	}
}
