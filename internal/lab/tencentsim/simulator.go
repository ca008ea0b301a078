package tencentsim

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// Options change what a simulator is. The zero value serves one account without
// any certificate.
type Options struct {
	// SecretID and SecretKey are the credential that is accepted.
	SecretID, SecretKey string
	// Resolver is where validation records are looked up, as host:port.
	Resolver string
	// Points is what the account's package of benefit points holds.
	Points uint64
	// RateLimit is how many requests a second one action takes; 0 means 10.
	RateLimit int
	// Logger gets what happens; nil discards it.
	Logger *slog.Logger
}

// Simulator is the API of one account. It is an http.Handler and safe for
// concurrent use.
type Simulator struct {
	options Options
	ca      *authority

	mu           sync.Mutex
	offset       time.Duration // of the clock
	certificates map[string]*certificate
	inserted     []string // ids, the oldest first
	companies    []company
	managers     []manager
	validated    map[string]time.Time // company and name to when it passed
	reviewed     map[string]bool      // details that passed a review
	requests     map[string]string    // fingerprint of a signing request to its order
	points       uint64
	ledger       []Charge
	faults       []*Fault
	turns        map[string][]time.Time // when an action was last asked
	requested    map[string]int         // how often it was
	deployed     []Replacement
	stale        []certificate // what the list shows, nil for what there is
}

// Charge is one payment.
type Charge struct {
	At            time.Time
	Action        string
	CertificateID string
	Product       string
	Points        uint64 // for a package of points
	Fen           uint64 // for the balance: hundredths of a yuan
}

// Replacement is one swap of a certificate in the account's cloud resources.
type Replacement struct {
	Old, New string
	Types    []string
}

// PackageID is the account's package of benefit points.
const PackageID = "pkg-simulated"

// New makes a simulator with CAs of its own.
func New(options Options) (*Simulator, error) {
	if options.SecretID == "" || options.SecretKey == "" {
		return nil, errors.New("a simulator needs a credential to accept")
	}
	if options.RateLimit == 0 {
		options.RateLimit = 10
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Simulator{
		options: options, points: options.Points,
		certificates: map[string]*certificate{}, validated: map[string]time.Time{}, reviewed: map[string]bool{},
		requests: map[string]string{}, turns: map[string][]time.Time{}, requested: map[string]int{},
	}
	var err error
	if s.ca, err = newAuthority(s.now()); err != nil {
		return nil, fmt.Errorf("make the CAs of the simulator: %w", err)
	}
	return s, nil
}

// now is the time at the CA.
func (s *Simulator) now() time.Time { return time.Now().Add(s.offset) }

// apiError is an answer of the API that refuses.
type apiError struct{ code, message string }

func (e *apiError) Error() string { return e.code + ": " + e.message }

func refuse(code, format string, arguments ...any) error {
	return &apiError{code, fmt.Sprintf(format, arguments...)}
}

const largestBody = 10 << 20

// ServeHTTP implements http.Handler.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, largestBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := r.Header.Get("X-TC-Action")
	s.requested[name]++
	result, fault, err := s.handle(r, name, body)
	s.options.Logger.Info("request", "action", name, "error", err)
	if fault != nil && fault.Answer != nil {
		fault.Answer(w)
		return
	}
	answer(w, result, err)
}

// handle answers one request; a fault says what becomes of the answer.
func (s *Simulator) handle(r *http.Request, name string, body []byte) (any, *Fault, error) {
	if r.Method != http.MethodPost {
		return nil, nil, refuse("UnsupportedProtocol", "use POST")
	}
	if err := s.verify(r, body); err != nil {
		return nil, nil, err
	}
	if version := r.Header.Get("X-TC-Version"); version != "2019-12-05" {
		return nil, nil, refuse("NoSuchVersion", "the version %q does not exist", version)
	}
	run, ok := actions()[name]
	if !ok {
		return nil, nil, refuse("InvalidAction", "the action %q does not exist", name)
	}
	if err := s.pace(name); err != nil {
		return nil, nil, err
	}
	fault := s.fault(name)
	if fault != nil && fault.Before {
		if fault.Code != "" {
			return nil, fault, refuse(fault.Code, "%s", fault.Code)
		}
		return nil, fault, nil
	}
	s.advance()
	result, err := run(s, body)
	if err == nil && fault != nil && fault.Code != "" {
		err = refuse(fault.Code, "%s", fault.Code)
	}
	return result, fault, err
}

// pace refuses more requests of an action in a second than the account may make.
func (s *Simulator) pace(name string) error {
	now := time.Now()
	kept := s.turns[name][:0]
	for _, at := range s.turns[name] {
		if now.Sub(at) < time.Second {
			kept = append(kept, at)
		}
	}
	if len(kept) >= s.options.RateLimit {
		s.turns[name] = kept
		return refuse("RequestLimitExceeded", "the frequency of %s exceeds %d a second", name, s.options.RateLimit)
	}
	s.turns[name] = append(kept, now)
	return nil
}

// answer writes the envelope of the API: HTTP 200 whatever happened.
func answer(w http.ResponseWriter, result any, err error) {
	fields := map[string]any{}
	var refused *apiError
	switch {
	case errors.As(err, &refused):
		fields["Error"] = map[string]string{"Code": refused.code, "Message": refused.message}
	case err != nil:
		fields["Error"] = map[string]string{"Code": "InternalError", "Message": err.Error()}
	default:
		text, encodeErr := json.Marshal(result)
		if encodeErr == nil {
			encodeErr = json.Unmarshal(text, &fields)
		}
		if encodeErr != nil {
			http.Error(w, encodeErr.Error(), http.StatusInternalServerError)
			return
		}
	}
	fields["RequestId"] = randomID(16)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"Response": fields}) // the client may have gone
}

// randomID is so many random bytes in hex.
func randomID(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails (Go 1.24)
	return hex.EncodeToString(b)
}
