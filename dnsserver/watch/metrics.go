package watch

import (
	"github.com/certiform/terraform-provider-certificate/dnsserver/metric"
)

// WriteMetrics writes what is known of each endpoint.
func (w *Watcher) WriteMetrics(m *metric.Writer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	gauge := func(name, help string, value func(Endpoint, *state) (float64, bool)) {
		m.Family(name, metric.Gauge, help)
		for _, e := range w.config.Endpoints {
			s := w.states[e.Name]
			if s == nil {
				continue
			}
			if v, ok := value(e, s); ok {
				m.Sample(v, "name", e.Name, "endpoint", e.Address)
			}
		}
	}
	gauge("certificate_dns_watch_reachable", "Whether the endpoint showed a certificate when it was last looked at.", func(_ Endpoint, s *state) (float64, bool) {
		if s.fault == "" {
			return 1, true
		}
		return 0, true
	})
	gauge("certificate_dns_watch_not_after_seconds", "When the certificate that was last seen expires, as Unix time.", func(_ Endpoint, s *state) (float64, bool) {
		return float64(s.Certificate.NotAfter.Unix()), s.Certificate.Fingerprint != ""
	})
	gauge("certificate_dns_watch_window_opens_seconds", "When it is to be renewed, as Unix time.", func(e Endpoint, s *state) (float64, bool) {
		c := s.Certificate
		opens := c.NotAfter.Add(-window(c.NotAfter.Sub(c.NotBefore), e.WindowDays))
		return float64(opens.Unix()), c.Fingerprint != ""
	})
	gauge("certificate_dns_watch_reminder_seconds", "When people are reminded of it, as Unix time.", func(e Endpoint, s *state) (float64, bool) {
		c := s.Certificate
		if c.Fingerprint == "" {
			return 0, false
		}
		return float64(stages(c.NotBefore, c.NotAfter, e.WindowDays, w.config.Place)[0].at.Unix()), true
	})
}
