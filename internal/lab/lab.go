// Package lab is a world for certificates on one machine: an ACME CA, the
// companion DNS responder and a web server, on loopback ports that the kernel
// picks, in one process.
//
// It serves demonstrations and tests, never production: the CA is Pebble, its
// root is new at every start, and all names below "test" exist. Its invariant:
// nothing listens anywhere but on 127.0.0.1, and everything it wrote is gone
// after Close.
package lab

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
	"github.com/certiform/terraform-provider-certificate/internal/lab/tencentsim"
)

// Zone is the DNS zone of the lab: every name below it has the address
// 127.0.0.1, and validation records can be published at every name.
const Zone = "test"

// Options change what a lab is. The zero value is a lab for people.
type Options struct {
	// Provider is the provider's executable; empty for a lab without Terraform.
	Provider string
	// CertificateLife is how long issued certificates are valid; 0 means 90
	// days.
	CertificateLife time.Duration
	// PollSuggestions has the CA let clients ask for renewal information at any
	// time instead of every six hours.
	PollSuggestions bool
	// HTTPPort and TLSPort are where the CA validates over HTTP and by TLS
	// handshakes; 0 has the kernel pick ports that stay free.
	HTTPPort, TLSPort int
	// Resolver is where the CA looks names up, as host:port; empty for the lab's
	// responder.
	Resolver string
	// Records are more records of the lab's zone, in the format of zone files.
	Records string
	// ExternalAccounts has the CA take only accounts that are bound to one of
	// these: key identifier to key in base64url.
	ExternalAccounts map[string]string
	// Intercept may wrap the CA's HTTP handler, to count or break requests.
	Intercept func(ca http.Handler) http.Handler
	// CommercialCA starts the simulator of Tencent Cloud's SSL API too.
	CommercialCA bool
	// Logger gets the events of the parts; nil discards them.
	Logger *slog.Logger
}

// Lab is a running lab.
type Lab struct {
	// Directory holds all its files: storage, web files, roots.
	Directory string
	// DirectoryURL is the CA's ACME directory.
	DirectoryURL string
	// CABundle (PEM) is to be trusted for the CA's own HTTPS.
	CABundle []byte
	// Roots (PEM) is to be trusted for certificates the CA issues.
	Roots []byte
	// ResponderURL and ResponderToken are for the responder's API.
	ResponderURL, ResponderToken string
	// DNS is the responder's address for queries.
	DNS string
	// HTTPPort and TLSPort are where the CA validates over HTTP and by TLS
	// handshakes. All names of the lab have the address 127.0.0.1.
	HTTPPort, TLSPort int
	// ControlURL is the lab's own API, see Control.
	ControlURL string
	// Web is the HTTPS server that serves what a deployment writes.
	Web *Web
	// CA is the certificate authority.
	CA *CA
	// Commercial is the simulator of the commercial CA, nil without one, and
	// CommercialURL its API.
	Commercial    *tencentsim.Simulator
	CommercialURL string
	// CommercialID and CommercialKey are the credential there.
	CommercialID, CommercialKey string
	// CommercialSeeds are what the account there has at the start, as names of
	// Terraform variables to values.
	CommercialSeeds map[string]string
	// Responder is the DNS server, for tests that look inside.
	Responder *dnsserver.Server

	options Options
	closers []func() error

	mu    sync.Mutex
	ahead time.Duration // by how much the clocks were moved
}

// Start starts all parts. Close ends them.
func Start(ctx context.Context, options Options) (_ *Lab, err error) {
	if life := options.CertificateLife; life != 0 && life < time.Second {
		return nil, fmt.Errorf("certificates that are valid for %s cannot be made, want a second at least", life)
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Lab{options: options}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if l.Directory, err = os.MkdirTemp("", "certificate-lab-"); err != nil {
		return nil, fmt.Errorf("create the lab's folder: %w", err)
	}
	l.closers = append(l.closers, func() error { return os.RemoveAll(l.Directory) })
	if err := l.pickPorts(); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{l.startResponder, l.startCA, l.startCommercial, l.startWeb, l.startControl, l.writeFiles} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// Close ends all parts and removes the lab's files.
func (l *Lab) Close() error {
	var failures []error
	for i := len(l.closers) - 1; i >= 0; i-- {
		failures = append(failures, l.closers[i]())
	}
	l.closers = nil
	return errors.Join(failures...)
}

// startResponder serves the lab's zone.
func (l *Lab) startResponder(ctx context.Context) error {
	var secret [20]byte
	_, _ = rand.Read(secret[:]) // never fails (Go 1.24)
	l.ResponderToken = hex.EncodeToString(secret[:])
	sum := sha256.Sum256([]byte(l.ResponderToken))
	server, err := dnsserver.New(dnsserver.Config{
		Zones: []dnsserver.Zone{{
			Name: Zone, NameServers: []string{"ns1." + Zone},
			Records: "ns1 A 127.0.0.1\n* A 127.0.0.1\n" + l.options.Records,
		}},
		Tokens: []dnsserver.Token{{Name: "lab", SHA256: hex.EncodeToString(sum[:]), Names: []string{"*." + Zone}, Rights: []string{"read", "write", "register"}}},
	}, dnsserver.NewMemoryStore(), l.options.Logger)
	if err != nil {
		return fmt.Errorf("set the responder up: %w", err)
	}
	if err := server.Start(ctx, "127.0.0.1:0"); err != nil {
		return fmt.Errorf("start the responder: %w", err)
	}
	l.Responder, l.DNS = server, server.Addr().String()
	l.closers = append(l.closers, func() error { return shutdown(server.Shutdown) })
	l.ResponderURL, err = l.serve(server.Handler())
	return err
}

// serve starts an HTTP server for a handler and returns its URL.
func (l *Lab) serve(handler http.Handler) (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends with Shutdown
	l.closers = append(l.closers, func() error { return shutdown(server.Shutdown) })
	return "http://" + listener.Addr().String(), nil
}

// shutdown gives a server a moment to finish what it does.
func shutdown(stop func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := stop(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stop a server of the lab: %w", err)
	}
	return nil
}

func (l *Lab) writeFiles(context.Context) error {
	if err := os.WriteFile(l.rootsFile(), l.Roots, 0o600); err != nil {
		return fmt.Errorf("write the lab's roots: %w", err)
	}
	if l.options.Provider == "" {
		return nil
	}
	return writeMirror(filepath.Join(l.Directory, "terraform"), l.options.Provider)
}

func (l *Lab) rootsFile() string { return filepath.Join(l.Directory, "roots.pem") }

// StorageDirectory is where the provider keeps its things in the lab.
func (l *Lab) StorageDirectory() string { return filepath.Join(l.Directory, "storage") }

// HTTPAddress is where the CA's http-01 validations of the lab's names arrive,
// as host:port.
func (l *Lab) HTTPAddress() string { return loopback(l.HTTPPort) }

// TLSAddress is where its tls-alpn-01 validations do.
func (l *Lab) TLSAddress() string { return loopback(l.TLSPort) }

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// Environment is what a command needs to use the lab, as NAME=value.
func (l *Lab) Environment() []string {
	_, port, _ := net.SplitHostPort(l.DNS)
	environment := []string{
		"CERTIFICATE_ACME_DIRECTORY_URL=" + l.DirectoryURL,
		"CERTIFICATE_ACME_CA_BUNDLE_PEM=" + string(l.CABundle),
		"CERTIFICATE_ACME_TERMS_OF_SERVICE_AGREED=" + strconv.FormatBool(true),
		"CERTIFICATE_RESPONDER_URL=" + l.ResponderURL,
		"CERTIFICATE_RESPONDER_TOKEN=" + l.ResponderToken,
		"CERTIFICATE_RESOLVERS=" + l.DNS,
		"CERTIFICATE_NAME_SERVER_PORT=" + port,
		"CERTIFICATE_STORAGE_DIRECTORY=" + l.StorageDirectory(),
		"CERTIFICATE_LAB_URL=" + l.ControlURL,
		"CERTIFICATE_LAB_ROOTS=" + l.rootsFile(),
		"TF_VAR_http_01_listen=" + l.HTTPAddress(),
		"TF_VAR_tls_alpn_01_listen=" + l.TLSAddress(),
		"TF_VAR_web_address=" + l.Web.Address,
		"TF_VAR_fullchain_path=" + l.Web.Fullchain,
		"TF_VAR_private_key_path=" + l.Web.PrivateKey,
	}
	if l.Commercial != nil {
		environment = append(environment,
			"CERTIFICATE_TENCENTCLOUD_URL="+l.CommercialURL,
			"TENCENTCLOUD_SECRET_ID="+l.CommercialID,
			"TENCENTCLOUD_SECRET_KEY="+l.CommercialKey,
			"CERTIFICATE_CLOCK_OFFSET=@"+l.clockFile(),
		)
		for name, value := range l.CommercialSeeds {
			environment = append(environment, "TF_VAR_"+name+"="+value)
		}
	}
	if executable, err := os.Executable(); err == nil {
		environment = append(environment, "CERTIFICATE_LAB="+executable, fmt.Sprintf(`TF_VAR_reload_command=[%q, "reload"]`, executable))
	}
	if l.options.Provider != "" {
		environment = append(environment, "TF_CLI_CONFIG_FILE="+filepath.Join(l.Directory, "terraform", "terraform.rc"))
	}
	return environment
}
