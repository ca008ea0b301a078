package dnsserver

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/certiform/terraform-provider-certificate/dnsserver/tsig"
)

// maxReplays bounds how many signatures are remembered, about 20 MB. Where more
// come while they are valid, older messages are refused unseen.
const maxReplays = 1 << 20

// replays remembers the signatures of updates for as long as they are valid, so
// that none is made twice (RFC 8945 §10). What was signed before the server
// began, or longer ago than it can remember, is taken for a replay.
type replays struct {
	mu      sync.Mutex
	limit   int
	floor   uint64                         // what was signed before is refused, Unix seconds
	seconds map[uint64]map[uint64]struct{} // by when they were signed, by MAC
	running map[uint64]struct{}            // of updates that are not answered yet, by MAC
	count   int
}

func newReplays(since time.Time, limit int) *replays {
	return &replays{
		floor: uint64(max(since.Unix(), 0)), limit: limit,
		seconds: map[uint64]map[uint64]struct{}{}, running: map[uint64]struct{}{},
	}
}

// begin remembers a signature that was verified. fresh: it was not seen before.
// running: the update it is of is being made, so this is the same datagram again
// from a client that waits.
func (r *replays) begin(s *tsig.Signature, now time.Time) (fresh, running bool) {
	// A MAC looks random to who has no key, so eight bytes of it tell.
	mac := binary.BigEndian.Uint64(s.MAC)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(now)
	if _, running := r.running[mac]; running {
		return false, true
	}
	at := r.seconds[s.Time]
	if _, seen := at[mac]; seen || s.Time < r.floor {
		return false, false
	}
	if at == nil {
		at = map[uint64]struct{}{}
		r.seconds[s.Time] = at
	}
	at[mac] = struct{}{}
	r.count++
	r.running[mac] = struct{}{}
	return true, false
}

// end says that the update was answered.
func (r *replays) end(s *tsig.Signature) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.running, binary.BigEndian.Uint64(s.MAC))
}

// forget drops what is no longer valid and, of what there is too much of, the
// oldest.
func (r *replays) forget(now time.Time) {
	oldest := uint64(max(now.Unix()-tsig.Fudge, 0))
	if r.floor < oldest {
		r.drop(oldest)
	}
	for r.count >= r.limit {
		first := uint64(1<<64 - 1)
		for second := range r.seconds {
			first = min(first, second)
		}
		r.drop(first + 1)
	}
}

// drop raises the floor.
func (r *replays) drop(floor uint64) {
	for second, macs := range r.seconds {
		if second < floor {
			r.count -= len(macs)
			delete(r.seconds, second)
		}
	}
	r.floor = floor
}
