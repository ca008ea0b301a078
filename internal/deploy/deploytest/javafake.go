package deploytest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"sync/atomic"
	"testing"

	"github.com/icholy/digest"

	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// Fakes of servers in Java that are not to be had for a test: a TLS server that
// loads its keystore when its administration tells it to, and knows of that
// administration what the products' documentation says of one request.

// fakeJava is a TLS server with a keystore.
type fakeJava struct {
	*Server
	loaded atomic.Pointer[tls.Certificate]
	alias  string
	deaf   atomic.Bool // says yes and loads nothing
}

// Deaf has the server say yes to everything and load nothing.
func (f *fakeJava) Deaf() { f.deaf.Store(true) }

func (f *fakeJava) load() error {
	if f.deaf.Load() {
		return nil
	}
	data, err := os.ReadFile(f.Path("keystore"))
	if err != nil {
		return err
	}
	entry, err := pki.ReadKeystore(pki.PKCS12, data, StorePassword, f.alias)
	if err != nil {
		return err
	}
	pair := &tls.Certificate{PrivateKey: entry.Key.Signer()}
	for _, c := range entry.Chain {
		pair.Certificate = append(pair.Certificate, c.Raw)
	}
	f.loaded.Store(pair)
	return nil
}

func startFakeJava(t testing.TB, alias string, chain []*x509.Certificate, key pki.Key, administration func(*fakeJava) http.Handler) *fakeJava {
	t.Helper()
	f := &fakeJava{Server: &Server{Files: filepath.Join(folder(t), "tls")}, alias: alias}
	if err := os.Mkdir(f.Files, 0o700); err != nil {
		t.Fatal(err)
	}
	f.WriteKeystore(t, pki.PKCS12, pki.KeystoreEntry{Alias: alias, Key: key, Chain: chain})
	if err := f.load(); err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.loaded.Load(), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go accept(listener)
	f.Address = listener.Addr().String()
	server := httptest.NewServer(administration(f))
	t.Cleanup(server.Close)
	f.Manager = server.URL
	return f
}

// accept completes handshakes and hangs up.
func accept(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return // closed
		}
		go func() {
			_, _ = io.Copy(io.Discard, connection) // until the client leaves
			_ = connection.Close()
		}()
	}
}

// StartFakeWildFly starts a server with the HTTP management of WildFly: digest
// authentication and the composite operation that loads a key-store and
// initializes a key-manager.
func StartFakeWildFly(t testing.TB, chain []*x509.Certificate, key pki.Key) *Server {
	f := startFakeJava(t, "server", chain, key, func(f *fakeJava) http.Handler {
		challenge := &digest.Challenge{Realm: "ManagementRealm", Nonce: "fb8f4c1f", QOP: []string{"auth"}, Algorithm: "MD5"}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			given, err := digest.ParseCredentials(r.Header.Get("Authorization"))
			if err == nil {
				var want *digest.Credentials
				want, err = digest.Digest(challenge, digest.Options{Method: r.Method, URI: given.URI, Username: ManagerUser, Password: ManagerPassword, Cnonce: given.Cnonce, Count: given.Nc})
				if err == nil && want.Response != given.Response {
					err = errors.New("another password")
				}
			}
			if err != nil {
				w.Header().Set("WWW-Authenticate", challenge.String())
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			var got map[string]any
			want := map[string]any{"operation": "composite", "address": []any{}, "steps": []any{
				map[string]any{"operation": "load", "address": []any{"subsystem", "elytron", "key-store", "web"}},
				map[string]any{"operation": "init", "address": []any{"subsystem", "elytron", "key-manager", "webKM"}},
			}}
			body, err := io.ReadAll(r.Body)
			switch {
			case err != nil || r.Method != http.MethodPost || r.URL.Path != "/management" || json.Unmarshal(body, &got) != nil:
				w.WriteHeader(http.StatusBadRequest)
			case !reflect.DeepEqual(got, want):
				w.WriteHeader(http.StatusInternalServerError)
				_, _ = w.Write([]byte(`{"outcome":"failed","failure-description":"WFLYCTL0216: Management resource not found"}`))
			case f.load() != nil:
				w.WriteHeader(http.StatusInternalServerError)
				_, _ = w.Write([]byte(`{"outcome":"failed","failure-description":"WFLYELY00007: The required operation failed"}`))
			default:
				_, _ = w.Write([]byte(`{"outcome":"success"}`))
			}
		})
	})
	f.deafen = f.Deaf
	return f.Server
}

// basic wants the user of the administration and a header against forged
// requests.
func basic(next func(w http.ResponseWriter, r *http.Request)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		switch {
		case user != ManagerUser || password != ManagerPassword:
			w.Header().Set("WWW-Authenticate", `Basic realm="weblogic"`)
			w.WriteHeader(http.StatusUnauthorized)
		case r.Header.Get("X-Requested-By") == "":
			w.WriteHeader(http.StatusBadRequest)
		default:
			next(w, r)
		}
	})
}

// StartFakeWebLogic starts a server with the RESTful management of WebLogic,
// which restarts TLS channels.
func StartFakeWebLogic(t testing.TB, chain []*x509.Certificate, key pki.Key) *Server {
	f := startFakeJava(t, "server", chain, key, func(f *fakeJava) http.Handler {
		return basic(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil || r.Method != http.MethodPost || r.URL.Path != "/management/weblogic/latest/serverRuntime/restartSSLChannels" || !bytes.Equal(body, []byte("{}")) {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			if err := f.load(); err != nil {
				w.WriteHeader(http.StatusInternalServerError)
				_, _ = w.Write([]byte(`{"detail":"the identity keystore cannot be loaded"}`))
				return
			}
			_, _ = w.Write([]byte("{}"))
		})
	})
	f.deafen = f.Deaf
	return f.Server
}

// StartFakeGlassFish starts a server with the REST administration of GlassFish,
// which restarts the domain.
func StartFakeGlassFish(t testing.TB, chain []*x509.Certificate, key pki.Key) *Server {
	f := startFakeJava(t, "s1as", chain, key, func(f *fakeJava) http.Handler {
		return basic(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPost || r.URL.Path != "/management/domain/restart-domain" {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			if err := f.load(); err != nil {
				_, _ = w.Write([]byte(`{"exit_code":"FAILURE","message":"the keystore cannot be loaded"}`))
				return
			}
			_, _ = w.Write([]byte(`{"exit_code":"SUCCESS","command":"restart-domain"}`))
		})
	})
	f.deafen = f.Deaf
	return f.Server
}
