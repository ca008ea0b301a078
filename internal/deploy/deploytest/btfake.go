package deploytest

import (
	"crypto/md5"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// The site and the API key of the fake panel.
const (
	PanelSite = "www.example.com"
	PanelKey  = "Panel-Secret"
)

// Panel is a fake of the BT panel with one site, written from the documentation
// of its API: signed forms, JSON answers, a redirect to the login page where the
// signature is wrong. It does not know the panel's other actions.
type Panel struct {
	URL     string
	Address string // of the site
	Deaf    atomic.Bool
	Refuse  atomic.Bool // says that the web server's configuration is wrong

	key, csr string
	loaded   atomic.Pointer[tls.Certificate]
}

// StartFakePanel starts a panel whose site has a certificate.
func StartFakePanel(t testing.TB, chain []*x509.Certificate, key pki.Key) *Panel {
	t.Helper()
	text, err := key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	p := &Panel{}
	if message := p.set(string(text), string(pki.EncodeCertificates(chain...))); message != "" {
		t.Fatal(message)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.loaded.Load(), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go accept(listener)
	p.Address = listener.Addr().String()
	server := httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(server.Close)
	p.URL = server.URL
	return p
}

func (p *Panel) serve(w http.ResponseWriter, r *http.Request) {
	inner := md5.Sum([]byte(PanelKey))
	token := md5.Sum([]byte(r.PostFormValue("request_time") + hex.EncodeToString(inner[:])))
	if r.PostFormValue("request_token") != hex.EncodeToString(token[:]) {
		http.Redirect(w, r, "/login", http.StatusFound)
		return
	}
	answer := map[string]any{"status": false, "msg": "指定参数无效!"}
	if r.Method == http.MethodPost && r.URL.Path == "/site" && r.PostFormValue("siteName") == PanelSite {
		switch r.URL.Query().Get("action") {
		case "GetSSL":
			answer = map[string]any{"status": true, "type": 0, "key": p.key, "csr": p.csr}
		case "SetSSL":
			answer = map[string]any{"status": true, "msg": "SSL开启成功!"}
			if message := p.set(r.PostFormValue("key"), r.PostFormValue("csr")); message != "" {
				answer = map[string]any{"status": false, "msg": message}
			}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // the client may have gone
}

// set checks a pair as the panel does and uses it; it returns what the panel
// would say against it.
func (p *Panel) set(key, csr string) string {
	pair, err := tls.X509KeyPair([]byte(csr), []byte(key))
	if err != nil {
		return "证书错误,请检查!"
	}
	if p.Refuse.Load() {
		return "ERROR: 检测到配置文件有错误,请先排除后再操作"
	}
	p.key, p.csr = key, csr
	if !p.Deaf.Load() {
		p.loaded.Store(&pair)
	}
	return ""
}
