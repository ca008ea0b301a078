package dnsserver

import (
	"fmt"
	"iter"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// BenchmarkUpdate_TSIG has clients add one TXT each at a new name, signed and
// over UDP, at a server with a log on the disk. The time is that between two
// acknowledgements; visible is how long one client waits for its own.
func BenchmarkUpdate_TSIG(b *testing.B) {
	for _, names := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprintf("%d names", names), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "records")
			if err := createWAL(path, filled(names)); err != nil {
				b.Fatal(err)
			}
			store, err := OpenWAL(path, nil)
			if err != nil {
				b.Fatal(err)
			}
			s := startServer(b, updateConfig(), store)
			for _, clients := range []int{32, 1} {
				b.Run(fmt.Sprintf("%d clients", clients), func(b *testing.B) { benchUpdates(b, s, clients) })
			}
		})
	}
}

// filled is a store's content with this many names.
func filled(names int) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		for from := 0; from < names; from += 1000 {
			var b Batch
			for n := from; n < from+1000; n++ {
				b.Changes = append(b.Changes, Change{Name: fmt.Sprintf("_acme-challenge.n%d.full.example.com.", n), Type: dns.TypeTXT, TTL: 5, Data: txtData("v")})
			}
			if !yield(b, nil) {
				return
			}
		}
	}
}

func benchUpdates(b *testing.B, s *Server, count int) {
	k := signer(b, "all")
	var next, failed atomic.Int64
	run := time.Now().UnixNano()
	times := make([][]time.Duration, count)
	b.ReportAllocs()
	b.ResetTimer()
	var clients sync.WaitGroup
	for c := range times {
		clients.Go(func() {
			conn, err := net.Dial("udp", s.Addr().String())
			if err != nil {
				failed.Add(1)
				return
			}
			defer conn.Close()
			buf := make([]byte, 1232)
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				m := new(dns.Msg).SetUpdate("example.com.")
				m.Ns = []dns.RR{&dns.TXT{
					Hdr: dns.RR_Header{Name: fmt.Sprintf("_acme-challenge.new%d-%d.example.com.", run, n), Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 5},
					Txt: []string{"LHDhK3oGRvkiefQnx7OOczTY5Tic_xZ6HcMOc_gmtoM"},
				}}
				msg, err := m.Pack()
				if err != nil {
					failed.Add(1)
					return
				}
				signed, _ := k.Sign(msg, nil, time.Now())
				begin := time.Now()
				_ = conn.SetDeadline(begin.Add(10 * time.Second))
				if _, err = conn.Write(signed); err == nil {
					_, err = conn.Read(buf)
				}
				if err != nil || buf[3]&0xf != 0 {
					failed.Add(1)
				}
				times[c] = append(times[c], time.Since(begin))
			}
		})
	}
	clients.Wait()
	b.StopTimer()
	all := slices.Concat(times...)
	slices.Sort(all)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
	if failed.Load() > 0 {
		b.Errorf("%d updates failed", failed.Load())
	}
}
