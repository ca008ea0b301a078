//go:build !linux

package port

import (
	"errors"
	"net"
)

// Reserve picks a port that was free a moment ago and hopes that nobody
// takes it.
func Reserve() (port int, release func() error, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, nil, err
	}
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return 0, nil, errors.Join(errors.New("the listener has no TCP address"), listener.Close())
	}
	return address.Port, func() error { return nil }, listener.Close()
}
