package dnsserver

import (
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver/metric"
)

// counters count what is not counted by sockets.
type counters struct {
	changes, refusedChanges, storageFaults atomic.Uint64
	reloads, failedReloads                 atomic.Uint64
	refusedConnections                     atomic.Uint64
	failedHandshakes                       atomic.Uint64
	authFailures                           atomic.Uint64
	followed                               atomic.Uint64 // batches that other servers stored
	updates                                updateCounters
	transfers                              transferCounters
}

// handleMetrics serves them to the networks of MetricsFrom, and to whoever has
// a token that may read.
func (s *Server) handleMetrics(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		refuseMethod(w, r, "GET, HEAD")
		return
	}
	if !inNetworks(s.settings.Load().metricsFrom, s.clientOf(r)) {
		who, ok := s.bearer(w, r)
		if !ok || !permitted(w, who, rightRead) {
			return
		}
	}
	var m metric.Writer
	s.WriteMetrics(&m)
	for _, more := range s.moreMetrics {
		more(&m)
	}
	w.Header().Set("Content-Type", metric.ContentType)
	_, _ = m.WriteTo(w) // a client that went away is no concern of ours
}

// AddMetrics has /metrics show what write writes too. It is to be called before
// the API is served.
func (s *Server) AddMetrics(write func(*metric.Writer)) { s.moreMetrics = append(s.moreMetrics, write) }

// WriteMetrics writes everything the server counts.
func (s *Server) WriteMetrics(m *metric.Writer) {
	s.writeQueries(m)
	s.writeRecords(m)
	s.writeStorage(m)
	s.counters.updates.write(m)
	s.counters.transfers.write(m)
	s.writeFollowers(m)
	s.writeCopies(m)
	c := &s.counters
	m.Family("certificate_dns_changes_total", metric.Counter, "Changes of records, by what became of them.")
	m.Sample(float64(c.changes.Load()), "result", "made")
	m.Sample(float64(c.refusedChanges.Load()), "result", "refused")
	m.Sample(float64(c.storageFaults.Load()), "result", "storage_fault")
	m.Family("certificate_dns_reloads_total", metric.Counter, "Times the configuration was read again.")
	m.Sample(float64(c.reloads.Load()), "result", "done")
	m.Sample(float64(c.failedReloads.Load()), "result", "refused")
	m.Single("certificate_dns_unauthorized_total", metric.Counter, "Requests and updates with an unknown token, key or account.", float64(c.authFailures.Load()))
	m.Single("certificate_dns_ready", metric.Gauge, "Whether the records are loaded and answers are given.", boolean(s.view.Load() != nil))
	m.Single("certificate_dns_start_time_seconds", metric.Gauge, "When the server was made, as Unix time.", float64(s.since.UnixMilli())/1000)
	s.writeKeys(m)
	writeProcess(m)
}

// writeKeys says where the keys of signed zones stand.
func (s *Server) writeKeys(m *metric.Writer) {
	limits := s.settings.Load().limits
	m.Family("certificate_dns_limit", metric.Gauge, "How much of what comes and goes is allowed.")
	m.Sample(float64(limits.MaxNames), "of", "names")
	m.Sample(float64(limits.MaxBytes), "of", "bytes")
	v := s.view.Load()
	if v == nil {
		return
	}
	m.Single("certificate_dns_kept_bytes", metric.Gauge, "Memory that names, records and accounts take, about.", float64(v.bytes()))
	signers := s.policy.Load().signers
	m.Family("certificate_dns_dnssec_keys", metric.Gauge, "Keys of signed zones, by where they stand.")
	missing := map[string]int{}
	for _, apex := range sortedKeys(signers, strings.Clone) {
		ring, _, _, err := v.ring(apex)
		if err != nil {
			continue // the log says so
		}
		for _, e := range ring.Entries {
			m.Sample(1, "zone", display(apex), "state", string(e.State), "since", e.Since.Format(time.RFC3339))
		}
		for _, here := range signers[apex].here {
			if !here {
				missing[apex]++
			}
		}
	}
	m.Family("certificate_dns_dnssec_keys_missing", metric.Gauge, "Keys of signed zones whose private halves are not on this server.")
	for _, apex := range sortedKeys(signers, strings.Clone) {
		m.Sample(float64(missing[apex]), "zone", display(apex))
	}
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// writeQueries adds up what the sockets counted.
func (s *Server) writeQueries(m *metric.Writer) {
	type key struct {
		zone, transport string
		place, rcode    int
	}
	taps := s.taps.list()
	sums := map[key]uint64{}
	latency := map[string]*[latencyPlaces]uint64{}
	seconds, dropped := map[string]float64{}, map[string]uint64{}
	for _, t := range taps {
		for zone, n := range *t.zones.Load() {
			for place := range n {
				for rcode := range n[place] {
					if v := n[place][rcode].Load(); v > 0 {
						sums[key{zone, t.transport, place, rcode}] += v
					}
				}
			}
		}
		if latency[t.transport] == nil {
			latency[t.transport] = &[latencyPlaces]uint64{}
		}
		for i := range t.latency {
			latency[t.transport][i] += t.latency[i].Load()
		}
		seconds[t.transport] += time.Duration(t.seconds.Load()).Seconds()
		dropped[t.transport] += t.dropped.Load()
	}
	m.Family("certificate_dns_queries_total", metric.Counter, "Queries that were answered; the zone is empty outside all zones.")
	keys := sortedKeys(sums, func(k key) string { return fmt.Sprintf("%s\x00%s\x00%02d%02d", k.zone, k.transport, k.place, k.rcode) })
	for _, k := range keys {
		m.Sample(float64(sums[k]), "zone", display(k.zone), "type", typeLabel(k.place), "rcode", rcodeLabel(k.rcode), "transport", k.transport)
	}
	transports := sortedKeys(latency, strings.Clone)
	m.Family("certificate_dns_query_duration_seconds", metric.Histogram, "From when a query was read until its answer was handed to the kernel.")
	for _, t := range transports {
		m.Distribution(latencyBounds(), latency[t][:], seconds[t], "transport", t)
	}
	m.Family("certificate_dns_messages_dropped_total", metric.Counter, "Messages that got no answer: no DNS, replies, or over a limit.")
	for _, t := range transports {
		m.Sample(float64(dropped[t]), "transport", t)
	}
	m.Single("certificate_dns_query_log_skipped_total", metric.Counter, "Queries that the query log did not take, for there were too many at once.", float64(s.skippedQueries()))
}

// sortedKeys are the keys of a map in the order of their texts.
func sortedKeys[K comparable, V any](of map[K]V, text func(K) string) []K {
	keys := make([]K, 0, len(of))
	for k := range of {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b K) int { return strings.Compare(text(a), text(b)) })
	return keys
}

func typeLabel(place int) string {
	if types := countedTypes(); place < len(types) {
		return dns.TypeToString[types[place]]
	}
	return "other"
}

func rcodeLabel(rcode int) string {
	if rcode == rcodePlaces-1 {
		return "other"
	}
	return rcodeName(rcode)
}

// writeRecords says what is served, and to how many connections.
func (s *Server) writeRecords(m *metric.Writer) {
	open, refused := s.conns.count(), s.counters.refusedConnections.Load()
	m.Single("certificate_dns_connections", metric.Gauge, "TCP connections that are open.", float64(open))
	m.Single("certificate_dns_connections_refused_total", metric.Counter, "TCP connections that there was no place for.", float64(refused))
	m.Single("certificate_dns_tls_handshakes_failed_total", metric.Counter, "Connections for DNS over TLS that did not come to a question.", float64(s.counters.failedHandshakes.Load()))
	v := s.view.Load()
	if v == nil {
		return
	}
	m.Single("certificate_dns_names", metric.Gauge, "Names with records that come and go, and those above them.", float64(v.table.size))
	m.Single("certificate_dns_documents", metric.Gauge, "Accounts and other values that are kept beside the records.", float64(v.documents.size))
	m.Family("certificate_dns_zone_serial", metric.Gauge, "The serial of each zone's SOA.")
	for _, apex := range sortedKeys(v.zones, strings.Clone) {
		m.Sample(float64(v.states[v.zones[apex].index].serial), "zone", display(apex))
	}
}

// writeProcess says what the process takes.
func writeProcess(m *metric.Writer) {
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	m.Single("go_memstats_sys_bytes", metric.Gauge, "Memory taken from the system.", float64(mem.Sys))
	m.Single("go_memstats_heap_inuse_bytes", metric.Gauge, "Memory in use for objects.", float64(mem.HeapInuse))
	m.Single("go_goroutines", metric.Gauge, "Goroutines that exist.", float64(runtime.NumGoroutine()))
	m.Single("go_gc_cycles_total", metric.Counter, "Collections of garbage.", float64(mem.NumGC))
}
