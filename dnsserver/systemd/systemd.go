// Package systemd speaks with the service manager that started the process: it
// tells it when the service is ready, and takes over sockets that it opened.
//
// The protocols are a datagram (sd_notify(3)) and three environment variables
// (sd_listen_fds(3)), so no library is needed. Its invariant: without a service
// manager everything here does nothing.
package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// firstFile is where inherited descriptors begin (SD_LISTEN_FDS_START).
const firstFile = 3

// Notifier sends what becomes of the service. The zero value sends nothing.
type Notifier struct{ address string }

// NewNotifier takes its address from the environment's NOTIFY_SOCKET, and
// removes it there, so that children do not speak for the service.
func NewNotifier() Notifier {
	address := os.Getenv("NOTIFY_SOCKET")
	_ = os.Unsetenv("NOTIFY_SOCKET") // fails only for names that are none
	return Notifier{address}
}

// Ready says that the service does its work, with a status for people.
func (n Notifier) Ready(status string) error { return n.send("READY=1\nSTATUS=" + line(status)) }

// Reloading says that the configuration is being read again; Ready ends it.
func (n Notifier) Reloading(monotonic int64) error {
	return n.send("RELOADING=1\nMONOTONIC_USEC=" + strconv.FormatInt(monotonic, 10))
}

// Stopping says that the service ends.
func (n Notifier) Stopping() error { return n.send("STOPPING=1") }

func line(s string) string { return strings.Join(strings.Fields(s), " ") }

func (n Notifier) send(state string) error {
	if n.address == "" {
		return nil
	}
	name := n.address
	if strings.HasPrefix(name, "@") { // of the abstract namespace
		name = "\x00" + name[1:]
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	_, err = conn.Write([]byte(state))
	if err = errors.Join(err, conn.Close()); err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	return nil
}

// Sockets are what the service manager opened for the process, each with the
// name that its unit gives it.
type Sockets struct {
	Packets   []Socket[net.PacketConn]
	Listeners []Socket[net.Listener]
}

// Socket is one of them.
type Socket[T any] struct {
	Name string // FileDescriptorName= of the unit, else the unit's own
	Conn T
}

// Inherit takes the sockets over that the environment speaks of, and removes the
// variables. Without any it returns none.
func Inherit() (Sockets, error) {
	pid, count, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		_ = os.Unsetenv(name) // fails only for names that are none
	}
	if pid != strconv.Itoa(os.Getpid()) {
		return Sockets{}, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 {
		return Sockets{}, fmt.Errorf("LISTEN_FDS is %q, want a number", count)
	}
	return take(firstFile, n, names)
}

// take makes sockets of descriptors.
func take(first, n int, names []string) (Sockets, error) {
	var all Sockets
	for i := range n {
		name := ""
		if i < len(names) {
			name = names[i]
		}
		file := os.NewFile(uintptr(first+i), name)
		if file == nil {
			return all, errors.Join(fmt.Errorf("take over socket %d: there is none", first+i), all.Close())
		}
		l, listenErr := net.FileListener(file)
		var c net.PacketConn
		var packetErr error
		if listenErr != nil {
			c, packetErr = net.FilePacketConn(file)
		}
		err := file.Close() // both were duplicated
		switch {
		case err == nil && listenErr == nil:
			all.Listeners = append(all.Listeners, Socket[net.Listener]{name, l})
		case err == nil && packetErr == nil:
			all.Packets = append(all.Packets, Socket[net.PacketConn]{name, c})
		default:
			return all, errors.Join(fmt.Errorf("take over socket %d (%s), which is for streams or datagrams of the Internet: %w",
				first+i, name, errors.Join(err, listenErr, packetErr)), all.Close())
		}
	}
	return all, nil
}

// Close closes all of them.
func (s Sockets) Close() error {
	var errs []error
	for _, p := range s.Packets {
		errs = append(errs, p.Conn.Close())
	}
	for _, l := range s.Listeners {
		errs = append(errs, l.Conn.Close())
	}
	return errors.Join(errs...)
}
