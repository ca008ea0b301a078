//go:build unix

package transport_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport/transporttest"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

func winRMOptions(w *transporttest.WinRM, ntlm bool) transport.WinRMOptions {
	return transport.WinRMOptions{
		Address: w.Address, User: w.User, Password: secret.New(w.Password), NTLM: ntlm, CABundle: w.CABundle,
		ServerName: "example.com", // in httptest's certificate
	}
}

func newWinRM(t *testing.T, options transport.WinRMOptions) *transport.Windows {
	t.Helper()
	machine, err := transport.NewWinRM(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := machine.Close(); err != nil {
			t.Error(err)
		}
	})
	return machine
}

func TestWinRM_basic(t *testing.T) {
	w := transporttest.StartWinRM(t, false)
	transporttest.Run(t, newWinRM(t, winRMOptions(w, false)), `C:`)
}

func TestWinRM_ntlm(t *testing.T) {
	w := transporttest.StartWinRM(t, true)
	transporttest.Run(t, newWinRM(t, winRMOptions(w, true)), `C:`)
}

func TestWinRM_loginRefused(t *testing.T) {
	basic, ntlm := transporttest.StartWinRM(t, false), transporttest.StartWinRM(t, true)
	untrusted := winRMOptions(basic, false)
	untrusted.CABundle = nil
	wrong, wrongNTLM := winRMOptions(basic, false), winRMOptions(ntlm, true)
	wrong.Password, wrongNTLM.Password = secret.New("hunter2"), secret.New("hunter2")
	otherName := winRMOptions(basic, false)
	otherName.ServerName = "web.example.net"
	for sentence, test := range map[string]struct {
		options transport.WinRMOptions
		is      error
		want    string
	}{
		"a wrong password":              {wrong, transport.ErrLogin, "Administrator"},
		"a wrong password for NTLM":     {wrongNTLM, transport.ErrLogin, "Administrator"},
		"basic where NTLM is wanted":    {winRMOptions(ntlm, false), transport.ErrLogin, "Negotiate"},
		"NTLM where there is none":      {winRMOptions(basic, true), transport.ErrLogin, "does not offer NTLM"},
		"a CA that is not known":        {untrusted, transport.ErrHostKey, "ca_bundle_pem"},
		"a certificate for other names": {otherName, transport.ErrHostKey, "web.example.net"},
	} {
		t.Run(sentence, func(t *testing.T) {
			_, err := newWinRM(t, test.options).List(t.Context(), `C:\`)
			if !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("list = %v, want %v and %q", err, test.is, test.want)
			}
			if err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), basic.Password) || strings.Contains(err.Error(), ntlm.Password)) {
				t.Errorf("the password shows in %v", err)
			}
		})
	}
}

func TestNewWinRM_refusesWhatCannotBe(t *testing.T) {
	for sentence, test := range map[string]struct {
		options transport.WinRMOptions
		want    string
	}{
		"no address":               {transport.WinRMOptions{User: "u", Password: secret.New("p")}, "address is empty"},
		"no user":                  {transport.WinRMOptions{Address: "web", Password: secret.New("p")}, "user to log in as is empty"},
		"no password":              {transport.WinRMOptions{Address: "web", User: "u"}, "password is empty"},
		"a CA bundle without a CA": {transport.WinRMOptions{Address: "web", User: "u", Password: secret.New("p"), CABundle: []byte("x")}, "no certificate in PEM"},
	} {
		t.Run(sentence, func(t *testing.T) {
			if _, err := transport.NewWinRM(test.options); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error = %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestWinRM_shellsAreKeptAndClosed(t *testing.T) {
	w := transporttest.StartWinRM(t, false)
	machine := newWinRM(t, winRMOptions(w, false))
	for range 3 {
		if _, err := machine.List(t.Context(), `C:\`); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.Shells(); got != 1 {
		t.Errorf("%d shells, want 1", got)
	}
	w.Forget() // as a restart of the service does
	if _, err := machine.List(t.Context(), `C:\`); err != nil {
		t.Errorf("after the service forgot the shell: %v", err)
	}
	if err := machine.Close(); err != nil || w.Shells() != 0 {
		t.Errorf("close = %v, %d shells are left", err, w.Shells())
	}
}

func TestWinRM_nothingSecretInCommandLines(t *testing.T) {
	w := transporttest.StartWinRM(t, true)
	machine := newWinRM(t, winRMOptions(w, true))
	key := "-----BEGIN PRIVATE KEY-----\n" + strings.Repeat("c2VjcmV0IGtleSBieXRlcw\n", 9000)
	if err := transport.WriteFile(t.Context(), machine, `C:\key.pem`, []byte(key), open()); err != nil {
		t.Fatal(err)
	}
	if got, _, err := machine.ReadFile(t.Context(), `C:\key.pem`); err != nil || string(got) != key {
		t.Fatalf("read %d bytes, %v", len(got), err)
	}
	seen, encoded := strings.Join(w.CommandLines(), "\n"), base64.StdEncoding.EncodeToString([]byte(key))
	for _, secret := range []string{key[28:60], encoded[40:80], w.Password} {
		if strings.Contains(seen, secret) {
			t.Error("a secret is in a command line")
		}
	}
	if len(w.CommandLines()) < 3 {
		t.Errorf("%d command lines, want those of stage, rename and read", len(w.CommandLines()))
	}
}

func TestWinRM_cutWhileWriting(t *testing.T) {
	for _, action := range []string{"Create", "Command", "Send", "Receive"} {
		t.Run(action, func(t *testing.T) {
			w := transporttest.StartWinRM(t, false)
			machine := newWinRM(t, winRMOptions(w, false))
			var cut atomic.Bool
			cut.Store(true)
			w.On(func(now string) bool { return now != action || !cut.Load() })
			err := transport.WriteFile(t.Context(), machine, `C:\key.pem`, []byte("secret"), open())
			if !errors.Is(err, transport.ErrUnreachable) || strings.Contains(err.Error(), "secret") {
				t.Errorf("write = %v, want ErrUnreachable", err)
			}
			cut.Store(false)
			if err := transport.WriteFile(t.Context(), machine, `C:\key.pem`, []byte("new"), open()); err != nil {
				t.Errorf("after that: %v", err)
			}
		})
	}
}

func TestWinRM_cancelledOnTheWay(t *testing.T) {
	w := transporttest.StartWinRM(t, false)
	for _, action := range []string{"Create", "Command", "Send", "Receive"} {
		t.Run(action, func(t *testing.T) {
			machine := newWinRM(t, winRMOptions(w, false))
			ctx, cancel := context.WithCancel(t.Context())
			hold := make(chan struct{})
			defer close(hold)
			w.On(func(now string) bool {
				if now == action {
					cancel()
					<-hold
				}
				return true
			})
			defer w.On(nil)
			started := time.Now()
			if _, err := machine.List(ctx, `C:\`); !errors.Is(err, context.Canceled) {
				t.Errorf("list = %v, want context.Canceled", err)
			}
			if took := time.Since(started); took > 20*time.Second {
				t.Errorf("list took %v", took)
			}
		})
	}
}

func TestWinRM_commandThatHangs(t *testing.T) {
	w := transporttest.StartWinRM(t, false)
	options := winRMOptions(w, false)
	options.CommandTimeout = 500 * time.Millisecond
	machine := newWinRM(t, options)
	_, err := machine.Run(t.Context(), []string{"sleep", "60"}, nil)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no end after 500ms (command_timeout)") {
		t.Errorf("run = %v, want the timeout named", err)
	}
	if out, err := machine.Run(t.Context(), []string{"echo", "on"}, nil); err != nil || out.Text != "on\n" {
		t.Errorf("the next command: %+v, %v", out, err)
	}
}

func TestWinRM_unreachable(t *testing.T) {
	w := transporttest.StartWinRM(t, false)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // whose connections nobody takes
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	proxy := httptest.NewTLSServer(http.HandlerFunc(func(response http.ResponseWriter, _ *http.Request) {
		http.Error(response, "<html>bad gateway", http.StatusBadGateway)
	}))
	defer proxy.Close()
	for sentence, test := range map[string]struct{ address, want string }{
		"a closed port":            {"127.0.0.1:1", "refused"},
		"a host that says nothing": {silent.Addr().String(), "timeout"},
		"something else":           {proxy.Listener.Addr().String(), "502"},
	} {
		t.Run(sentence, func(t *testing.T) {
			options := winRMOptions(w, false)
			options.Address, options.ConnectTimeout = test.address, 300*time.Millisecond
			if _, err := newWinRM(t, options).List(t.Context(), `C:\`); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("list = %v, want an error with %q", err, test.want)
			}
		})
	}
}

func TestWinRM_fullDisk(t *testing.T) {
	w := transporttest.StartWinRM(t, false)
	w.Root = transporttest.SmallDisk(t)
	machine := newWinRM(t, winRMOptions(w, false))
	if err := transport.WriteFile(t.Context(), machine, `C:\key.pem`, []byte("old"), open()); err != nil {
		t.Fatal(err)
	}
	err := transport.WriteFile(t.Context(), machine, `C:\key.pem`, bytes.Repeat([]byte("secret "), 30000), open())
	if !errors.Is(err, syscall.ENOSPC) || strings.Contains(err.Error(), "secret") {
		t.Errorf("write = %v, want no space left", err)
	}
	if got, err := os.ReadFile(filepath.Join(w.Root, "key.pem")); err != nil || string(got) != "old" {
		t.Errorf("the file holds %q, %v", got, err)
	}
}

func TestWindows_relativePathIsRefused(t *testing.T) {
	machine := newWinRM(t, winRMOptions(transporttest.StartWinRM(t, false), false))
	for _, path := range []string{"key.pem", `\key.pem`, "/etc/key.pem", "C:key.pem"} {
		if _, _, err := machine.ReadFile(t.Context(), path); err == nil || !strings.Contains(err.Error(), "no absolute path") {
			t.Errorf("read of %q = %v", path, err)
		}
	}
}
