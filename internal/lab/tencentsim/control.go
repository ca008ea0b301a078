package tencentsim

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/lifecycle"
)

// What follows is not part of the API: it is what time, the people at the CA and
// the console do.

// Advance moves the clock of the CA ahead.
func (s *Simulator) Advance(by time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offset += by
	s.advance()
}

// Now is the time at the CA.
func (s *Simulator) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now()
}

// Ledger are all charges so far.
func (s *Simulator) Ledger() []Charge {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ledger)
}

// Requested counts the requests by action.
func (s *Simulator) Requested() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.requested)
}

// Replacements are the swaps of certificates in cloud resources so far.
func (s *Simulator) Replacements() []Replacement {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.deployed)
}

// AddCompany writes a company down, with a manager who may have been reviewed.
func (s *Simulator) AddCompany(name string, reviewed bool) (companyID, managerID int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	companyID = int64(1001 + len(s.companies))
	managerID = int64(2001 + len(s.managers))
	s.companies = append(s.companies, company{companyID, name})
	s.managers = append(s.managers, manager{managerID, companyID, reviewed})
	return companyID, managerID
}

// Seed is a certificate that the account has had before anything began.
type Seed struct {
	PID       uint64 // of the product
	Names     []string
	Company   int64
	Manager   int64
	Remaining time.Duration // until its end
	Years     uint64        // of the service; 0 means 1
	Request   string        // made elsewhere, PEM; empty: the CA has made the key
}

// AddCertificate gives the account an issued certificate, and returns its id.
func (s *Simulator) AddCertificate(seed Seed) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := free()
	if seed.PID != 0 {
		var err error
		if p, err = productBy(func(o product) bool { return o.pid == seed.PID }); err != nil {
			return "", err
		}
	}
	c := s.insert(p)
	c.domain, c.names, c.companyID, c.managerID = seed.Names[0], seed.Names, seed.Company, seed.Manager
	for _, o := range s.companies {
		if o.ID == seed.Company {
			c.company = o.Name
		}
	}
	algorithm := "ECC"
	if p.sm2 {
		algorithm = "SM2"
	}
	request := func() error { return c.makeRequest(algorithm, defaultParameter(algorithm)) }
	if seed.Request != "" {
		request = func() error { return s.takeRequest(c, seed.Request) }
	}
	if err := request(); err != nil {
		return "", err
	}
	s.subscribe(c, max(seed.Years, 1))
	life := time.Duration(lifecycle.CapAt(s.now()).Days) * day
	if p.sm2 {
		life = year
	}
	c.notAfter = s.now().Add(seed.Remaining).Truncate(time.Second)
	c.notBefore = c.notAfter.Add(time.Second - life)
	c.inserted = c.notBefore
	return c.id, s.sign(c)
}

// UploadLetter is a person who uploads the letter in the console.
func (s *Simulator) UploadLetter(id string) error {
	return s.change(id, stateLetter, s.takeLetter)
}

// PublishRecords is a person who writes the validation records of an order into
// DNS by hand.
func (s *Simulator) PublishRecords(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.find(id)
	if err != nil {
		return err
	}
	for n := range c.auths {
		c.auths[n].shown = true
	}
	s.advance()
	return nil
}

// Reject is a reviewer who refuses an order, with these words.
func (s *Simulator) Reject(id, words string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.find(id)
	if err != nil {
		return err
	}
	c.state, c.word, c.rejected = stateFailed, words, true
	return nil
}

// Refund is the console, giving the money of a cancelled order back.
func (s *Simulator) Refund(id string) error {
	return s.change(id, stateCancelled, func(c *certificate) { c.state = stateRefunded })
}

// Renew is a person who renews a certificate in the console and pays there.
func (s *Simulator) Renew(id string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, err := s.renewable(id)
	if err != nil {
		return "", err
	}
	next := s.renew(before, before.product)
	if err := next.makeRequest(before.algorithm, defaultParameter(before.algorithm)); err != nil {
		return "", err
	}
	s.bought(next, "console", 0, next.product.fen)
	s.submit(next)
	return next.id, nil
}

// Hide keeps a certificate from being found by its tags, as an index that lags
// behind does.
func (s *Simulator) Hide(id string, hidden bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.find(id)
	if err == nil {
		c.hidden = hidden
	}
	return err
}

// Certificates are the ids of all orders, the oldest first.
func (s *Simulator) Certificates() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.inserted)
}

func (s *Simulator) change(id string, from uint64, to func(*certificate)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.find(id)
	if err != nil {
		return err
	}
	if c.state != from {
		return fmt.Errorf("the certificate %s is in state %d, not in %d", id, c.state, from)
	}
	to(c)
	return nil
}

// Fault breaks requests of one action.
type Fault struct {
	Action string
	Times  int    // how often; 0 means always
	Before bool   // nothing is done; else it is done and only the answer is lost
	Code   string // the error to answer with; empty where Answer says it

	// Answer writes another answer than the one there is; nil to write it.
	Answer func(w http.ResponseWriter)
}

// Break adds a fault. It ends when its times are over, or with Mend.
func (s *Simulator) Break(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// Mend ends all faults.
func (s *Simulator) Mend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// fault finds the fault of a request and counts it.
func (s *Simulator) fault(action string) *Fault {
	for n, f := range s.faults {
		if f.Action != action {
			continue
		}
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				s.faults = slices.Delete(s.faults, n, n+1)
			}
		}
		return f
	}
	return nil
}

// Drop cuts the connection instead of answering.
func Drop(w http.ResponseWriter) {
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		return
	}
	if connection, _, err := hijacker.Hijack(); err == nil {
		_ = connection.Close() // which is what is wanted
	}
}

// BadGateway answers as a proxy whose server is gone.
func BadGateway(w http.ResponseWriter) {
	http.Error(w, "<html><body>502 Bad Gateway</body></html>", http.StatusBadGateway)
}
