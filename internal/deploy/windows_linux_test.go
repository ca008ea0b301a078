package deploy

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/tjfoc/gmsm/gmtls"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport/transporttest"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// windowsServer is a web server on a fake of Windows: what its programs are told
// has an effect on a real listener, which serves the files of drive C.
type windowsServer struct {
	*transporttest.WinRM
	t       *testing.T
	address string
	service string // empty: a process of its own
	deaf    atomic.Bool
	refuses atomic.Bool

	mu      sync.Mutex
	running bool
	said    []string
	current *tls.Certificate
	paired  bool          // the server is of TLCP
	pair    *gmtls.Config // what it shows then
}

func (s *windowsServer) path(name string) string { return filepath.Join(s.Root, "web", name) }

func (s *windowsServer) load() error {
	if s.paired {
		config, err := loadTLCP(s.path("full.pem"), s.path("key.pem"), s.path("enc.pem"), s.path("enc.key"))
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
func (s *windowsServer) program(argv []string) (string, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := strings.Join(argv, " ")
	if argv[0] == "powershell.exe" {
		line = s.decode(argv[len(argv)-1])
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
		if s.refuses.Load() {
			return "own words", 1
		}
		return "syntax is ok", 0
	case strings.HasSuffix(line, " -T"):
		return "# configuration file C:\\web/conf/nginx.conf:\npid logs/nginx.pid;\nhttp { server { listen 443 ssl; server_name " + name +
			"; ssl_certificate C:/web/full.pem; ssl_certificate_key ../key.pem; } }\n", 0
	case strings.Contains(line, "-s reload"), strings.Contains(line, "-k restart"):
		if s.deaf.Load() {
			return "", 0
		}
		return s.answer("")
	}
	return "no such program: " + line, 9009
}

func (s *windowsServer) answer(text string) (string, int) {
	if err := s.load(); err != nil {
		return err.Error(), 1
	}
	return text, 0
}

func (s *windowsServer) decode(script string) string {
	raw, err := base64.StdEncoding.DecodeString(script)
	if err != nil {
		return err.Error()
	}
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(raw[2*i:])
	}
	return string(utf16.Decode(units))
}

// told lists the commands that have words in them.
func (s *windowsServer) told(words string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.said), func(line string) bool { return !strings.Contains(line, words) })
}

func startWindowsServer(t *testing.T, service string, m sm2Pair) *windowsServer {
	t.Helper()
	s := &windowsServer{WinRM: transporttest.StartWinRM(t, false), t: t, service: service, paired: len(m.encryption.Chain) > 0}
	s.Programs = s.program
	err := os.MkdirAll(s.path("logs"), 0o700)
	write := func(fullchain, key string, m Material) {
		encoded, keyErr := m.Key.PEM()
		err = errors.Join(err, keyErr, os.WriteFile(s.path(fullchain), pki.EncodeCertificates(m.Chain...), 0o644), os.WriteFile(s.path(key), encoded, 0o600))
	}
	write("full.pem", "key.pem", m.signing)
	if s.paired {
		write("enc.pem", "enc.key", Material(m.encryption))
	}
	if err = errors.Join(err, os.WriteFile(s.path("logs/nginx.pid"), []byte("4321\r\n"), 0o644)); err == nil {
		err = s.load()
	}
	if err != nil {
		t.Fatal(err)
	}
	if s.paired {
		s.address = deploytest.ServeTLCP(t, func() *gmtls.Config {
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
	s.address = listener.Addr().String()
	go serve(listener)
	return s
}

// nginx and Apache on Windows are tested, told, asked and started as that system
// has it, and by nothing of POSIX.
func TestTargets_onWindows(t *testing.T) {
	const full, key = `C:\web\full.pem`, `C:\web\key.pem`
	pair := PairFiles{FullchainPath: `C:\web\enc.pem`, PrivateKeyPath: `C:\web\enc.key`}
	for sentence, test := range map[string]struct {
		service string
		target  func() (Target, error)
		reload  string // commands by a part of them
		alive   string
		start   string
	}{
		"nginx as a process": {
			"", func() (Target, error) {
				return NewNginx(NginxOptions{FullchainPath: full, PrivateKeyPath: key, Prefix: `C:\web`})
			}, "-s reload", "Get-Process -Id 4321", `CommandLine='"C:\web\nginx.exe" "-p" "C:\web"'`,
		},
		"nginx as a service": {
			"it's nginx", func() (Target, error) {
				return NewNginx(NginxOptions{FullchainPath: full, PrivateKeyPath: key, Prefix: `C:\web`, Service: "it's nginx"})
			}, "-s reload", "Get-Service -Name 'it''s nginx'", "Start-Service -Name 'it''s nginx'",
		},
		"nginx, with paths that are found": {
			"", func() (Target, error) { return NewNginx(NginxOptions{Prefix: `C:\web`}) }, "-s reload", "Get-Process", "Win32_Process",
		},
		"nginx with an SM2 pair": {
			"", func() (Target, error) {
				return NewNginx(NginxOptions{FullchainPath: full, PrivateKeyPath: key, Encryption: pair, Prefix: `C:\web`})
			}, "-s reload", "Get-Process -Id 4321", "Win32_Process",
		},
		"Apache with an SM2 pair": {
			"Apache2.4", func() (Target, error) {
				return NewApache(ApacheOptions{FullchainPath: full, PrivateKeyPath: key, Encryption: pair, ServerRoot: `C:\web`})
			}, "-k restart -n Apache2.4", "Get-Service -Name 'Apache2.4'", "-k start -n Apache2.4",
		},
		"Apache": {
			"Apache2.4", func() (Target, error) {
				return NewApache(ApacheOptions{FullchainPath: full, PrivateKeyPath: key, ServerRoot: `C:\web`})
			}, `C:\web\bin\httpd.exe -d C:\web -k restart -n Apache2.4`, "Get-Service -Name 'Apache2.4'", "-k start -n Apache2.4",
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			now := time.Now()
			var all []sm2Pair // without a second half where there is no place for one
			target, err := test.target()
			if err != nil {
				t.Fatal(err)
			}
			able, ok := target.(PairTarget)
			paired := ok && able.Pair().FullchainPath != ""
			ca, sm2 := deploytest.NewAuthority(t, now), newSM2Authority(t)
			for range 3 {
				if paired {
					all = append(all, sm2.pair(t, name))
					continue
				}
				chain, key := ca.Issue(t, now, []string{name})
				all = append(all, sm2Pair{signing: Material{chain, key}})
			}
			with := func(m sm2Pair) Target {
				if paired {
					return able.WithPair(m.encryption)
				}
				return target
			}
			s := startWindowsServer(t, strings.ReplaceAll(test.service, "'", "''"), all[0])
			machine, err := transport.NewWinRM(transport.WinRMOptions{
				Address: s.Address, User: s.User, Password: secret.New(s.Password), CABundle: s.CABundle, ServerName: "example.com",
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = machine.Close() })
			job := Job{
				Host: "win", Machine: machine, Target: with(all[1]), Material: all[1].signing, Now: now, Locks: &Locks{}, Logger: slog.New(slog.DiscardHandler),
				Proof: Proof{Endpoint: Endpoint{s.address, name}, Steady: -1, Timeout: 5 * time.Second},
			}
			result, err := Deploy(t.Context(), job)
			if err != nil || !result.Reloaded || result.Proven != ByHandshake {
				t.Fatalf("deploy = %+v, %v", result, err)
			}
			if len(s.told(test.reload)) != 1 || len(s.told(test.alive)) == 0 || len(s.told(test.start)) != 0 {
				t.Errorf("commands = %q", s.told(""))
			}
			job.Target, job.Material = with(all[2]), all[2].signing
			s.deaf.Store(true)
			_, err = Deploy(t.Context(), job)
			if _ = wantRollback(t, err, true); !errors.Is(err, ErrOtherServed) {
				t.Errorf("a server that does not listen: %v", err)
			}
			s.deaf.Store(false)
			s.refuses.Store(true)
			if _, err = Deploy(t.Context(), job); test.service != "" || !isOpen(target) {
				if _ = wantRollback(t, err, true); err == nil || !strings.Contains(err.Error(), "own words") {
					t.Errorf("a test that fails: %v", err)
				}
			}
			s.refuses.Store(false)
			s.mu.Lock()
			s.running = false
			s.mu.Unlock()
			if _, err := Deploy(t.Context(), job); err != nil || len(s.told(test.start)) != 1 {
				t.Errorf("a server that does not run: %v, commands %q", err, s.told(test.start))
			}
			for _, posix := range []string{"kill", "/proc", "sh -c", "apachectl"} {
				if said := s.told(posix); len(said) > 0 {
					t.Errorf("commands of POSIX: %q", said)
				}
			}
			noKeys(t, strings.Join(s.told(""), " "), all[1].signing.Key, all[2].signing.Key)
			if paired {
				noKeys(t, strings.Join(s.told(""), " "), all[1].encryption.Key, all[2].encryption.Key)
			}
			if left, err := os.ReadDir(s.path("")); err != nil || slices.ContainsFunc(left, func(e os.DirEntry) bool { return transport.IsTemporary(e.Name(), "key.pem") }) {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

func TestTargets_onWindowsRefused(t *testing.T) {
	for sentence, make := range map[string]func() error{
		"nginx without its folder": func() error {
			_, err := NewNginx(NginxOptions{FullchainPath: `C:\a.pem`, PrivateKeyPath: `C:\a.key`})
			return err
		},
		"a service on POSIX": func() error {
			_, err := NewNginx(NginxOptions{FullchainPath: "/a.pem", PrivateKeyPath: "/a.key", Service: "nginx"})
			return err
		},
	} {
		if err := make(); !errors.Is(err, ErrPath) {
			t.Errorf("%s: %v, want ErrPath", sentence, err)
		}
	}
	if _, err := NewApache(ApacheOptions{FullchainPath: `C:\a.pem`, PrivateKeyPath: `C:\a.key`, DryStart: true}); err == nil {
		t.Error("a dry start of a Windows service is not refused")
	}
	if got, want := quotedFor("a'b’c$(d)"), "'a''b’’c$(d)'"; got != want {
		t.Errorf("quoted = %s, want %s", got, want)
	}
}
