package deploytest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"unicode/utf16"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// IISSite is the site of the fake IIS.
const IISSite = "Default Web Site"

// IIS is a fake of a Windows machine with one https binding. It does what the
// scripts of the target iis say they do, by their first lines; it is no
// PowerShell, and runs none of the script.
type IIS struct {
	transport.Transport
	Address string
	Deaf    atomic.Bool // binds, and goes on serving what it served

	store  map[string]*tls.Certificate // by thumbprint
	bound  string
	noted  *string // what was bound before the deployments
	loaded atomic.Pointer[tls.Certificate]
}

// StartFakeIIS starts a machine whose binding has a certificate.
func StartFakeIIS(t testing.TB, chain []*x509.Certificate, key pki.Key) *IIS {
	t.Helper()
	i := &IIS{Transport: transport.Local{}, store: map[string]*tls.Certificate{}}
	i.add(pki.KeystoreEntry{Key: key, Chain: chain})
	i.bind(pki.Thumbprint(chain[0]))
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return i.loaded.Load(), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go accept(listener)
	i.Address = listener.Addr().String()
	return i
}

// Stored reports whether the machine's store has a certificate.
func (i *IIS) Stored(certificate *x509.Certificate) bool {
	return i.store[pki.Thumbprint(certificate)] != nil
}

// Forget takes a certificate out of the machine's store.
func (i *IIS) Forget(certificate *x509.Certificate) { delete(i.store, pki.Thumbprint(certificate)) }

func (i *IIS) add(entry pki.KeystoreEntry) {
	pair := &tls.Certificate{PrivateKey: entry.Key.Signer()}
	for _, c := range entry.Chain {
		pair.Certificate = append(pair.Certificate, c.Raw)
	}
	i.store[pki.Thumbprint(entry.Chain[0])] = pair
}

func (i *IIS) bind(thumbprint string) {
	i.bound = thumbprint
	if !i.Deaf.Load() {
		i.loaded.Store(i.store[thumbprint])
	}
}

// Run implements transport.Transport for powershell.exe alone.
func (i *IIS) Run(_ context.Context, argv []string, stdin []byte) (transport.Output, error) {
	if len(argv) != 5 || argv[0] != "powershell.exe" || argv[3] != "-EncodedCommand" {
		return transport.Output{}, fmt.Errorf("the fake of IIS runs PowerShell alone, not %q", argv)
	}
	script, err := decodeScript(argv[4])
	if err != nil {
		return transport.Output{}, err
	}
	name, _, _ := strings.Cut(script, "\n")
	lines := strings.Split(string(stdin), "\r\n")
	var call struct {
		Site, Host, Password, Thumbprint string
		Port                             int
	}
	text, err := base64.StdEncoding.DecodeString(lines[0])
	if err == nil {
		err = json.Unmarshal(text, &call)
	}
	if err != nil {
		return transport.Output{}, err
	}
	reply := map[string]any{}
	if call.Site != IISSite || call.Port != 443 {
		reply["error"] = fmt.Sprintf("the site %s has 0 https bindings at port %d with the host name '%s', want one", call.Site, call.Port, call.Host)
		name = ""
	}
	switch name {
	case "# certificate iis fetch":
		reply["thumbprint"] = i.bound
		if pair := i.store[i.bound]; pair != nil {
			reply["certificate"] = pair.Certificate[0]
		}
	case "# certificate iis install":
		file, err := base64.StdEncoding.DecodeString(lines[1])
		var entry pki.KeystoreEntry
		if err == nil {
			entry, err = pki.ReadKeystore(pki.PKCS12, file, call.Password, "")
		}
		if err != nil {
			reply["error"] = "The specified network password is not correct."
			break
		}
		i.add(entry)
		i.bind(call.Thumbprint)
	case "# certificate iis bind":
		i.bind(call.Thumbprint)
	case "# certificate iis keep":
		if i.noted == nil {
			i.noted = &call.Thumbprint
		}
	case "# certificate iis origin":
		if reply["known"] = i.noted != nil; i.noted == nil {
			break
		}
		pair := i.store[*i.noted]
		if pair == nil {
			reply["error"] = "the certificate from before, " + *i.noted + ", is no longer in the machine's store"
			break
		}
		reply["thumbprint"], reply["certificate"] = *i.noted, pair.Certificate[0]
	case "# certificate iis forget":
		i.noted = nil
	}
	answer, err := json.Marshal(reply)
	return transport.Output{Text: string(answer) + "\r\n"}, err
}

// decodeScript reads what -EncodedCommand takes.
func decodeScript(encoded string) (string, error) {
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", err
	}
	units := make([]uint16, len(raw)/2)
	for n := range units {
		units[n] = binary.LittleEndian.Uint16(raw[2*n:])
	}
	return string(utf16.Decode(units)), nil
}
