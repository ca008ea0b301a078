package dnsserver

import "container/heap"

// retrySweep is how long expired records stay when storage is at fault, in
// seconds, before it is tried again.
const retrySweep = 5

// retryKept is the same where the configuration has what has expired.
const retryKept = 3600

// expiries knows which names have records that expire, and when. It may name
// too many: what a name really has is in the view. Only the goroutine that
// makes changes uses it.
type expiries []expiry

type expiry struct {
	at   int64 // Unix seconds
	name string
}

// add notes a change that is stored.
func (e *expiries) add(c Change) {
	if c.Expires != 0 && c.Op != DeleteRecord {
		e.push(c.Expires, c.Name)
	}
}

func (e *expiries) push(at int64, name string) { heap.Push((*expiryHeap)(e), expiry{at, name}) }

// next is when the first is due, and whether there is any.
func (e *expiries) next() (at int64, ok bool) {
	if len(*e) == 0 {
		return 0, false
	}
	return (*e)[0].at, true
}

// due takes out at most limit names that have something due.
func (e *expiries) due(now int64, limit int) []string {
	var names []string
	for len(*e) > 0 && len(names) < limit && (*e)[0].at <= now {
		names = append(names, heap.Pop((*expiryHeap)(e)).(expiry).name)
	}
	return names
}

// expiryHeap implements heap.Interface.
type expiryHeap []expiry

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h expiryHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *expiryHeap) Push(x any) { *h = append(*h, x.(expiry)) }

// Pop implements heap.Interface.
func (h *expiryHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = expiry{}
	*h = (*h)[:last]
	return x
}

// expire takes the records of a name away that are due.
func (d *draft) expire(name string, now int64) error {
	for s := range d.view.table.get(name).sets() {
		for r := range s.records() {
			if r.expires == 0 || r.expires > now {
				continue
			}
			if err := d.change(Change{Name: name, Type: s.rrtype, Data: r.data, Op: DeleteRecord}); err != nil {
				return err
			}
		}
	}
	return nil
}
