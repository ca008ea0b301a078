package main

import (
	"fmt"
	"net"
	"net/url"
	"time"
	_ "time/tzdata" // time_zone means the same where the system has no zones

	"github.com/hashicorp/hcl/v2"

	"github.com/certiform/terraform-provider-certificate/dnsserver/watch"
)

// watchBlock says which servers' certificates are watched, and who is told that
// one of them is not renewed.
type watchBlock struct {
	Every     string          `hcl:"every,optional"`
	TimeZone  string          `hcl:"time_zone,optional"`
	Endpoints []endpointBlock `hcl:"endpoint,block"`
	Webhooks  []webhookBlock  `hcl:"webhook,block"`
	Mails     []mailBlock     `hcl:"mail,block"`
	Range     hcl.Range       `hcl:",def_range"`
}

type endpointBlock struct {
	Name       string    `hcl:"name,label"`
	Address    string    `hcl:"address"`
	ServerName string    `hcl:"server_name,optional"`
	WindowDays int       `hcl:"window_days,optional"`
	Range      hcl.Range `hcl:",def_range"`
}

type webhookBlock struct {
	URL   string    `hcl:"url"`
	Key   string    `hcl:"key,optional"`
	Range hcl.Range `hcl:",def_range"`
}

type mailBlock struct {
	Server   string    `hcl:"server"`
	Security string    `hcl:"security,optional"`
	User     string    `hcl:"user,optional"`
	Password string    `hcl:"password,optional"`
	From     string    `hcl:"from"`
	To       []string  `hcl:"to"`
	Range    hcl.Range `hcl:",def_range"`
}

// apply makes the watcher's configuration of the block.
func (b *watchBlock) apply(to *watch.Config) []error {
	if b == nil {
		return nil
	}
	var errs []error
	problem := func(at hcl.Range, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: watch: "+format, append([]any{linePlace(at)}, args...)...))
	}
	var err error
	if to.Every, err = duration(b.Every); err != nil || to.Every < 0 {
		problem(b.Range, `every: %q is no time between two looks; write one like "1h"`, b.Every)
	}
	if to.Place, err = time.LoadLocation(b.TimeZone); err != nil {
		problem(b.Range, `time_zone: %q is none; write a name of the IANA database such as "Asia/Shanghai"`, b.TimeZone)
	}
	if len(b.Endpoints) == 0 {
		problem(b.Range, `there is no endpoint; add one: endpoint "www" { address = "www.example.com:443" }`)
	}
	seen := map[string]bool{}
	for _, e := range b.Endpoints {
		if _, _, err := net.SplitHostPort(e.Address); err != nil {
			problem(e.Range, `endpoint %q: %q is no host and port; write it like "www.example.com:443"`, e.Name, e.Address)
		}
		if e.WindowDays < 0 {
			problem(e.Range, "endpoint %q: window_days: write a number from 1, or leave it out", e.Name)
		}
		if seen[e.Name] {
			problem(e.Range, "endpoint %q is there twice; give each its own name", e.Name)
		}
		seen[e.Name] = true
		to.Endpoints = append(to.Endpoints, watch.Endpoint{Name: e.Name, Address: e.Address, ServerName: e.ServerName, WindowDays: e.WindowDays})
	}
	for _, w := range b.Webhooks {
		if u, err := url.Parse(w.URL); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
			problem(w.Range, "webhook: the url is no http or https URL")
		}
		hook := watch.Webhook{URL: w.URL}
		if w.Key != "" {
			hook.Key = watch.NewSecret(w.Key)
		}
		to.Channels = append(to.Channels, hook)
	}
	for _, m := range b.Mails {
		if _, _, err := net.SplitHostPort(m.Server); err != nil {
			problem(m.Range, `mail: server: %q is no host and port; write it like "mail.example.com:587"`, m.Server)
		}
		if m.Security != "" && m.Security != watch.MailStartTLS && m.Security != watch.MailTLS {
			problem(m.Range, "mail: security: write %q or %q", watch.MailStartTLS, watch.MailTLS)
		}
		if len(m.To) == 0 {
			problem(m.Range, "mail: to: there is nobody; write at least one address")
		}
		to.Channels = append(to.Channels, watch.Mail{
			Server: m.Server, Security: m.Security, User: m.User, Password: watch.NewSecret(m.Password), From: m.From, To: m.To,
		})
	}
	return errs
}
