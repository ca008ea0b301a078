package dnsserver

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// BenchmarkFlood is how long a query takes while others change records, 10,000
// times a second, or try to register as fast as they can: p99 is to be at most
// twice that of an idle server. Each operation is one query over UDP; floods and
// queries come from the same processors as the answers.
func BenchmarkFlood(b *testing.B) {
	floods := map[string]func(ctx context.Context, s *Server, api http.Handler, worker, n int) error{
		"idle": nil,
		"updates": func(ctx context.Context, s *Server, _ http.Handler, worker, n int) error {
			return s.PutTXT(ctx, fmt.Sprintf("n%d.example.com", worker*1000+n%1000), fmt.Sprint(n))
		},
		"registrations": func(ctx context.Context, _ *Server, api http.Handler, _, _ int) error { // most are refused: there is a limit for each client
			r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/register", http.NoBody)
			api.ServeHTTP(httptest.NewRecorder(), r)
			return nil
		},
	}
	for _, name := range []string{"idle", "updates", "registrations"} {
		b.Run(name, func(b *testing.B) {
			store, err := OpenWAL(filepath.Join(b.TempDir(), "storage"), nil)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = store.Close() })
			config := testConfig()
			config.Accounts = Accounts{AcmeDNS: true, Register: true, Zone: "example.com"}
			s := startServer(b, config, store)
			put(b, s, "a.example.com", "v")
			ctx, stop := context.WithCancel(b.Context())
			api := s.Handler()
			var flood sync.WaitGroup
			var made [32]int
			if floods[name] != nil {
				for worker := range made {
					flood.Go(func() {
						tick := time.NewTicker(time.Duration(len(made)) * time.Second / 10_000)
						defer tick.Stop()
						for ctx.Err() == nil && floods[name](ctx, s, api, worker, made[worker]) == nil {
							made[worker]++
							<-tick.C
						}
					})
				}
			}
			took := queryTimes(b, s)
			stop()
			flood.Wait()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
			total := 0
			for _, n := range made {
				total += n
			}
			b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "changes/s")
		})
	}
}

// queryTimes asks the same at some thousand a second.
func queryTimes(b *testing.B, s *Server) []time.Duration {
	b.Helper()
	conn, err := net.Dial("udp", s.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	query, buf := wire(b, ask("a.example.com. TXT")), make([]byte, 1500)
	var took []time.Duration
	tick := time.NewTicker(300 * time.Microsecond)
	defer tick.Stop()
	for b.Loop() {
		<-tick.C
		begin := time.Now()
		if _, err := conn.Write(query); err != nil {
			b.Fatal(err)
		}
		if err := conn.SetReadDeadline(begin.Add(5 * time.Second)); err != nil {
			b.Fatal(err)
		}
		if _, err := conn.Read(buf); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begin))
	}
	return took
}
