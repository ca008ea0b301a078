package dnsserver

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver/client"
)

// Names that one reply of GET /v1/records has.
const (
	defaultListed = 100
	maxListed     = 1000
)

// handleRecords serves records of every type at one name.
func (s *Server) handleRecords(w http.ResponseWriter, r *http.Request) {
	r, who, name := s.admit(w, r)
	if r == nil {
		return
	}
	switch r.Method {
	case http.MethodGet:
		v := s.view.Load()
		if v == nil {
			refuseError(w, ErrStopped)
			return
		}
		replyJSON(w, http.StatusOK, v.recordsAt(name))
	case http.MethodPut:
		s.putRecord(w, r, who, name)
	case http.MethodDelete:
		s.deleteRecord(w, r, who, name)
	default:
		refuseMethod(w, r, "DELETE, GET, PUT")
	}
}

// recordsAt is what there is at a name.
func (v *view) recordsAt(name string) client.Records {
	all := client.Records{Name: display(name), Records: []client.Record{}}
	if z := v.zoneOf(name, 0); z != nil && z.nodes[name] != nil {
		node := z.nodes[name]
		for _, rrtype := range sortedKeys(node.rrsets, func(t uint16) string { return fmt.Sprintf("%05d", t) }) {
			for _, rr := range node.rrsets[rrtype] {
				data, err := rdata(rr)
				if err == nil {
					all.Records = append(all.Records, client.Record{Type: dns.Type(rrtype).String(), TTL: rr.Header().Ttl, Value: recordText(rrtype, data), Configured: true})
				}
			}
		}
	}
	for set := range v.table.get(name).sets() {
		for one := range set.records() {
			shown := client.Record{Type: dns.Type(set.rrtype).String(), TTL: one.ttl, Value: recordText(set.rrtype, one.data)}
			if one.expires != 0 {
				at := time.Unix(one.expires, 0).UTC()
				shown.ExpiresAt = &at
			}
			all.Records = append(all.Records, shown)
		}
	}
	return all
}

// recordText is data as people write it: a TXT's text, else as in a zone file.
func recordText(rrtype uint16, data string) string {
	if rrtype == dns.TypeTXT {
		return txtValue(data)
	}
	rr, err := newRR(".", rrtype, record{data: data})
	if _, unknown := rr.(*dns.RFC3597); unknown || err != nil {
		return fmt.Sprintf(`\# %d %x`, len(data), data) // RFC 3597 §5
	}
	return strings.TrimPrefix(rr.String(), rr.Header().String())
}

// recordData is the reverse of recordText.
func recordData(rrtype uint16, text string) (string, error) {
	if rrtype == dns.TypeTXT {
		return txtData(text), nil
	}
	if !oneLine(text) {
		return "", errors.New("has a line feed, or a parenthesis or semicolon outside of quotes, which data of one record has no need of")
	}
	rr, err := dns.NewRR(". 0 IN " + dns.Type(rrtype).String() + " " + text)
	if err != nil || rr == nil {
		return "", fmt.Errorf("is no data of a %s record, as a zone file has it", dns.Type(rrtype))
	}
	return rdata(rr)
}

// oneLine reports whether nothing in the data of a record would end it, or go
// on in another line (RFC 1035 §5.1).
func oneLine(text string) bool {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\n', c == '\r', !quoted && strings.IndexByte("();", c) >= 0:
			return false
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		}
	}
	return true
}

// typeOf reads the name of a type, and refuses one that is not kept, or not the
// token's to change.
func typeOf(w http.ResponseWriter, who *token, text string) (uint16, bool) {
	rrtype, err := parseType(text)
	if err == nil && !storable(rrtype) {
		err = fmt.Errorf("records of the type %s are not kept here", dns.Type(rrtype))
	}
	if err != nil {
		refuse(w, http.StatusUnprocessableEntity, fmt.Sprintf("type: %v", err))
		return 0, false
	}
	return rrtype, mayChange(w, who, rrtype)
}

// mayChange refuses a type that is not the token's.
func mayChange(w http.ResponseWriter, who *token, rrtype uint16) bool {
	if slices.Contains(who.types, rrtype) || slices.Contains(who.types, dns.TypeANY) {
		return true
	}
	var types []string
	for _, t := range who.types {
		types = append(types, dns.Type(t).String())
	}
	refuse(w, http.StatusForbidden, fmt.Sprintf("token %q may not change %s records; it may change %s. Use another token, or add the type to its types in the server's configuration",
		who.name, dns.Type(rrtype), strings.Join(types, ", ")))
	return false
}

func (s *Server) putRecord(w http.ResponseWriter, r *http.Request, who *token, name string) {
	var given client.Record
	if !readJSON(w, r, &given, `{"type":"A","value":"192.0.2.1"} and, if wanted, ttl and expires_at`) {
		return
	}
	rrtype, ok := typeOf(w, who, given.Type)
	if !ok {
		return
	}
	data, err := recordData(rrtype, given.Value)
	switch {
	case given.Value == "":
		err = errors.New("is missing")
	case given.Configured:
		err = errors.New("cannot be configured over the API; leave configured out")
	}
	if err != nil {
		refuse(w, http.StatusUnprocessableEntity, fmt.Sprintf("value: it %v", err))
		return
	}
	c := Change{Op: Put, Name: name, Type: rrtype, TTL: given.TTL, Data: data}
	if given.ExpiresAt != nil {
		if c.Expires = given.ExpiresAt.Unix(); !given.ExpiresAt.After(s.clock.now()) {
			refuse(w, http.StatusUnprocessableEntity, fmt.Sprintf("expires_at: %s is in the past; give a later time, or leave it out", exact(*given.ExpiresAt)))
			return
		}
	}
	if v := s.view.Load(); c.TTL == 0 && v != nil {
		if z := v.zoneOf(name, rrtype); z != nil {
			c.TTL = z.dynamicTTL
		}
	}
	s.finish(w, r, who, name, s.Change(r.Context(), c))
}

func (s *Server) deleteRecord(w http.ResponseWriter, r *http.Request, who *token, name string) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || len(query["type"]) != 1 || len(query["value"]) > 1 {
		refuse(w, http.StatusBadRequest, "the query does not say what goes; send ?type=… for all records of a type, with &value=… for one")
		return
	}
	rrtype, ok := typeOf(w, who, query.Get("type"))
	if !ok {
		return
	}
	c := Change{Op: DeleteSet, Name: name, Type: rrtype}
	if query.Has("value") {
		if c.Data, err = recordData(rrtype, query.Get("value")); err != nil {
			refuse(w, http.StatusUnprocessableEntity, fmt.Sprintf("value: it %v", err))
			return
		}
		c.Op = DeleteRecord
	}
	s.finish(w, r, who, name, s.Change(r.Context(), c))
}

// handleRecordList serves the names that have records which come and go, as far
// as the token reaches, in the order of names.
func (s *Server) handleRecordList(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		refuseMethod(w, r, "GET")
		return
	}
	who, ok := s.bearer(w, r)
	if !ok || !permitted(w, who, rightRead) {
		return
	}
	limit, err := strconv.Atoi(cmp.Or(r.URL.Query().Get("limit"), strconv.Itoa(defaultListed)))
	if err != nil || limit < 1 || limit > maxListed {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("limit: %q is no number from 1 to %d", r.URL.Query().Get("limit"), maxListed))
		return
	}
	var after string
	if text := r.URL.Query().Get("after"); text != "" {
		if after, err = canonicalName(text); err != nil {
			refuse(w, http.StatusBadRequest, fmt.Sprintf("after: the name %v", err))
			return
		}
	}
	v := s.view.Load()
	if v == nil {
		refuseError(w, ErrStopped)
		return
	}
	names, more := v.namesAfter(after, limit, who.allows)
	list := client.RecordList{Names: []client.Records{}}
	for _, name := range names {
		list.Names = append(list.Names, v.recordsAt(name))
	}
	if more {
		list.After = display(names[len(names)-1])
	}
	replyJSON(w, http.StatusOK, list)
}

// namesAfter returns the first names after one, of those with records that come
// and go, and whether there are more. It looks at all names and keeps a few.
func (v *view) namesAfter(after string, limit int, keep func(name string) bool) (names []string, more bool) {
	for l := range v.table.all() {
		if !l.holds() || l.name() <= after || !keep(l.name()) {
			continue
		}
		if names = append(names, l.name()); len(names) >= 4*limit+1 {
			slices.Sort(names)
			names, more = names[:limit], true
		}
	}
	slices.Sort(names)
	if len(names) > limit {
		names, more = names[:limit], true
	}
	return names, more
}

// readJSON reads the body of a request into what into points to, or refuses and
// says what is wanted.
func readJSON(w http.ResponseWriter, r *http.Request, into any, wanted string) bool {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is over %d bytes; send a shorter value", tooLarge.Limit))
		return false
	case err != nil:
		refuse(w, http.StatusBadRequest, fmt.Sprintf("the body cannot be read: %v", err))
		return false
	case !utf8.Valid(text): // encoding/json would alter the value
		refuse(w, http.StatusBadRequest, "the body is not UTF-8")
		return false
	}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("the body is not the JSON expected: %v; send %s", err, wanted))
		return false
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		refuse(w, http.StatusBadRequest, "the body goes on after the JSON")
		return false
	}
	return true
}
