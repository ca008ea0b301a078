package dnsserver

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// program finds a program that a test needs; without it the test is skipped,
// which in CI counts as a failure.
func program(t testing.TB, name, debian string) string {
	t.Helper()
	for _, folder := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		path := filepath.Join(folder, name)
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return path
		}
	}
	t.Skipf("%s is not installed: apt-get install -y --no-install-recommends %s", name, debian)
	return ""
}

// run gives a program its input and returns what it says, and its error.
func run(t testing.TB, input, path string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, path, args...)
	command.Stdin = strings.NewReader(input)
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	err := command.Run()
	return out.String(), err
}

// keyFile writes a key as tsig-keygen does.
func keyFile(t testing.TB, name, algorithm string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	text := fmt.Sprintf("key %q {\n\talgorithm %s;\n\tsecret %q;\n};\n", name, algorithm, updateSecret)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUpdate_nsupdate(t *testing.T) {
	nsupdate := program(t, "nsupdate", "bind9-dnsutils")
	s := startServer(t, updateConfig(), NewMemoryStore())
	header := fmt.Sprintf("server 127.0.0.1 %d\n", s.Addr().Port())
	for _, transport := range [][]string{nil, {"-v"}} {
		for key, algorithm := range map[string]string{"all": "hmac-sha256", "txt": "hmac-sha512"} {
			file := keyFile(t, key, algorithm)
			// It finds the zone by an SOA question, which it signs, and walks up.
			for _, step := range []struct{ input, want string }{
				{"update add a.dyn.example.com. 60 TXT one\nsend\n", "TXT one"},
				{"update add a.dyn.example.com. 60 TXT two\nsend\n", "TXT one, TXT two"},
				{"prereq yxrrset a.dyn.example.com. TXT one\nupdate delete a.dyn.example.com. TXT one\nsend\n", "TXT two"},
				{"zone example.com\nprereq yxdomain a.dyn.example.com.\nupdate delete a.dyn.example.com. TXT\nsend\n", ""},
			} {
				input := step.input
				if strings.Contains(input, "yxrrset") { // exact sets only, as RFC 2136 has them
					input = strings.Replace(input, "prereq yxrrset a.dyn.example.com. TXT one", "prereq yxrrset a.dyn.example.com. TXT", 1)
				}
				out, err := run(t, header+input, nsupdate, append([]string{"-k", file}, transport...)...)
				if got := strings.Join(shown(t, s, "a.dyn.example.com."), ", "); err != nil || got != step.want {
					t.Fatalf("%s %v %q: %v %s; there is %q, want %q", key, transport, input, err, out, got, step.want)
				}
			}
		}
		for sentence, c := range map[string]struct{ args, input, want string }{
			"the key may not":     {keyFile(t, "txt", "hmac-sha512"), "update add b.example.com. 60 TXT x\nsend\n", "REFUSED"},
			"no signature":        {"", "zone example.com\nupdate add b.example.com. 60 TXT x\nsend\n", "REFUSED"},
			"an unknown key":      {keyFile(t, "who", "hmac-sha256"), "zone example.com\nupdate add b.example.com. 60 TXT x\nsend\n", "BADKEY"},
			"another algorithm":   {keyFile(t, "all", "hmac-sha512"), "zone example.com\nupdate add b.example.com. 60 TXT x\nsend\n", "BADKEY"},
			"a name that is used": {keyFile(t, "all", "hmac-sha256"), "zone example.com\nprereq nxdomain www.example.com\nupdate add b.example.com. 60 TXT x\nsend\n", "YXDOMAIN"},
			"configured records":  {keyFile(t, "all", "hmac-sha256"), "zone example.com\nupdate delete www.example.com A\nsend\n", "REFUSED"},
		} {
			args := transport
			if c.args != "" {
				args = append([]string{"-k", c.args}, transport...)
			}
			if out, err := run(t, header+c.input, nsupdate, args...); err == nil || !strings.Contains(out, c.want) {
				t.Errorf("%s %v: %v %q, want %s", sentence, transport, err, out, c.want)
			}
		}
	}
}

func TestUpdate_knsupdate(t *testing.T) {
	knsupdate := program(t, "knsupdate", "knot-dnsutils")
	s := startServer(t, updateConfig(), NewMemoryStore())
	header := fmt.Sprintf("server 127.0.0.1 %d\nzone example.com.\n", s.Addr().Port())
	for _, transport := range [][]string{nil, {"-v"}} {
		for _, step := range []struct{ input, want string }{
			{"update add a.dyn.example.com. 60 TXT one\nupdate add a.dyn.example.com. 60 TXT two\nsend\n", "TXT one, TXT two"},
			{"prereq yxdomain a.dyn.example.com.\nupdate delete a.dyn.example.com. TXT one\nsend\n", "TXT two"},
			{"update delete a.dyn.example.com.\nsend\n", ""},
		} {
			out, err := run(t, header+step.input, knsupdate, append([]string{"-y", "hmac-sha512:txt:" + updateSecret}, transport...)...)
			if got := strings.Join(shown(t, s, "a.dyn.example.com."), ", "); err != nil || got != step.want {
				t.Fatalf("%v %q: %v %s; there is %q, want %q", transport, step.input, err, out, got, step.want)
			}
		}
		out, _ := run(t, header+"update add b.example.com. 60 TXT x\nsend\n", knsupdate, append([]string{"-y", "hmac-sha512:txt:" + updateSecret}, transport...)...)
		if got := shown(t, s, "b.example.com."); len(got) > 0 || !strings.Contains(out, "REFUSED") {
			t.Errorf("%v: %q, and there is %q; want REFUSED", transport, out, got)
		}
	}
}
