package deploy

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport/transporttest"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// wire is a machine that keeps everything that crosses the way to it, in either
// direction.
type wire struct {
	transport.Transport
	mu     sync.Mutex
	passed strings.Builder
	before func(argv []string) error // called before each command; may be nil
}

func (w *wire) note(parts ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.passed.WriteString(strings.Join(parts, "\n") + "\n")
}

func (w *wire) Run(ctx context.Context, argv []string, stdin []byte) (transport.Output, error) {
	if w.before != nil {
		if err := w.before(argv); err != nil {
			return transport.Output{}, err
		}
	}
	out, err := w.Transport.Run(ctx, argv, stdin)
	w.note(append(slices.Clone(argv), string(stdin), out.Text)...)
	return out, err
}

func (w *wire) ReadFile(ctx context.Context, path string) ([]byte, transport.FileInfo, error) {
	data, info, err := w.Transport.ReadFile(ctx, path)
	w.note("read "+path, string(data))
	return data, info, err
}

func (w *wire) Stage(ctx context.Context, path string, data []byte, attributes transport.Attributes) (transport.Staged, error) {
	w.note("stage "+path, string(data))
	return w.Transport.Stage(ctx, path, data, attributes)
}

func (w *wire) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.passed.String()
}

// wantNothingOf checks that no line of the keys in the files crossed the way.
func (w *wire) wantNothingOf(t *testing.T, files ...string) {
	t.Helper()
	for _, file := range files {
		noKeys(t, w.text(), keyIn(t, file))
	}
	if strings.Contains(w.text(), "PRIVATE KEY") {
		t.Error("a private key crossed the way to the machine")
	}
}

func keyIn(t *testing.T, file string) pki.Key {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	key, err := pki.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func needOpenSSL(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("needs the apt package openssl")
	}
}

func hostKey(directory string) HostKey {
	return HostKey{Path: filepath.Join(directory, "www.key"), Algorithm: pki.ECDSAP256, Names: []string{name, "192.0.2.7"}}
}

// ways are machines that are reached in each way a key can be made on.
func ways(t *testing.T) map[string]transport.Transport {
	t.Helper()
	user := transporttest.AddUser(t, "ALL=(ALL) NOPASSWD: ALL")
	asUser := transporttest.StartSSHD(t, "PasswordAuthentication yes")
	plain := transporttest.StartSSHD(t)
	sudo := transport.SSHOptions{Hop: hopTo(asUser), Become: &transport.Become{}}
	sudo.User, sudo.Credentials = user.Name, transport.Credentials{Password: secret.New(user.Password)}
	return map[string]transport.Transport{
		"here":         transport.Local{},
		"over SSH":     overSSH(t, transport.SSHOptions{Hop: hopTo(plain)}),
		"by sudo":      overSSH(t, sudo),
		"without SFTP": overSSH(t, transport.SSHOptions{Hop: hopTo(transporttest.StartSSHD(t, transporttest.NoSFTP))}),
	}
}

func TestHostKey_isMadeAndStays(t *testing.T) {
	needOpenSSL(t)
	for way, machine := range ways(t) {
		for _, algorithm := range []pki.Algorithm{pki.RSA2048, pki.ECDSAP256, pki.ECDSAP384, pki.Ed25519} {
			t.Run(way+"/"+string(algorithm), func(t *testing.T) {
				w := &wire{Transport: machine}
				k := hostKey(t.TempDir())
				k.Algorithm, k.Mode, k.Owner = algorithm, 0o640, "12:34"
				k.Subject = pki.Subject{Organization: `Müller & 'Söhne' "Co" \ $HOME #1`, Country: "DE"}
				held, err := k.Make(t.Context(), w, "")
				if err != nil {
					t.Fatal(err)
				}
				key := keyIn(t, k.Path)
				if held.Path != k.Path || held.Hash != key.Hash() || key.Algorithm() != algorithm {
					t.Errorf("made %+v of %s, want %s at %s", held, key.Algorithm(), key.Hash(), k.Path)
				}
				request, err := pki.ParseRequest(held.Request)
				if err != nil {
					t.Fatal(err)
				}
				if got := pki.RequestNames(request); !slices.Equal(got, k.Names) || pki.SubjectOf(request.Subject) != k.Subject {
					t.Errorf("the request is for %q of %s", got, request.Subject)
				}
				info, err := w.Stat(t.Context(), k.Path)
				if want := (transport.Attributes{Mode: 0o640, UID: 12, GID: 34}); err != nil || info.Attributes != want {
					t.Errorf("attributes %+v, %v, want %+v", info.Attributes, err, want)
				}
				w.wantNothingOf(t, k.Path)
				if names, err := w.List(t.Context(), filepath.Dir(k.Path)); err != nil || len(names) != 1 {
					t.Errorf("left %q, %v", names, err)
				}
				if found, err := k.Find(t.Context(), w, held.Hash); err != nil || k.Waits(found) {
					t.Errorf("found %+v, %v", found, err)
				}
			})
		}
	}
}

func TestHostKey_nextToWhatIsThere(t *testing.T) {
	needOpenSSL(t)
	k := hostKey(t.TempDir())
	w := &wire{Transport: transport.Local{}}
	if err := os.WriteFile(k.Path, []byte("what a server reads now"), 0o640); err != nil {
		t.Fatal(err)
	}
	// What a run leaves that was killed while openssl worked.
	half := filepath.Join(filepath.Dir(k.Path), ".www.key.next.certificate-new-0123456789abcdef")
	if err := os.WriteFile(half, []byte("half a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	first, err := k.Make(t.Context(), w, "")
	if _, left := os.Stat(half); left == nil {
		t.Error("half a key is still there")
	}
	if err != nil || !k.Waits(first) {
		t.Fatalf("made %+v, %v; want a key that waits", first, err)
	}
	if text, err := os.ReadFile(k.Path); err != nil || string(text) != "what a server reads now" {
		t.Errorf("what was there is %q, %v", text, err)
	}
	if info, err := os.Stat(first.Path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("its mode is %v, %v; want that of the file it will replace", info.Mode(), err)
	}
	// A run that was killed before it could say what it made: the next one takes
	// the key up.
	taken, err := k.Make(t.Context(), w, "")
	if err != nil || taken.Hash != first.Hash {
		t.Errorf("taken up %s, %v; want %s", taken.Hash, err, first.Hash)
	}
	// Its own key that waits is replaced when another one is wanted.
	second, err := k.Make(t.Context(), w, first.Hash)
	if err != nil || second.Hash == first.Hash {
		t.Errorf("made %s, %v; want another key", second.Hash, err)
	}
	if _, err := k.Find(t.Context(), w, first.Hash); !errors.Is(err, ErrKeyGone) {
		t.Errorf("find the replaced key = %v, want ErrKeyGone", err)
	}
	// One of another kind is nobody's that we know.
	k.Algorithm = pki.RSA2048
	before := keyIn(t, second.Path).Hash()
	if _, err := k.Make(t.Context(), w, "another"); !errors.Is(err, ErrKeyInTheWay) {
		t.Errorf("make = %v, want ErrKeyInTheWay", err)
	}
	if keyIn(t, second.Path).Hash() != before {
		t.Error("a strange key was overwritten")
	}
	w.wantNothingOf(t, second.Path)
	if err := k.Delete(t.Context(), w, second.Hash); err != nil {
		t.Error(err)
	}
	if names, err := w.List(t.Context(), filepath.Dir(k.Path)); err != nil || len(names) != 1 {
		t.Errorf("left %q, %v; want what a server reads", names, err)
	}
}

func TestHostKey_isRefused(t *testing.T) {
	needOpenSSL(t)
	user := transporttest.AddUser(t)
	asUser := transporttest.StartSSHD(t, "PasswordAuthentication yes")
	login := transport.SSHOptions{Hop: hopTo(asUser)}
	login.User, login.Credentials = user.Name, transport.Credentials{Password: secret.New(user.Password)}
	sudo := login
	sudo.Become = &transport.Become{}
	full := filepath.Join(transporttest.SmallDisk(t), "www.key")
	if err := os.WriteFile(full+".rest", make([]byte, 1<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	closed := t.TempDir()
	for sentence, test := range map[string]struct {
		machine transport.Transport
		path    string
		want    string
	}{
		"a directory that may not be written": {overSSH(t, login), filepath.Join(closed, "www.key"), "ermission denied"},
		"no right to use sudo":                {overSSH(t, sudo), filepath.Join(closed, "www.key"), "sudo"},
		"no directory":                        {transport.Local{}, filepath.Join(closed, "absent", "www.key"), "no such file"},
		"a full disk":                         {transport.Local{}, full, "no space left"},
		"no openssl":                          {&wire{Transport: transport.Local{}, before: func([]string) error { return exec.ErrNotFound }}, filepath.Join(closed, "www.key"), "no openssl program"},
		"a path on Windows":                   {transport.Local{}, `C:\tls\www.key`, "certreq"},
		"a relative path":                     {transport.Local{}, "www.key", "absolute"},
	} {
		t.Run(sentence, func(t *testing.T) {
			k := hostKey("/")
			k.Path = test.path
			_, err := k.Make(t.Context(), test.machine, "")
			if err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(test.want)) {
				t.Errorf("make = %v, want words of %q", err, test.want)
			}
		})
	}
	if files := state(t, closed); len(files) != 0 {
		t.Errorf("left %d files", len(files))
	}
	if names, err := filepath.Glob(filepath.Join(filepath.Dir(full), ".*")); err != nil || len(names) != 0 {
		t.Errorf("left %q, %v on the full disk", names, err)
	}
}

// Cut off before any of its commands, making a key leaves what was there, and a
// further run makes one.
func TestHostKey_cutOffAnywhere(t *testing.T) {
	needOpenSSL(t)
	cut := errors.New("cut off")
	for commands := range 12 {
		k := hostKey(t.TempDir())
		if err := os.WriteFile(k.Path, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		left := commands
		w := &wire{Transport: transport.Local{}, before: func([]string) error {
			if left--; left < 0 {
				return cut
			}
			return nil
		}}
		_, err := k.Make(t.Context(), w, "")
		if err == nil {
			if commands < 5 {
				t.Errorf("made with %d commands", commands)
			}
			continue
		}
		if !errors.Is(err, cut) {
			t.Errorf("after %d commands: %v", commands, err)
		}
		if text, err := os.ReadFile(k.Path); err != nil || string(text) != "old" {
			t.Errorf("after %d commands the old file is %q, %v", commands, text, err)
		}
		if names, err := w.List(t.Context(), filepath.Dir(k.Path)); err != nil || len(names) != 1 {
			t.Errorf("after %d commands there are %q, %v", commands, names, err)
		}
		if _, err := k.Make(t.Context(), transport.Local{}, ""); err != nil {
			t.Errorf("after %d commands, again: %v", commands, err)
		}
	}
}

// The commands that the guide tells to allow are enough, from the key to the
// served certificate.
func TestHostKey_withTheSudoersOfTheGuide(t *testing.T) {
	needOpenSSL(t)
	guide, err := os.ReadFile(filepath.Join("..", "..", "templates", "guides", "keys-on-hosts.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rule, ok := strings.Cut(string(guide), "\ndeploy ")
	if rule, _, _ = strings.Cut(rule, "\n"); !ok {
		t.Fatal("the guide has no line for sudoers")
	}
	user := transporttest.AddUser(t, rule+", /usr/sbin/nginx")
	s := transporttest.StartSSHD(t, "PasswordAuthentication yes")
	options := transport.SSHOptions{Hop: hopTo(s), Become: &transport.Become{}}
	options.User, options.Credentials = user.Name, transport.Credentials{Password: secret.New(user.Password)}
	b := newBorn(t, overSSH(t, options))
	if err := b.key.Check(t.Context(), b.wire); err != nil {
		t.Error(err)
	}
	if err := CheckHost(t.Context(), b.wire, b.job.Target); err != nil {
		t.Error(err)
	}
	if _, err := Deploy(t.Context(), b.job); err != nil {
		t.Fatal(err)
	}
	b.wantServed(t, b.next)
	b.wire.wantNothingOf(t, b.PrivateKeyPath)
}
