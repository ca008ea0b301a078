package challenge

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	updateTTL = 60  // seconds, of the records
	tsigFudge = 300 // seconds that the clocks may differ (RFC 8945 §10)
	// maxUpdates go on at once: BIND lets ten connections wait, and drops more
	// for their clients to try again a second later.
	maxUpdates = 4
)

// errUnsigned says that anybody may have sent the answer.
var errUnsigned = errors.New("the answer is not signed")

// UpdatePublisher publishes by dynamic updates (RFC 2136) that are signed with
// TSIG (RFC 8945), at the primary server of the zone.
type UpdatePublisher struct {
	server string // host:port
	zone   string // "" to find it
	key    tsigKey
	now    func() time.Time
	turns  chan struct{} // holds a token for each message on its way

	mu    sync.Mutex
	zones map[string]string // by name
}

// tsigKey signs messages. It does not show its secret.
type tsigKey struct {
	name, algorithm string        // absolute
	secret          func() string // base64
}

// Publish implements Publisher.
func (p *UpdatePublisher) Publish(ctx context.Context, name, value string) error {
	if err := p.update(ctx, name, txt(name, value), (*dns.Msg).Insert); err != nil {
		return fmt.Errorf("publish %s by a dynamic update: %w", name, err)
	}
	return nil
}

// Withdraw implements Publisher.
func (p *UpdatePublisher) Withdraw(ctx context.Context, name, value string) error {
	if err := p.update(ctx, name, txt(name, value), (*dns.Msg).Remove); err != nil {
		return fmt.Errorf("withdraw %s by a dynamic update: %w", name, err)
	}
	return nil
}

// PublishAlias implements AliasPublisher.
func (p *UpdatePublisher) PublishAlias(ctx context.Context, name, target string) error {
	if err := p.update(ctx, name, alias(name, target), (*dns.Msg).Insert); err != nil {
		return fmt.Errorf("publish the CNAME %s by a dynamic update: %w", name, err)
	}
	return nil
}

// WithdrawAlias implements AliasPublisher.
func (p *UpdatePublisher) WithdrawAlias(ctx context.Context, name, target string) error {
	if err := p.update(ctx, name, alias(name, target), (*dns.Msg).Remove); err != nil {
		return fmt.Errorf("withdraw the CNAME %s by a dynamic update: %w", name, err)
	}
	return nil
}

func txt(name, value string) dns.RR {
	return &dns.TXT{Hdr: header(name, dns.TypeTXT), Txt: []string{value}}
}

func alias(name, target string) dns.RR {
	return &dns.CNAME{Hdr: header(name, dns.TypeCNAME), Target: dns.Fqdn(target)}
}

func header(name string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: dns.Fqdn(name), Rrtype: kind, Class: dns.ClassINET, Ttl: updateTTL}
}

// update adds one record to those of its name and type or takes one away (RFC
// 2136 §2.5.1, §2.5.4).
func (p *UpdatePublisher) update(ctx context.Context, name string, record dns.RR, change func(*dns.Msg, []dns.RR)) error {
	zone, err := p.zoneOf(ctx, name)
	if err != nil {
		return err
	}
	message := new(dns.Msg).SetUpdate(zone)
	change(message, []dns.RR{record})
	_, err = p.exchange(ctx, message, zone)
	return err
}

// zoneOf finds the zone of a name by asking the server itself, which may know
// zones that the world does not see.
func (p *UpdatePublisher) zoneOf(ctx context.Context, name string) (string, error) {
	if p.zone != "" {
		return p.zone, nil
	}
	p.mu.Lock()
	zone, ok := p.zones[name]
	p.mu.Unlock()
	if ok {
		return zone, nil
	}
	for ancestor := dns.Fqdn(name); ancestor != "."; ancestor = parentOf(ancestor) {
		answer, err := p.exchange(ctx, new(dns.Msg).SetQuestion(ancestor, dns.TypeSOA), ancestor)
		if err != nil {
			return "", fmt.Errorf("find the zone of %s: %w", name, err)
		}
		if zone := zoneOf(answer, ancestor); zone != "" && answer.Authoritative {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.zones[name] = zone
			return zone, nil
		}
	}
	return "", fmt.Errorf("find the zone of %s: the server %s has authority for none; give the zone's primary server, or set zone", name, p.server)
}

// exchange signs a message, sends it over TCP, where nothing is lost, and returns
// the answer to it if that is good and signed too. Each message has a connection
// of its own: the library would verify a second answer against the first one's
// signature.
func (p *UpdatePublisher) exchange(ctx context.Context, message *dns.Msg, zone string) (*dns.Msg, error) {
	select {
	case p.turns <- struct{}{}:
		defer func() { <-p.turns }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	limited, cancel := context.WithTimeout(ctx, 2*queryTimeout)
	defer cancel()
	message.SetTsig(p.key.name, p.key.algorithm, tsigFudge, p.now().Unix())
	client := &dns.Client{TsigSecret: map[string]string{p.key.name: p.key.secret()}}
	answer, err := exchangeTCP(limited, client, p.server, message)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case answer == nil || answer.Id != message.Id:
		if limited.Err() != nil {
			err = fmt.Errorf("no answer within %s", 2*queryTimeout)
		}
		return nil, fmt.Errorf("ask the server %s: %w; check validation.rfc2136.server, and that this machine may connect to it over TCP", p.server, err)
	}
	if reason := p.refusal(answer, zone); reason != "" {
		return nil, fmt.Errorf("the server %s answers %s", p.server, reason)
	}
	if err == nil && answer.IsTsig() == nil {
		err = errUnsigned // the library does not mind
	}
	if err != nil {
		return nil, fmt.Errorf("the server %s does not prove that the answer is its own: %w; check validation.rfc2136.secret and what is between", p.server, err)
	}
	return answer, nil
}

// refusal is what an answer says against the message and what to do about it; ""
// when it says nothing. A name that does not exist is no refusal of a question.
func (p *UpdatePublisher) refusal(answer *dns.Msg, zone string) string {
	if t := answer.IsTsig(); t != nil && t.Error != dns.RcodeSuccess {
		return p.tsigRefusal(t)
	}
	var advice string
	switch answer.Rcode {
	case dns.RcodeSuccess:
		return ""
	case dns.RcodeNameError:
		if answer.Opcode == dns.OpcodeQuery {
			return ""
		}
		advice = "the zone may have been removed"
	case dns.RcodeRefused:
		if answer.Opcode == dns.OpcodeQuery {
			advice = "it has no such zone, or does not let the key see it: correct validation.rfc2136.server"
			break
		}
		advice = fmt.Sprintf("allow the key %s to change TXT records there, and CNAME records for CAs that ask for them (update-policy in BIND, acl in Knot)", p.key.name)
	case dns.RcodeNotAuth:
		advice = "it is not the zone's primary server: correct validation.rfc2136.server or zone"
	case dns.RcodeNotZone:
		advice = "the name is not in the zone: correct validation.rfc2136.zone, or leave it out to have it found"
	case dns.RcodeNotImplemented:
		advice = "it takes no dynamic updates"
	case dns.RcodeServerFailure:
		advice = "its log says why; often it may not write the zone's journal"
	default:
		advice = "its log may say why"
	}
	return fmt.Sprintf("%s for the zone %s: %s", dns.RcodeToString[answer.Rcode], strings.TrimSuffix(zone, "."), advice)
}

// tsigRefusal words an error of the signature (RFC 8945 §5.2).
func (p *UpdatePublisher) tsigRefusal(t *dns.TSIG) string {
	switch t.Error {
	case dns.RcodeBadKey:
		return fmt.Sprintf("BADKEY: it has no key %s for %s; correct validation.rfc2136.key_name or algorithm", strings.TrimSuffix(p.key.name, "."), strings.TrimSuffix(p.key.algorithm, "."))
	case dns.RcodeBadSig:
		return fmt.Sprintf("BADSIG: its secret of the key %s is another one; correct validation.rfc2136.secret", strings.TrimSuffix(p.key.name, "."))
	case dns.RcodeBadTime:
		theirs := ""
		if seconds, err := hex.DecodeString(t.OtherData); err == nil && len(seconds) == 6 {
			var unix int64
			for _, b := range seconds {
				unix = unix<<8 | int64(b)
			}
			theirs = " says " + time.Unix(unix, 0).UTC().Format(time.RFC3339)
		}
		return fmt.Sprintf("BADTIME: its clock%s, and this machine's %s, more than %d s apart; set the wrong one", theirs, p.now().UTC().Format(time.RFC3339), tsigFudge)
	}
	return fmt.Sprintf("%s to the signature: correct validation.rfc2136.algorithm", dns.RcodeToString[int(t.Error)])
}
