package dnsserver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver/tsig"
)

// receivePatience is how long a primary may send nothing during a transfer.
const receivePatience = 30 * time.Second

// received is what a primary told.
type received struct {
	soa     *dns.SOA
	current bool        // there is nothing new
	content zoneContent // of a whole transfer
	changes []Change    // of an incremental one, when content is nil
}

// reader takes the records of a transfer one after another.
type reader struct {
	z       *zone
	most    int64  // bytes
	asked   uint16 // AXFR or IXFR
	serial  uint32 // that the copy has
	out     received
	count   int
	phase   phase
	current uint32 // the serial that the changes have led to
	done    bool
}

// phase is where in a transfer the reader is.
type phase int

const (
	phaseFirst  phase = iota // the SOA is to come
	phaseSecond              // the kind of the transfer shows
	phaseWhole               // records of the whole zone
	phaseGone                // records that go
	phaseCome                // records that come
)

var errTransfer = errors.New("the transfer is malformed")

// take takes a record (RFC 5936 §2.2, RFC 1995 §4).
func (r *reader) take(rr dns.RR) error {
	r.count++
	soa, isSOA := rr.(*dns.SOA)
	if isSOA && lower(soa.Hdr.Name) != r.z.name || r.done || rr.Header().Class != dns.ClassINET {
		return errTransfer
	}
	switch r.phase {
	case phaseFirst:
		if !isSOA {
			return errTransfer
		}
		r.out.soa, r.phase = soa, phaseSecond
		return nil
	case phaseSecond:
		if isSOA && r.asked == dns.TypeIXFR && soa.Serial == r.serial && soa.Serial != r.out.soa.Serial {
			r.phase, r.current = phaseGone, soa.Serial
			return nil
		}
		r.phase, r.out.content = phaseWhole, zoneContent{}
		return r.takeWhole(rr)
	case phaseWhole:
		return r.takeWhole(rr)
	}
	if !isSOA {
		return r.takeChange(rr)
	}
	switch {
	case r.phase == phaseGone:
		r.phase, r.current = phaseCome, soa.Serial
	case r.current == r.out.soa.Serial && soa.Serial == r.current:
		r.done = true
	case soa.Serial == r.current:
		r.phase = phaseGone
	default:
		return errTransfer
	}
	return nil
}

// takeWhole takes a record of the whole zone; its end is the SOA again.
func (r *reader) takeWhole(rr dns.RR) error {
	if soa, ok := rr.(*dns.SOA); ok {
		r.done = soa.Serial == r.out.soa.Serial
		if !r.done {
			return errTransfer
		}
		return nil
	}
	name, data, err := r.read(rr)
	if err == nil && name != "" {
		r.out.content.add(name, rr.Header().Rrtype, rr.Header().Ttl, data)
	}
	return err
}

func (r *reader) takeChange(rr dns.RR) error {
	name, data, err := r.read(rr)
	if err != nil || name == "" {
		return err
	}
	c := Change{Name: name, Type: rr.Header().Rrtype, TTL: rr.Header().Ttl, Data: data}
	if r.phase == phaseGone {
		c.Op = DeleteRecord
	}
	r.out.changes = append(r.out.changes, c)
	return nil
}

// errSigned is a zone that this server cannot give away as a copy.
var errSigned = errors.New("the zone is signed, or has DNAME records, which are not served as a copy; let the primary give an unsigned version")

// read returns name and data of a record; no name for one outside the zone,
// which is passed over.
func (r *reader) read(rr dns.RR) (name, data string, err error) {
	h := rr.Header()
	if !storable(h.Rrtype) {
		return "", "", fmt.Errorf("%w (%s at %s)", errSigned, dns.Type(h.Rrtype), display(lower(h.Name)))
	}
	if name = lower(h.Name); !within(name, r.z.name) {
		return "", "", nil
	}
	data, err = rdata(rr)
	return name, data, err
}

// fetch asks a primary for a zone over TCP: for what changed since the copy, or
// for all of it when there is none or whole is wanted.
// The messages of it may have most bytes.
func (p primary) fetch(ctx context.Context, z *zone, have *dns.SOA, most int64, now func() time.Time) (received, error) {
	m := new(dns.Msg)
	r := &reader{z: z, asked: dns.TypeAXFR, most: most}
	if have == nil {
		m.SetAxfr(z.name)
	} else {
		m.SetIxfr(z.name, have.Serial, have.Ns, have.Mbox)
		r.asked, r.serial = dns.TypeIXFR, have.Serial
	}
	msg, err := m.Pack()
	if err != nil {
		return received{}, err
	}
	var stream *tsig.Stream
	if p.key != nil {
		signed, mac := p.key.Sign(msg, nil, now())
		msg, stream = signed, tsig.NewStream(p.key.Key, mac)
	}
	dialer := net.Dialer{Timeout: replyPatience * 2}
	conn, err := dialer.DialContext(ctx, "tcp", p.address.String())
	if err != nil {
		return received{}, err
	}
	defer func() { _ = conn.Close() }() // nothing is left to be sent
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := send(conn, append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...)); err != nil {
		return received{}, err
	}
	if err := r.readAll(ctx, conn, m.Id, stream, now); err != nil {
		return received{}, err
	}
	if stream != nil {
		if err := stream.End(); err != nil {
			return received{}, err
		}
	}
	return r.out, nil
}

// readAll reads messages until the transfer is at its end.
func (r *reader) readAll(ctx context.Context, conn net.Conn, id uint16, stream *tsig.Stream, now func() time.Time) error {
	size := int64(0)
	for first := true; !r.done; first = false {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := conn.SetReadDeadline(now().Add(receivePatience)); err != nil {
			return err
		}
		var length [2]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return fmt.Errorf("after %d records: %w", r.count, err)
		}
		msg := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(conn, msg); err != nil {
			return fmt.Errorf("after %d records: %w", r.count, err)
		}
		if size += int64(len(msg)); size > r.most {
			return fmt.Errorf("%w: the transfer has over %d bytes; raise limits.max_bytes", ErrFull, r.most)
		}
		if stream != nil {
			if err := verified(msg, stream, now()); err != nil {
				return err
			}
		}
		reply := new(dns.Msg)
		if err := reply.Unpack(msg); err != nil || reply.Id != id || !reply.Response {
			return errTransfer
		}
		if reply.Rcode != dns.RcodeSuccess {
			return fmt.Errorf("it answers %s; let this server transfer the zone there", dns.RcodeToString[reply.Rcode])
		}
		for _, rr := range reply.Answer {
			if err := r.take(rr); err != nil {
				return err
			}
		}
		if first && len(reply.Answer) == 1 && r.asked == dns.TypeIXFR && !newerSerial(r.out.soa.Serial, r.serial) {
			r.out.current, r.done = true, true
		}
	}
	return nil
}

// verified checks the next message of a stream, and says what a server finds
// wrong with ours.
func verified(msg []byte, stream *tsig.Stream, now time.Time) error {
	if s, err := tsig.Find(msg); err == nil && s != nil && s.Error != 0 {
		return fmt.Errorf("it refuses the signature: %s", tsigErrorName(s.Error))
	}
	return stream.Verify(msg, now)
}
