package dnsserver

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver/client"
	"github.com/certiform/terraform-provider-certificate/dnsserver/dnssec"
)

// handleZoneKeys is GET /v1/zones/{zone}/keys.
func (s *Server) handleZoneKeys(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		refuseMethod(w, r, "GET")
		return
	}
	if _, ok := s.bearerFor(w, r, rightRead); ok {
		s.replyKeys(w, r)
	}
}

// handleRollOver is POST /v1/zones/{zone}/rollover.
func (s *Server) handleRollOver(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		refuseMethod(w, r, "POST")
		return
	}
	who, ok := s.bearerFor(w, r, rightAdmin)
	if !ok {
		return
	}
	err := s.RollOver(withActor(r.Context(), fmt.Sprintf("token %q", who.name), s.clientOf(r)), r.PathValue("zone"))
	if errors.Is(err, ErrUnsigned) || errors.Is(err, dnssec.ErrRolling) {
		refuse(w, http.StatusConflict, err.Error())
		return
	}
	if err != nil {
		refuseError(w, err)
		return
	}
	s.log.InfoContext(r.Context(), "zone rolls over", "zone", r.PathValue("zone"), "token", who.name, "client", s.clientOf(r).String())
	s.replyKeys(w, r)
}

// replyKeys replies with the keys of the zone in the path.
func (s *Server) replyKeys(w http.ResponseWriter, r *http.Request) {
	v, ok := s.ready(w)
	if !ok {
		return
	}
	apex, err := canonicalName(r.PathValue("zone"))
	if err != nil {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("the zone %v; correct the path", err))
		return
	}
	z := v.zones[apex]
	switch {
	case z == nil:
		refuse(w, http.StatusNotFound, fmt.Sprintf("%s is no zone of this server; it has %s", display(apex), v.zoneNames()))
		return
	case !z.signed:
		refuse(w, http.StatusConflict, ErrUnsigned.Error())
		return
	}
	ring, _, _, err := v.ring(apex)
	if err != nil {
		refuseError(w, err)
		return
	}
	replyJSON(w, http.StatusOK, shownKeys(apex, ring, s.policy.Load().signers[apex]))
}

// shownKeys is a ring as the API has it.
func shownKeys(apex string, ring dnssec.Ring, g *zoneSigner) client.ZoneKeys {
	reply := client.ZoneKeys{Zone: display(apex), Keys: []client.ZoneKey{}, DS: []string{}}
	for _, record := range ring.DS() {
		reply.DS = append(reply.DS, record.ToDS(dns.SHA256).String())
	}
	for _, e := range ring.Entries {
		shown := client.ZoneKey{State: string(e.State), Since: e.Since, DNSKEY: e.Key}
		if record, err := e.Record(); err == nil {
			shown.Tag, shown.DS = record.KeyTag(), record.ToDS(dns.SHA256).String()
			shown.Here = g != nil && g.here[record.PublicKey]
		}
		reply.Keys = append(reply.Keys, shown)
	}
	return reply
}
