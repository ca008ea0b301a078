package postgrestest

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// reserve has the kernel pick a port of 127.0.0.1 and keeps it from handing it
// to anybody until release, but lets a program that names the port listen
// there: of two sockets that allow it, one may listen as long as the other only
// has the address.
func reserve() (port int, release func() error, err error) {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, fmt.Errorf("open a socket: %w", err)
	}
	release = func() error { return unix.Close(socket) }
	err = unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err == nil {
		err = unix.Bind(socket, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	var name unix.Sockaddr
	if err == nil {
		name, err = unix.Getsockname(socket)
	}
	if err != nil {
		return 0, nil, errors.Join(fmt.Errorf("bind a socket: %w", err), release())
	}
	address, ok := name.(*unix.SockaddrInet4)
	if !ok {
		return 0, nil, errors.Join(errors.New("the socket has no IPv4 address"), release())
	}
	return address.Port, release, nil
}

// tie has the kernel end the server when the tests end, even killed ones.
func tie(attributes *syscall.SysProcAttr) { attributes.Pdeathsig = syscall.SIGQUIT }

// Freeze stops the server's processes for the time being, as a hanging disk
// would, until thaw is called.
func (s *Server) Freeze(tb testing.TB) (thaw func()) {
	tb.Helper()
	pids := []int{s.process.Pid}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", s.process.Pid))
	if err != nil {
		tb.Fatal(err)
	}
	for _, field := range strings.Fields(string(children)) {
		if pid, err := strconv.Atoi(field); err == nil {
			pids = append(pids, pid)
		}
	}
	signal := func(signal syscall.Signal) {
		for _, pid := range pids {
			if err := syscall.Kill(pid, signal); err != nil {
				tb.Errorf("signal %d: %v", pid, err)
			}
		}
	}
	signal(syscall.SIGSTOP)
	return sync.OnceFunc(func() { signal(syscall.SIGCONT) })
}
