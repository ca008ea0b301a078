package deploy

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
)

// TomcatOptions describe an Apache Tomcat.
type TomcatOptions struct {
	Store StoreOptions // certificateKeystoreFile; or:

	CertificatePath string // certificateFile
	ChainPath       string // certificateChainFile
	PrivateKeyPath  string // certificateKeyFile; without keystore and paths they are found by:

	ServerName string // hostName of an SSLHostConfig; default: the name of the proof
	Base       string // CATALINA_BASE, with conf/server.xml; default: where packages have it

	Manager     Admin  // the manager's text interface, role manager-script; without a URL:
	TLSHostName string // the SSLHostConfig to reload; default: all
	Restart     []string
}

// Tomcat is the target for Apache Tomcat. It has no test: its manager answers
// that all is well for a pair that does not match, so the pair is checked before
// anything is written, and only handshakes prove what is served.
type Tomcat struct{ options TomcatOptions }

var (
	_ FileTarget = (*Tomcat)(nil)
	_ Grouped    = (*Tomcat)(nil)
	_ Finder     = (*Tomcat)(nil)
)

// NewTomcat checks the options and returns the target.
func NewTomcat(options TomcatOptions) (*Tomcat, error) {
	t := &Tomcat{options}
	if options.Manager.URL != "" {
		if err := options.Manager.check(); err != nil {
			return nil, err
		}
	}
	if t.Open() {
		return t, nil
	}
	if options.ServerName != "" || options.Base != "" {
		return nil, fmt.Errorf("%w: server_name and catalina_base are for finding them, and they are set", ErrPath)
	}
	if (options.Store.Path == "") == (options.CertificatePath == "") {
		return nil, fmt.Errorf("%w: tomcat needs a keystore, or the files of certificate and private key", ErrPath)
	}
	return t, checkSlots(t.Slots())
}

// Name implements Target.
func (*Tomcat) Name() string { return "tomcat" }

// Slots implements Target.
func (t *Tomcat) Slots() []Slot {
	o := t.options
	if o.Store.Path != "" {
		return []Slot{o.Store.slot("tomcat")}
	}
	slots := []Slot{{Path: o.PrivateKeyPath, Format: PEM{Key: true}}, {Path: o.CertificatePath, Format: PEM{Leaf: true, Chain: o.ChainPath == ""}}}
	if o.ChainPath != "" {
		slots = append(slots, Slot{Path: o.ChainPath, Format: PEM{Chain: true}})
	}
	return slots
}

// Server implements Grouped.
func (t *Tomcat) Server() string {
	o := t.options
	if o.Manager.URL == "" && len(o.Restart) == 0 {
		return ""
	}
	return identity(append([]string{"tomcat", o.Manager.URL, o.TLSHostName}, o.Restart...)...)
}

// Test implements Target; Tomcat has none.
func (*Tomcat) Test(context.Context, transport.Transport) (bool, error) { return false, nil }

// Reload implements Target by the manager's sslReload.
func (t *Tomcat) Reload(ctx context.Context, machine transport.Transport) (bool, error) {
	if t.options.Manager.URL == "" {
		return maybe(ctx, machine, t.options.Restart)
	}
	ask := request{method: http.MethodGet, path: "/manager/text/sslReload"}
	if t.options.TLSHostName != "" {
		ask.path += "?tlsHostName=" + url.QueryEscape(t.options.TLSHostName)
	}
	said, err := t.options.Manager.ask(ctx, machine, ask)
	if err == nil && !strings.HasPrefix(said, "OK") {
		err = fmt.Errorf("%w: sslReload says %q", ErrAdmin, abridged(said))
	}
	return true, err
}
