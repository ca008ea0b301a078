package systemd

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestNotifier_sendsStates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	n := NewNotifier()
	if _, ok := os.LookupEnv("NOTIFY_SOCKET"); ok {
		t.Error("children would speak for the service")
	}
	for _, c := range []struct {
		send func() error
		want string
	}{
		{func() error { return n.Ready("serving\n2 zones") }, "READY=1\nSTATUS=serving 2 zones"},
		{func() error { return n.Reloading(17) }, "RELOADING=1\nMONOTONIC_USEC=17"},
		{n.Stopping, "STOPPING=1"},
	} {
		if err := c.send(); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		if err := manager.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		k, err := manager.Read(buf)
		if err != nil || string(buf[:k]) != c.want {
			t.Errorf("got %q, %v; want %q", buf[:k], err, c.want)
		}
	}
}

func TestNotifier_withoutAManagerSaysNothing(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := NewNotifier().Ready("serving"); err != nil {
		t.Error(err)
	}
}

func TestInherit_isForThisProcessOnly(t *testing.T) {
	t.Setenv("LISTEN_PID", "1")
	t.Setenv("LISTEN_FDS", "2")
	got, err := Inherit()
	if err != nil || len(got.Packets)+len(got.Listeners) > 0 {
		t.Errorf("took over %v, %v", got, err)
	}
	if _, ok := os.LookupEnv("LISTEN_FDS"); ok {
		t.Error("children would take the sockets over again")
	}
}
