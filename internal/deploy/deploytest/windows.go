//go:build unix

package deploytest

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tjfoc/gmsm/gmtls"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport/transporttest"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// WindowsSite is the name of the site of a Windows machine.
const WindowsSite = "www.example.com"

// Windows is a fake of a Windows machine with an nginx or Apache in C:\web: what
// its programs are told has an effect on a real listener, which serves the files
// full.pem and key.pem there, and in TLCP enc.pem and enc.key too. It is no
// PowerShell, and looks for words in what it is told.
type Windows struct {
	*transporttest.WinRM
	Site    string      // where the server answers, as host:port
	Deaf    atomic.Bool // says yes and loads nothing
	Refuses atomic.Bool // says that the configuration is wrong

	service string // empty: a process of its own

	mu      sync.Mutex
	running bool
	said    []string
	current *tls.Certificate
	paired  bool          // the server is of TLCP
	pair    *gmtls.Config // what it shows then
}

func (s *Windows) path(name string) string { return filepath.Join(s.Root, "web", name) }

func (s *Windows) load() error {
	if s.paired {
		config, err := LoadTLCP(s.path("full.pem"), s.path("key.pem"), s.path("enc.pem"), s.path("enc.key"))
		if err == nil {
			s.pair, s.running = config, true
		}
		return err
	}
	pair, err := tls.LoadX509KeyPair(s.path("full.pem"), s.path("key.pem"))
	if err == nil {
		s.current, s.running = &pair, true
	}
	return err
}

// program does what argv says, as the real one is documented to.
func (s *Windows) program(argv []string, _ []byte) (string, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := strings.Join(argv, " ")
	if argv[0] == "powershell.exe" {
		script, err := decodeScript(argv[len(argv)-1])
		if err != nil {
			return err.Error(), 1
		}
		line = script
	}
	s.said = append(s.said, line)
	switch {
	case strings.Contains(line, "Get-Service -Name '"+s.service+"'"):
		if s.running {
			return "Running", 0
		}
		return "Stopped", 0
	case strings.Contains(line, "Get-Process -Id 4321"):
		if s.running {
			return "nginx", 0
		}
		return "", 0
	case strings.Contains(line, "Win32_Process"), strings.Contains(line, "Start-Service -Name '"+s.service+"'"), strings.Contains(line, "-k start"):
		return s.answer("0")
	case strings.HasSuffix(line, " -t"), strings.Contains(line, " -t "):
		if s.Refuses.Load() {
			return "own words", 1
		}
		return "syntax is ok", 0
	case strings.HasSuffix(line, " -T"):
		return "# configuration file C:\\web/conf/nginx.conf:\npid logs/nginx.pid;\nhttp { server { listen 443 ssl; server_name " + WindowsSite +
			"; ssl_certificate C:/web/full.pem; ssl_certificate_key ../key.pem; } }\n", 0
	case strings.Contains(line, "-s reload"), strings.Contains(line, "-k restart"):
		if s.Deaf.Load() {
			return "", 0
		}
		return s.answer("")
	}
	return "no such program: " + line, 9009
}

func (s *Windows) answer(text string) (string, int) {
	if err := s.load(); err != nil {
		return err.Error(), 1
	}
	return text, 0
}

// Halt has the server end, as if it had crashed.
func (s *Windows) Halt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = false
}

// Told lists the commands that have words in them.
func (s *Windows) Told(words string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.said), func(line string) bool { return !strings.Contains(line, words) })
}

// StartWindows starts a machine whose server, a service unless that is empty, has
// a certificate, or a pair of SM2: the one that signs and the one that encrypts.
func StartWindows(t testing.TB, service string, certificates ...pki.KeystoreEntry) *Windows {
	t.Helper()
	s := &Windows{WinRM: transporttest.StartWinRM(t, true), service: strings.ReplaceAll(service, "'", "''"), paired: len(certificates) > 1}
	s.Programs = s.program
	if err := os.MkdirAll(s.path("logs"), 0o700); err != nil {
		t.Fatal(err)
	}
	for i, files := range [][2]string{{"full.pem", "key.pem"}, {"enc.pem", "enc.key"}}[:len(certificates)] {
		key, err := certificates[i].Key.PEM()
		if err != nil {
			t.Fatal(err)
		}
		write(t, s.path(files[0]), pki.EncodeCertificates(certificates[i].Chain...), 0o644)
		write(t, s.path(files[1]), key, 0o600)
	}
	write(t, s.path("logs/nginx.pid"), []byte("4321\r\n"), 0o644)
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	if s.paired {
		s.Site = ServeTLCP(t, func() *gmtls.Config {
			s.mu.Lock()
			defer s.mu.Unlock()
			if !s.running {
				return nil
			}
			return s.pair
		})
		return s
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.running {
			return nil, net.ErrClosed
		}
		return &tls.Config{Certificates: []tls.Certificate{*s.current}, MinVersion: tls.VersionTLS12}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	s.Site = listener.Addr().String()
	go accept(listener)
	return s
}
