package dnsserver

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batchSize is how many datagrams one system call reads or writes.
const batchSize = 64

// controlSize holds one control message of either family.
const controlSize = 64

// socketsPerAddress is how many sockets share an address: the kernel spreads
// clients over them, and each has a goroutine of its own.
func socketsPerAddress() int { return processors() }

// shareAddress is a net.ListenConfig.Control that lets those sockets bind.
func shareAddress(_, _ string, c syscall.RawConn) error {
	var err error
	if ctrlErr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}); ctrlErr != nil {
		return ctrlErr
	}
	return os.NewSyscallError("setsockopt", err)
}

// packet is what the kernel fills in for one datagram, and reads for its reply.
type packet struct {
	name    unix.RawSockaddrInet6 // a unix.RawSockaddrInet4 on a socket of IPv4
	buf     [maxDatagram]byte
	out     [edns0UDPSize]byte
	control [controlSize]byte
	in, to  unix.Iovec
}

// batch is datagrams by recvmmsg and sendmmsg. They are called here and not
// through golang.org/x/net because that allocates an address for each datagram.
type batch struct {
	conn     *net.UDPConn
	raw      syscall.RawConn
	wildcard bool // the socket has many addresses
	packets  []packet
	in, out  []unix.Mmsghdr
	queued   int // of out
	sent     int // of queued

	read, write func(fd uintptr) bool // made once, since a closure is an allocation
	n           int                   // what the last call returned
	errno       unix.Errno
}

// newDatagrams reads from a socket that is bound to local.
func newDatagrams(c *net.UDPConn, local netip.Addr) (datagrams, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	b := &batch{
		conn: c, raw: raw, wildcard: local.IsUnspecified(), packets: make([]packet, batchSize),
		in: make([]unix.Mmsghdr, batchSize), out: make([]unix.Mmsghdr, batchSize),
	}
	if b.wildcard {
		if err := tellDestination(raw, local); err != nil {
			return nil, err
		}
	}
	for i := range b.packets {
		s := &b.packets[i]
		s.in.Base = &s.buf[0]
		s.in.SetLen(len(s.buf))
		for _, h := range []*unix.Msghdr{&b.in[i].Hdr, &b.out[i].Hdr} {
			h.Name = (*byte)(unsafe.Pointer(&s.name))
			h.SetIovlen(1)
		}
		b.in[i].Hdr.Iov = &s.in
	}
	b.read, b.write = b.recvmmsg, b.sendmmsg
	return b, nil
}

// tellDestination makes the kernel say where each datagram was sent.
func tellDestination(raw syscall.RawConn, local netip.Addr) error {
	level, option := unix.IPPROTO_IP, unix.IP_PKTINFO
	if local.Is6() {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO
	}
	var err error
	if ctrlErr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, 1) }); ctrlErr != nil {
		return ctrlErr
	}
	return os.NewSyscallError("setsockopt", err)
}

// receive implements datagrams.
func (b *batch) receive() (int, error) {
	for i := range b.in { // what the last call has overwritten
		h := &b.in[i].Hdr
		h.Namelen = uint32(unsafe.Sizeof(b.packets[i].name))
		if b.wildcard {
			h.Control = &b.packets[i].control[0]
			h.SetControllen(controlSize)
		}
	}
	b.queued, b.sent = 0, 0
	if err := b.raw.Read(b.read); err != nil {
		return 0, err
	}
	if b.errno != 0 {
		return 0, os.NewSyscallError("recvmmsg", b.errno)
	}
	return b.n, nil
}

func (b *batch) recvmmsg(fd uintptr) bool {
	b.n, b.errno = mmsg(unix.SYS_RECVMMSG, fd, b.in)
	return b.errno != unix.EAGAIN
}

// mmsg calls recvmmsg or sendmmsg without waiting. The scheduler is not told: it
// would take a call for 64 datagrams for one that waits, give the processor to
// another thread and have this one queue for it afterwards.
func mmsg(call, fd uintptr, hs []unix.Mmsghdr) (int, unix.Errno) {
	for {
		n, _, errno := unix.RawSyscall6(call, fd, uintptr(unsafe.Pointer(&hs[0])), uintptr(len(hs)), unix.MSG_DONTWAIT, 0, 0)
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}

// request implements datagrams. A datagram that was cut off is empty.
func (b *batch) request(i int) (msg, room []byte) {
	s := &b.packets[i]
	if b.in[i].Hdr.Flags&unix.MSG_TRUNC != 0 {
		return nil, s.out[:0]
	}
	return s.buf[:b.in[i].Len], s.out[:0]
}

// client implements datagrams.
func (b *batch) client(i int) netip.AddrPort {
	s := &b.packets[i]
	if s.name.Family == unix.AF_INET {
		name := (*unix.RawSockaddrInet4)(unsafe.Pointer(&s.name))
		return netip.AddrPortFrom(netip.AddrFrom4(name.Addr), swap(name.Port))
	}
	return netip.AddrPortFrom(netip.AddrFrom16(s.name.Addr).Unmap(), swap(s.name.Port))
}

// swap reads a port, which the kernel has in the order of the network.
func swap(port uint16) uint16 {
	return binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(make([]byte, 0, 2), port))
}

// answer implements datagrams.
func (b *batch) answer(i int, msg []byte) {
	if len(msg) == 0 {
		return
	}
	s, h := &b.packets[i], &b.out[b.queued].Hdr
	s.to.Base = &msg[0]
	s.to.SetLen(len(msg))
	h.Name, h.Namelen, h.Iov = (*byte)(unsafe.Pointer(&s.name)), b.in[i].Hdr.Namelen, &s.to
	if b.wildcard {
		h.Control = &s.control[0]
		h.SetControllen(s.source(int(b.in[i].Hdr.Controllen)))
	}
	b.queued++
}

// later implements datagrams.
func (b *batch) later(i int) func([]byte) error {
	s, to := &b.packets[i], b.client(i)
	if s.name.Family == unix.AF_INET6 && to.Addr().IsLinkLocalUnicast() {
		to = netip.AddrPortFrom(to.Addr().WithZone(strconv.Itoa(int(s.name.Scope_id))), to.Port())
	}
	var control []byte
	if b.wildcard {
		control = bytes.Clone(s.control[:s.source(int(b.in[i].Hdr.Controllen))])
	}
	return func(msg []byte) error {
		_, _, err := b.conn.WriteMsgUDPAddrPort(msg, control, to)
		return err
	}
}

// source turns the control message that says where the request went into the
// one that sends the reply from there, and returns its length. The interface
// is left to the routing table but for link-local addresses (RFC 4007 §6).
func (s *packet) source(length int) int {
	if length < unix.SizeofCmsghdr {
		return 0
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&s.control))
	data := s.control[unix.CmsgSpace(0):]
	switch {
	case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO:
		clear(data[:4])             // the interface
		copy(data[4:8], data[8:12]) // the address in the packet becomes the source
		return unix.CmsgSpace(unix.SizeofInet4Pktinfo)
	case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO:
		if !netip.AddrFrom16([16]byte(data[:16])).IsLinkLocalUnicast() {
			clear(data[16:20])
		}
		return unix.CmsgSpace(unix.SizeofInet6Pktinfo)
	}
	return 0
}

// send implements datagrams.
func (b *batch) send() error {
	var first error
	for b.sent < b.queued {
		if err := b.raw.Write(b.write); err != nil {
			return err
		}
		if b.errno == 0 {
			b.sent += b.n
			continue
		}
		if first == nil {
			first = os.NewSyscallError("sendmmsg", b.errno)
		}
		b.sent++ // the first of them is at fault; the rest is tried
	}
	return first
}

func (b *batch) sendmmsg(fd uintptr) bool {
	b.n, b.errno = mmsg(unix.SYS_SENDMMSG, fd, b.out[b.sent:b.queued])
	return b.errno != unix.EAGAIN
}
