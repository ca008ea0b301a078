package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclparse"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
	"github.com/certiform/terraform-provider-certificate/dnsserver/identity"
	"github.com/certiform/terraform-provider-certificate/dnsserver/watch"
)

// config is a configuration file that was found good.
type config struct {
	listen  []string
	storage storage
	api     *apiBlock // nil: no API
	tls     *tlsBlock // nil: no DNS over TLS
	log     *logBlock // nil: text at level info
	server  dnsserver.Config
	watch   watch.Config    // without endpoints: nothing is watched
	own     identity.Config // without names: the API has no certificate of its own
}

// file is the configuration file as it is written.
type file struct {
	Listen      []string       `hcl:"listen"`
	ListenRange hcl.Range      `hcl:"listen,attr_value_range"`
	Storage     *string        `hcl:"storage,optional"`
	Database    *storageBlock  `hcl:"storage,block"`
	LogQueries  bool           `hcl:"log_queries,optional"`
	Log         *logBlock      `hcl:"log,block"`
	QueryLog    *queryLogBlock `hcl:"query_log,block"`
	Resolver    string         `hcl:"resolver,optional"`
	AcmeDNS     *acmeDNSBlock  `hcl:"acme_dns,block"`
	API         *apiBlock      `hcl:"api,block"`
	TLS         *tlsBlock      `hcl:"tls,block"`
	DNSSEC      *dnssecBlock   `hcl:"dnssec,block"`
	Limits      *limitsBlock   `hcl:"limits,block"`
	Zones       []zoneBlock    `hcl:"zone,block"`
	Tokens      []tokenBlock   `hcl:"token,block"`
	Keys        []keyBlock     `hcl:"tsig_key,block"`
	Updates     *updatesBlock  `hcl:"updates,block"`
	NSID        string         `hcl:"nsid,optional"`
	TransferLog int            `hcl:"transfer_log,optional"`

	Cookies   *cookiesBlock   `hcl:"cookies,block"`
	RateLimit *rateLimitBlock `hcl:"rate_limit,block"`
	Watch     *watchBlock     `hcl:"watch,block"`
}

type apiBlock struct {
	Listen          string     `hcl:"listen"`
	CertificateFile string     `hcl:"certificate_file,optional"`
	KeyFile         string     `hcl:"key_file,optional"`
	InsecureHTTP    bool       `hcl:"insecure_http,optional"`
	ACME            *acmeBlock `hcl:"acme,block"`
	MetricsFrom     []string   `hcl:"metrics_from,optional"`
	TrustedProxies  []string   `hcl:"trusted_proxies,optional"`
	Body            hcl.Body   `hcl:",body"`
	ListenRange     hcl.Range  `hcl:"listen,attr_value_range"`
	Range           hcl.Range  `hcl:",def_range"`
}

type zoneBlock struct {
	Name        string   `hcl:"name,label"`
	NameServers []string `hcl:"nameservers,optional"`
	Hostmaster  string   `hcl:"hostmaster,optional"`
	TTL         uint32   `hcl:"ttl,optional"`
	DynamicTTL  uint32   `hcl:"dynamic_ttl,optional"`
	NegativeTTL uint32   `hcl:"negative_ttl,optional"`
	Serial      uint32   `hcl:"serial,optional"`
	Records     string   `hcl:"records,optional"`
	DNSSEC      bool     `hcl:"dnssec,optional"`

	Primaries    []primaryBlock   `hcl:"primary,block"`
	Secondaries  []secondaryBlock `hcl:"secondary,block"`
	TransferFrom []string         `hcl:"transfer_from,optional"`

	Body  hcl.Body  `hcl:",body"`
	Range hcl.Range `hcl:",def_range"`
}

type tokenBlock struct {
	Name   string    `hcl:"name,label"`
	SHA256 string    `hcl:"sha256"`
	Names  []string  `hcl:"names,optional"`
	Rights []string  `hcl:"rights,optional"`
	Types  []string  `hcl:"types,optional"`
	Body   hcl.Body  `hcl:",body"`
	Range  hcl.Range `hcl:",def_range"`
}

// readConfig reads and checks a configuration file. Its error has one line for
// each problem: file:line, what is wrong, what to do.
func readConfig(path string) (config, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return config{}, fmt.Errorf("read the configuration: %w", err)
	}
	parsed, diags := hclparse.NewParser().ParseHCL(src, path)
	var f file
	if !diags.HasErrors() {
		diags = append(diags, gohcl.DecodeBody(parsed.Body, evalContext(), &f)...)
	}
	if diags.HasErrors() {
		return config{}, diagnosticsError(diags)
	}
	conf := f.config()
	f.Limits.apply(&conf.server)
	problems := slices.Concat(f.checkListen(), f.checkStorage(&conf.storage), f.checkAPI(), f.checkTLS(), f.DNSSEC.apply(&conf.server.DNSSEC, conf.storage.path), f.Log.check(), f.policy(&conf.server), f.keys(&conf.server), f.AcmeDNS.apply(&conf.server.Accounts), f.Watch.apply(&conf.watch))
	if f.API != nil {
		problems = append(problems, f.API.ACME.apply(&conf.own, conf.storage.path, conf.server.Zones)...)
	}
	for _, p := range conf.server.Problems() {
		problems = append(problems, fmt.Errorf("%s: %w", f.place(p, src), p))
	}
	return conf, errors.Join(problems...)
}

// diagnosticsError has one line for each diagnostic.
func diagnosticsError(diags hcl.Diagnostics) error {
	var errs []error
	for _, d := range diags {
		if d.Detail == "Unsuitable value: value must be known" {
			continue // follows from a function's error, which is there too
		}
		at := hcl.Range{}
		if d.Subject != nil {
			at = *d.Subject
		}
		errs = append(errs, fmt.Errorf("%s:%d: %s: %s", at.Filename, at.Start.Line, d.Summary, d.Detail))
	}
	return errors.Join(errs...)
}

// config turns the file into what the server takes.
func (f *file) config() config {
	conf := config{listen: f.Listen, api: f.API, tls: f.TLS, log: f.Log}
	conf.server.TransferLog = f.TransferLog
	conf.server.LogQueries, conf.server.QueryLog, conf.server.Resolver = f.LogQueries, f.QueryLog.conf(), f.Resolver
	if f.API != nil {
		conf.server.MetricsFrom, conf.server.TrustedProxies = f.API.MetricsFrom, f.API.TrustedProxies
	}
	for _, z := range f.Zones {
		conf.server.Zones = append(conf.server.Zones, dnsserver.Zone{
			Name: z.Name, NameServers: z.NameServers, Hostmaster: z.Hostmaster,
			TTL: z.TTL, DynamicTTL: z.DynamicTTL, NegativeTTL: z.NegativeTTL, Serial: z.Serial, Records: z.Records, Signed: z.DNSSEC,
			Primaries: z.primaries(), Secondaries: z.secondaries(), TransferFrom: z.TransferFrom,
		})
	}
	for _, t := range f.Tokens {
		conf.server.Tokens = append(conf.server.Tokens, dnsserver.Token{Name: t.Name, SHA256: t.SHA256, Names: t.Names, Rights: t.Rights, Types: t.Types})
	}
	return conf
}

// place finds where in the file a problem stands, as file:line.
func (f *file) place(p *dnsserver.ConfigError, src []byte) string {
	body, at := f.blockOf(p)
	line := at.Start.Line
	if body != nil {
		attrs, _ := body.JustAttributes() // decoded before without error
		if attr := attrs[p.Field]; attr != nil {
			line = attr.Expr.Range().Start.Line
			if p.Line > 0 {
				line = recordsLine(attr, src) + p.Line - 1
			}
		}
	}
	return fmt.Sprintf("%s:%d", at.Filename, line)
}

// blockOf is the block that a problem is in, with the place of its head.
func (f *file) blockOf(p *dnsserver.ConfigError) (hcl.Body, hcl.Range) {
	switch {
	case p.Block == "zone":
		return f.Zones[p.Index].Body, f.Zones[p.Index].Range
	case p.Block == "token":
		return f.Tokens[p.Index].Body, f.Tokens[p.Index].Range
	case p.Block == "tsig_key":
		return f.Keys[p.Index].Body, f.Keys[p.Index].Range
	case p.Block == "updates" && f.Updates != nil:
		return f.Updates.Body, f.Updates.Range
	case p.Block == "query_log" && f.QueryLog != nil:
		return f.QueryLog.Body, f.QueryLog.Range
	case p.Block == "limits" && f.Limits != nil:
		return f.Limits.Body, f.Limits.Range
	case p.Block == "acme_dns" && f.AcmeDNS != nil:
		return f.AcmeDNS.Body, f.AcmeDNS.Range
	case (p.Field == "metrics_from" || p.Field == "trusted_proxies") && f.API != nil:
		return f.API.Body, f.API.Range
	}
	return nil, hcl.Range{Filename: f.ListenRange.Filename, Start: hcl.InitialPos}
}

// recordsLine is the line of the file that the text of an attribute begins on:
// for a heredoc, the one after its marker.
func recordsLine(attr *hcl.Attribute, src []byte) int {
	rest := string(src[attr.NameRange.End.Byte:])
	rest = strings.TrimLeft(strings.TrimPrefix(strings.TrimLeft(rest, " \t"), "="), " \t")
	if strings.HasPrefix(rest, "<<") {
		return attr.NameRange.Start.Line + 1
	}
	return attr.Expr.Range().Start.Line
}

// checkListen finds addresses that DNS cannot listen on.
func (f *file) checkListen() []error {
	var errs []error
	if len(f.Listen) == 0 {
		errs = append(errs, fmt.Errorf("%s: listen: there is no address; write one like 192.0.2.53:53", linePlace(f.ListenRange)))
	}
	for i, addr := range f.Listen {
		ap, err := netip.ParseAddrPort(addr)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: listen: %q is not an IP address and port; write it like 192.0.2.53:53 or [2001:db8::53]:53",
				linePlace(f.ListenRange), addr))
		case ap.Port() != 0 && slices.Contains(f.Listen[:i], addr):
			errs = append(errs, fmt.Errorf("%s: listen: %q is there twice; remove one", linePlace(f.ListenRange), addr))
		}
	}
	return errs
}

// checkAPI refuses to send tokens in the clear to where others could read
// them, unless that is asked for.
func (f *file) checkAPI() []error {
	a := f.API
	if a == nil {
		if len(f.Tokens) > 0 {
			return []error{fmt.Errorf("%s: token: there is no api block, so nobody can use it; add api { listen = \"127.0.0.1:8053\" }",
				linePlace(f.Tokens[0].Range))}
		}
		return nil
	}
	var errs []error
	addr, err := netip.ParseAddrPort(a.Listen)
	switch {
	case err != nil:
		errs = append(errs, fmt.Errorf("%s: api: %q is not an IP address and port; write it like 127.0.0.1:8053", linePlace(a.ListenRange), a.Listen))
	case !a.tls() && !addr.Addr().Unmap().IsLoopback() && !a.InsecureHTTP:
		errs = append(errs, fmt.Errorf("%s: api: tokens would cross the network in the clear; set certificate_file and key_file, "+
			"or an acme block, or listen on 127.0.0.1, or write insecure_http = true when something in front speaks TLS", linePlace(a.ListenRange)))
	}
	if (a.CertificateFile == "") != (a.KeyFile == "") {
		errs = append(errs, fmt.Errorf("%s: api: one of certificate_file and key_file is missing; set both, or neither", linePlace(a.Range)))
	}
	if a.ACME != nil && (a.CertificateFile != "" || a.KeyFile != "") {
		errs = append(errs, fmt.Errorf("%s: api: the certificate comes from files or by acme, not both; remove certificate_file and key_file, or acme", linePlace(a.Range)))
	}
	if a.tls() && a.InsecureHTTP {
		errs = append(errs, fmt.Errorf("%s: api: insecure_http contradicts a certificate; remove one", linePlace(a.Range)))
	}
	return errs
}

// isProxy reports whether an address stands for many clients: that of a trusted
// proxy, or of this machine.
func (a *apiBlock) isProxy(addr netip.Addr) bool {
	if addr.IsLoopback() {
		return true
	}
	for _, text := range a.TrustedProxies {
		if one, err := netip.ParseAddr(text); err == nil && one.Unmap() == addr {
			return true
		}
		if network, err := netip.ParsePrefix(text); err == nil && network.Contains(addr) {
			return true
		}
	}
	return false
}

func (a *apiBlock) tls() bool {
	return a.ACME != nil || a.CertificateFile != "" && a.KeyFile != ""
}

func linePlace(r hcl.Range) string { return fmt.Sprintf("%s:%d", r.Filename, r.Start.Line) }
