package tencentsim

import "slices"

// renewByItself is the automatic renewal that an order asked for: a month before
// the end, paid from the balance.
func (s *Simulator) renewByItself(c *certificate) {
	if c.state != stateIssued || c.autoRenew != 1 || c.renewal != "" || c.serviceID != "" || s.now().Before(c.notAfter.Add(-renewalWindow)) {
		return
	}
	next := s.renew(c, c.product)
	next.autoRenew = c.autoRenew
	if err := next.makeRequest(c.algorithm, defaultParameter(c.algorithm)); err != nil {
		next.state, next.word = stateFailed, err.Error()
		return
	}
	s.bought(next, "automatic renewal", 0, next.product.fen)
	s.submit(next)
}

// shelf are the certificates that the list shows, the newest first.
func (s *Simulator) shelf() []*certificate {
	var all []*certificate
	if s.stale != nil {
		for n := range s.stale {
			all = append(all, &s.stale[n])
		}
		return all
	}
	for _, id := range slices.Backward(s.inserted) {
		all = append(all, s.certificates[id])
	}
	return all
}

// Freeze has the list of certificates stay as it is now, as a replica that lags
// behind does; Thaw ends that.
func (s *Simulator) Freeze() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stale = []certificate{}
	for _, id := range slices.Backward(s.inserted) {
		s.stale = append(s.stale, *s.certificates[id])
	}
}

// Thaw has the list of certificates show what there is.
func (s *Simulator) Thaw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stale = nil
}
