package port

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Reserve has the kernel pick a port of 127.0.0.1 and keeps it from handing
// it to anybody until release, but lets a program that names the port listen
// there: of two sockets that allow it, one may listen as long as the other only
// has the address.
func Reserve() (port int, release func() error, err error) {
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
