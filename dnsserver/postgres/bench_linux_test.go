package postgres

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
	"github.com/certiform/terraform-provider-certificate/dnsserver/postgres/postgrestest"
)

// BenchmarkServer_puts measures durable changes of a server with 32 clients, on
// a database that flushes.
func BenchmarkServer_puts(b *testing.B) {
	database := postgrestest.Run(b, "fsync=on", "full_page_writes=on")
	store, err := Open(b.Context(), Options{URL: database.Database(b), Server: "a"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	s, err := dnsserver.New(config(), store, nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Start(b.Context(), "127.0.0.1:0"); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Shutdown(b.Context()) })
	var n atomic.Int64
	b.SetParallelism(16) // times GOMAXPROCS
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := s.PutTXT(b.Context(), fmt.Sprintf("n%d.auth.example.com", n.Add(1)), "v"); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
}
