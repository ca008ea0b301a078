package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// updateClients is how many clients send updates, each one after another.
const updateClients = 32

// signed makes an update that adds the records, with a signature.
func signed(records ...dns.RR) *dns.Msg {
	m := new(dns.Msg)
	m.SetUpdate(zone)
	m.Insert(records)
	m.SetTsig(keyName, dns.HmacSHA256, 300, time.Now().Unix())
	return m
}

func txt(name, value string) dns.RR {
	return &dns.TXT{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 60}, Txt: []string{value}}
}

// exchange sends an update and wants NOERROR.
func exchange(ctx context.Context, network, addr string, m *dns.Msg) error {
	client := dns.Client{Net: network, Timeout: 10 * time.Second, TsigSecret: map[string]string{keyName: keySecret}}
	reply, _, err := client.ExchangeContext(ctx, m, addr)
	if err != nil {
		return err
	}
	if reply.Rcode != dns.RcodeSuccess {
		return fmt.Errorf("the update is answered %s", dns.RcodeToString[reply.Rcode])
	}
	return nil
}

// fill puts every name of the zone into a server by updates.
func fill(ctx context.Context, addr string, size int) error {
	const each = 500
	var next atomic.Int64
	errs := make([]error, 8)
	var all sync.WaitGroup
	for worker := range errs {
		all.Go(func() {
			for errs[worker] == nil {
				begin := int(next.Add(each)) - each
				if begin >= size {
					return
				}
				var records []dns.RR
				for i := begin; i < min(begin+each, size); i++ {
					records = append(records, txt(nameOf(i), valueOf(i)))
				}
				errs[worker] = exchange(ctx, "tcp", addr, signed(records...))
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// measureUpdates sends updates of one record from every client for a while,
// then again beside queries at the quiet rate.
func (s *server) measureUpdates(ctx context.Context, questions string, seconds int) (figures, error) {
	var f figures
	if err := wait(ctx, settle); err != nil {
		return f, err
	}
	var err error
	if _, f.p99, err = s.latency(ctx, questions, seconds); err != nil {
		return f, err
	}
	took, err := s.flood(ctx, time.Duration(seconds)*time.Second)
	if err != nil {
		return f, err
	}
	f.updates = float64(len(took)) / float64(seconds)
	slices.Sort(took)
	if len(took) > 0 {
		f.updateP50 = float64(took[len(took)/2].Microseconds()) / 1000
	}
	flooded := make(chan error, 1)
	go func() {
		_, err := s.flood(ctx, time.Duration(seconds)*time.Second)
		flooded <- err
	}()
	_, f.busyP99, err = s.latency(ctx, questions, seconds)
	return f, errors.Join(err, <-flooded)
}

// flood sends updates from every client, one after another each, and returns
// how long each took.
func (s *server) flood(ctx context.Context, d time.Duration) ([]time.Duration, error) {
	end := time.Now().Add(d)
	took := make([][]time.Duration, updateClients)
	errs := make([]error, updateClients)
	var all sync.WaitGroup
	for client := range updateClients {
		all.Go(func() { took[client], errs[client] = s.updater(ctx, client, end) })
	}
	all.Wait()
	return slices.Concat(took...), errors.Join(errs...)
}

func (s *server) updater(ctx context.Context, client int, end time.Time) ([]time.Duration, error) {
	var took []time.Duration
	conn, err := dns.DialTimeout("udp", s.addr, time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.TsigSecret = map[string]string{keyName: keySecret}
	for i := 0; time.Now().Before(end) && ctx.Err() == nil; i++ {
		m := signed(txt(fmt.Sprintf("u%d-%d.%s", client, time.Now().UnixNano(), zone), valueOf(i)))
		begin := time.Now()
		if err := conn.SetDeadline(begin.Add(10 * time.Second)); err != nil {
			return took, err
		}
		if err := conn.WriteMsg(m); err != nil {
			return took, err
		}
		reply, err := conn.ReadMsg()
		if err != nil {
			return took, err
		}
		if reply.Rcode != dns.RcodeSuccess {
			return took, fmt.Errorf("an update is answered %s", dns.RcodeToString[reply.Rcode])
		}
		took = append(took, time.Since(begin))
	}
	return took, nil
}
