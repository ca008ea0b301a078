package dnsserver

import (
	"maps"
	"slices"

	"github.com/miekg/dns"
)

// draft is a view in the making: what it began from and what it is now. Only
// the goroutine that makes changes has one.
type draft struct {
	old, view *view
	names     map[string]struct{} // of which records may have changed
	keys      map[string]struct{} // of documents that may have changed
	made      []Change            // by the update that is being made
}

func newDraft(v *view) *draft {
	return &draft{old: v, view: v, names: map[string]struct{}{}, keys: map[string]struct{}{}}
}

// change makes one change, or says why not.
func (d *draft) change(c Change) error {
	if z := d.view.zoneOf(c.Name, c.Type); z != nil && z.copied {
		return errCopied(z)
	}
	next, err := d.view.with(c)
	if err != nil {
		return err
	}
	if next != d.view {
		d.view = next
		d.names[c.Name] = struct{}{}
		d.made = append(d.made, c)
	}
	return nil
}

// keep puts or deletes a document.
func (d *draft) keep(doc Document) {
	if doc.Delete && d.view.documents.get(doc.Key) == nil {
		return
	}
	d.view = d.view.withDocument(doc)
	d.keys[doc.Key] = struct{}{}
}

func (v *view) document(key string) (string, bool) {
	if l := v.documents.get(key); l != nil {
		return l.value(), true
	}
	return "", false
}

// withDocument returns the view with a document put or deleted.
func (v *view) withDocument(d Document) *view {
	next := *v
	if d.Delete {
		next.documents = v.documents.without(d.Key)
	} else {
		next.documents = v.documents.with(newDocument(d.Key, d.Value))
	}
	return &next
}

// finish gives the zones that changed their next serial and returns all that is
// to be stored, in a fixed order: what records and documents were and are now,
// whatever happened in between.
func (d *draft) finish() Batch {
	var b Batch
	changed := map[*zone]bool{}
	for _, name := range slices.Sorted(maps.Keys(d.names)) {
		for _, c := range difference(name, d.old.table.get(name), d.view.table.get(name)) {
			b.Changes = append(b.Changes, c)
			if c.Op != Extend {
				changed[d.view.zoneOf(c.Name, c.Type)] = true
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(d.keys)) {
		before, was := d.old.document(key)
		now, is := d.view.document(key)
		if before != now || was != is {
			b.Documents = append(b.Documents, Document{Key: key, Value: []byte(now), Delete: !is})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.view.zones)) {
		if z := d.view.zones[name]; changed[z] && !z.copied {
			doc := d.bump(z)
			b.Documents = append(b.Documents, doc)
		}
	}
	return b
}

// reserial gives each zone the serial that is kept, or a later one where its
// configuration is another.
func (d *draft) reserial() {
	next, serials := d.view.withSerials()
	for _, doc := range serials.Documents {
		d.keys[doc.Key] = struct{}{}
	}
	d.view = next
}

// bump gives a zone its next serial.
func (d *draft) bump(z *zone) Document {
	state := d.view.states[z.index]
	serial := nextSerial(state.serial)
	doc := z.serialDocument(serial)
	d.view = d.view.withState(z, z.state(serial, state.cuts)).withDocument(doc)
	return doc
}

// loaded adds what a store kept. A record that the configuration has no place
// for is set aside.
func (v *view) loaded(b Batch) *view {
	for _, c := range b.Changes {
		if c.Op == Extend {
			c.Op = Put
		}
		next, err := v.with(c)
		switch {
		case err == nil:
			v = next
		case c.Op == DeleteRecord:
			delete(v.parked, c.key())
		default:
			v.parked[c.key()] = c
		}
	}
	for _, d := range b.Documents {
		v = v.withDocument(d)
	}
	return v
}

// count is how many records come and go.
func (v *view) count() int {
	n := 0
	for l := range v.table.all() {
		for s := range l.sets() {
			n += s.count
		}
	}
	return n
}

// putTXT and its siblings are changes as the methods of Server make them.
func (d *draft) putTXT(name, value string) error {
	c := Change{Name: name, Type: dns.TypeTXT, Data: txtData(value)}
	z, err := d.view.placeOf(c)
	if err != nil {
		return err
	}
	c.TTL = z.dynamicTTL
	return d.change(c)
}

func (d *draft) putCNAME(name, target string) error {
	c := Change{Name: name, Type: dns.TypeCNAME, Data: nameData(target)}
	z, err := d.view.placeOf(c)
	if err != nil {
		return err
	}
	c.TTL = z.dynamicTTL
	return d.change(c)
}
