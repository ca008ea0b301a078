// Package port reserves TCP ports of 127.0.0.1 for servers of other makers,
// which have to be told their port before they listen. Whatever listens itself
// asks the kernel for port 0 and does not need this package.
//
// Its invariant: between Reserve and release the kernel hands the port to
// nobody who did not ask for it by its number.
package port

import (
	"net"
	"strconv"
)

// Test is what Address needs of a [testing.TB], which programs do without.
type Test interface {
	Helper()
	Cleanup(func())
	Fatal(...any)
}

// Address reserves a port for as long as the test runs and returns it with
// 127.0.0.1 before it.
func Address(t Test) string {
	t.Helper()
	port, release, err := Reserve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := release(); err != nil {
			t.Fatal(err)
		}
	})
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
