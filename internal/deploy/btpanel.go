package deploy

import (
	"context"
	"crypto/md5" //nolint:gosec // the panel's API signs with it
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// BTPanelOptions describe a site of a BT panel (宝塔).
type BTPanelOptions struct {
	URL      string      // of the panel, such as https://127.0.0.1:8888
	APIKey   secret.Text // from the panel's settings, where the caller's address has to be allowed
	Site     string      // name of the site
	CABundle []byte      // PEM; the panel's own certificate is self-signed
}

// BTPanel is the target for the BT panel: the panel keeps the pair of a site,
// checks it and reloads its web server.
type BTPanel struct {
	options BTPanelOptions
	now     func() time.Time
}

var _ Service = (*BTPanel)(nil)

// NewBTPanel checks the options and returns the target.
func NewBTPanel(options BTPanelOptions) (*BTPanel, error) {
	if options.Site == "" {
		return nil, errors.New("bt_panel needs the name of the site")
	}
	if err := (Admin{URL: options.URL, CABundle: options.CABundle}).check(); err != nil {
		return nil, err
	}
	return &BTPanel{options, time.Now}, nil
}

// Name implements Target.
func (*BTPanel) Name() string { return "bt_panel" }

// sitePair is the pair of a site as the panel keeps it.
type sitePair struct {
	on        bool
	fullchain string
	key       secret.Text
}

// Fetch implements Service by GetSSL.
func (b *BTPanel) Fetch(ctx context.Context, machine transport.Transport) (Holding, error) {
	text, err := b.ask(ctx, machine, "/site?action=GetSSL", url.Values{"siteName": {b.options.Site}})
	if err != nil {
		return Holding{}, err
	}
	var answer struct {
		Status bool
		Key    any // false without one
		CSR    any // the full chain
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return Holding{}, fmt.Errorf("%w: the panel's answer to GetSSL is not understood", ErrAdmin)
	}
	key, _ := answer.Key.(string)
	fullchain, _ := answer.CSR.(string)
	held := Holding{Back: sitePair{answer.Status, fullchain, secret.New(key)}}
	if answer.Status {
		// What cannot be read is no reason against replacing it.
		held.Chain, _ = pki.ParseCertificates([]byte(fullchain))
	}
	return held, nil
}

// Install implements Service by SetSSL.
func (b *BTPanel) Install(ctx context.Context, machine transport.Transport, m Material) error {
	key, err := m.Key.PEM()
	if err != nil {
		return err
	}
	return b.set(ctx, machine, string(pki.EncodeCertificates(m.Chain...)), secret.New(string(key)))
}

// Restore implements Service.
func (b *BTPanel) Restore(ctx context.Context, machine transport.Transport, before Holding) error {
	pair, _ := before.Back.(sitePair)
	if pair.on {
		return b.set(ctx, machine, pair.fullchain, pair.key)
	}
	_, err := b.ask(ctx, machine, "/site?action=CloseSSLConf", url.Values{"siteName": {b.options.Site}})
	return err
}

// Settle implements Service; the panel keeps nothing over.
func (*BTPanel) Settle(context.Context, transport.Transport, Holding) error { return nil }

func (b *BTPanel) set(ctx context.Context, machine transport.Transport, fullchain string, key secret.Text) error {
	_, err := b.ask(ctx, machine, "/site?action=SetSSL", url.Values{
		"type": {"1"}, "siteName": {b.options.Site}, "key": {key.Reveal()}, "csr": {fullchain},
	})
	return err
}

const loginHint = "the panel shows its login page: switch the API on in its settings, check the API key, and allow the address that asks"

// ask sends a signed form. Twenty wrong signatures lock the caller out for an
// hour, so nothing is tried twice.
func (b *BTPanel) ask(ctx context.Context, machine transport.Transport, path string, form url.Values) ([]byte, error) {
	stamp := strconv.FormatInt(b.now().Unix(), 10)
	inner := md5.Sum([]byte(b.options.APIKey.Reveal()))            //nolint:gosec // as documented
	token := md5.Sum([]byte(stamp + hex.EncodeToString(inner[:]))) //nolint:gosec // as documented
	form.Set("request_time", stamp)
	form.Set("request_token", hex.EncodeToString(token[:]))
	target := strings.TrimSuffix(b.options.URL, "/") + path
	question, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	question.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := Admin{URL: b.options.URL, CABundle: b.options.CABundle}.client(machine, false).Do(question)
	if err != nil {
		return nil, fmt.Errorf("ask the panel: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the answer of the panel: %w", err)
	}
	var said struct {
		Status *bool
		Msg    string
	}
	switch {
	case answer.StatusCode >= 300 && answer.StatusCode < 400, strings.Contains(answer.Header.Get("Content-Type"), "text/html") && json.Unmarshal(body, &said) != nil:
		return nil, fmt.Errorf("%w: %s", ErrAdmin, loginHint)
	case answer.StatusCode >= 400:
		return nil, fmt.Errorf("%w: the panel answers %s", ErrAdmin, answer.Status)
	}
	// GetSSL has a status of its own, without a message.
	if json.Unmarshal(body, &said) == nil && said.Status != nil && !*said.Status && said.Msg != "" {
		return nil, fmt.Errorf("%w: the panel says %q", ErrAdmin, abridged(withoutKeys(said.Msg)))
	}
	return body, nil
}
