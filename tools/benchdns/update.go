package main

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// updaters is how many clients update at once.
const updaters = 32

// perFill is how many records one message has that fills our server.
const perFill = 600

// fill gives a server all records of the zone by signed updates over TCP.
func (s *server) fill(names int) error {
	c, err := net.Dial("tcp", s.address())
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // all replies have come
	secret, err := base64.StdEncoding.DecodeString(keySecret)
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<16)
	for from := 0; from < names; from += perFill {
		owners := make([]string, 0, perFill)
		for n := from; n < min(from+perFill, names); n++ {
			owners = append(owners, owner(n))
		}
		id := uint16(from / perFill)
		msg := sign(update(id, owners), secret, time.Now())
		if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			return err
		}
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...)); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, buf[:2]); err != nil {
			return err
		}
		reply := buf[:binary.BigEndian.Uint16(buf)]
		if _, err := io.ReadFull(c, reply); err != nil {
			return err
		}
		if err := check(reply, id); err != nil {
			return fmt.Errorf("fill the zone: %w", err)
		}
	}
	return nil
}

// changes is what one round of updates saw.
type changes struct {
	perSecond float64
	p50, p99  float64 // µs until the acknowledgement
	wrong     int
	first     error
}

// update has clients each add one TXT at a new name after another, signed and
// over UDP, for some time. The names begin with mark.
func (s *server) update(mark string, clients int, d time.Duration) (changes, error) {
	secret, err := base64.StdEncoding.DecodeString(keySecret)
	if err != nil {
		return changes{}, err
	}
	times := make([][]float64, clients)
	errs := make([]error, clients)
	var wrong atomic.Int64
	began := time.Now()
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			c, err := net.Dial("udp", s.address())
			if err != nil {
				errs[i] = err
				return
			}
			defer func() { _ = c.Close() }() // nothing is left to send
			buf := make([]byte, 4096)
			for n := 0; time.Since(began) < d; n++ {
				sent := time.Now()
				msg := sign(update(uint16(n), []string{fmt.Sprintf("%s-%d-%d.%s", mark, i, n, zoneName)}), secret, sent)
				if err := exchange(c, msg, uint16(n), buf); err != nil {
					errs[i] = err
					wrong.Add(1)
					continue
				}
				times[i] = append(times[i], micros(time.Since(sent)))
			}
		})
	}
	all.Wait()
	elapsed := time.Since(began)
	sorted := slices.Concat(times...)
	slices.Sort(sorted)
	out := changes{
		perSecond: float64(len(sorted)) / elapsed.Seconds(), p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99),
		wrong: int(wrong.Load()), first: errors.Join(errs...),
	}
	if len(sorted) == 0 {
		return out, fmt.Errorf("no update was acknowledged: %w", out.first)
	}
	// What was acknowledged must be there.
	for i := range clients {
		if len(times[i]) == 0 {
			continue
		}
		name := fmt.Sprintf("%s-%d-0.%s", mark, i, zoneName)
		reply, err := s.ask(name, 9, 5*time.Second)
		if err == nil {
			err = checkTXT(reply, 9, name)
		}
		if err != nil {
			return out, fmt.Errorf("look up what was updated: %w", err)
		}
	}
	return out, nil
}

// flood adds TXT records at a rate, in bursts a millisecond apart, until ctx
// ends. It returns how many a second were acknowledged.
func (s *server) flood(ctx context.Context, mark string, rate int) (perSecond float64, err error) {
	secret, err := base64.StdEncoding.DecodeString(keySecret)
	if err != nil {
		return 0, err
	}
	c, err := net.Dial("udp", s.address())
	if err != nil {
		return 0, err
	}
	var made int
	var reading sync.WaitGroup
	reading.Go(func() {
		for buf := make([]byte, 4096); ; {
			n, err := c.Read(buf)
			if err != nil {
				return // closed
			}
			if n >= headerSize && buf[3]&0xf == 0 {
				made++
			}
		}
	})
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for n := 0; ctx.Err() == nil && err == nil; <-tick.C {
		for due := int(time.Since(began).Seconds() * float64(rate)); n < due && err == nil; n++ {
			_, err = c.Write(sign(update(uint16(n), []string{fmt.Sprintf("%s-%d.%s", mark, n, zoneName)}), secret, time.Now()))
		}
	}
	elapsed := time.Since(began).Seconds()
	err = errors.Join(err, c.Close())
	reading.Wait()
	return float64(made) / elapsed, err
}

// A client asks again after retry, so often: a server may drop what is too much
// at once.
const (
	retry = time.Second
	tries = 10
)

// exchange sends a message and waits for its reply, which must say NOERROR.
func exchange(c net.Conn, msg []byte, id uint16, buf []byte) error {
	var err error
	for range tries {
		if err := c.SetDeadline(time.Now().Add(retry)); err != nil {
			return err
		}
		if _, err := c.Write(msg); err != nil {
			return err
		}
		var n int
		for {
			if n, err = c.Read(buf); err != nil {
				break
			}
			if n >= headerSize && binary.BigEndian.Uint16(buf) == id {
				return check(buf[:n], id)
			}
			// Else it is late, of one that was given up.
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
	return err
}

// visible has one client add a TXT at a new name, wait for the acknowledgement
// and ask for the name until it is there, again and again. It returns how long
// that took, in µs.
func (s *server) visible(mark string, d time.Duration) ([]float64, error) {
	secret, err := base64.StdEncoding.DecodeString(keySecret)
	if err != nil {
		return nil, err
	}
	c, err := net.Dial("udp", s.address())
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }() // nothing is left to send
	var times []float64
	buf := make([]byte, 4096)
	for began, n := time.Now(), 0; time.Since(began) < d; n++ {
		name := fmt.Sprintf("%s-%d.%s", mark, n, zoneName)
		sent := time.Now()
		if err := exchange(c, sign(update(uint16(n), []string{name}), secret, sent), uint16(n), buf); err != nil {
			return nil, err
		}
		for seen := false; !seen; {
			if time.Since(sent) > time.Minute {
				return nil, fmt.Errorf("%w: %s was acknowledged and is not there", errAnswer, name)
			}
			if _, err := c.Write(question(uint16(n), name)); err != nil {
				return nil, err
			}
			size, err := c.Read(buf)
			if err != nil {
				return nil, err
			}
			seen = checkTXT(buf[:size], uint16(n), name) == nil
		}
		times = append(times, micros(time.Since(sent)))
	}
	return times, nil
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
