package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/Azure/go-ntlmssp"
)

// lanes are the connections to a service, each for one request at a time: NTLM
// is a conversation of three requests on one connection (MS-NTHT), and a pool
// that hands out whatever is free would mix several of them.
type lanes struct {
	make func() lane

	turns chan struct{}
	mu    sync.Mutex
	free  []lane // the one used last comes first, so that few are used
}

type lane struct {
	client *http.Client
	idle   func() // closes the connection when nobody uses it
}

// maxLanes is how many requests are under way at once.
const maxLanes = 8

func newLanes(config *tls.Config, connect time.Duration, ntlm bool) *lanes {
	return &lanes{turns: make(chan struct{}, maxLanes), make: func() lane {
		base := &http.Transport{
			DialContext:         (&net.Dialer{Timeout: connect, KeepAlive: defaultKeepAlive}).DialContext,
			TLSClientConfig:     config.Clone(),
			TLSHandshakeTimeout: connect, ResponseHeaderTimeout: pollTimeout + replySlack,
			MaxConnsPerHost: 1, IdleConnTimeout: 90 * time.Second,
		}
		var way http.RoundTripper = base
		if ntlm {
			way = ntlmssp.Negotiator{RoundTripper: onlyNTLM{base}}
		}
		// Somebody who sends elsewhere is not to be followed with a password.
		stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		return lane{&http.Client{Transport: way, CheckRedirect: stay}, base.CloseIdleConnections}
	}}
}

// enter waits for a lane; leave gives it back.
func (l *lanes) enter(ctx context.Context) (client *http.Client, leave func(), err error) {
	select {
	case l.turns <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var one lane
	if last := len(l.free) - 1; last >= 0 {
		one, l.free = l.free[last], l.free[:last]
	} else {
		one = l.make()
	}
	return one.client, func() {
		l.mu.Lock()
		l.free = append(l.free, one)
		l.mu.Unlock()
		<-l.turns
	}, nil
}

func (l *lanes) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range l.free {
		one.idle()
	}
}

// onlyNTLM keeps the negotiator from handing the password itself to a service
// that does not offer NTLM.
type onlyNTLM struct{ http.RoundTripper }

func (o onlyNTLM) RoundTrip(request *http.Request) (*http.Response, error) {
	if strings.HasPrefix(request.Header.Get("Authorization"), "Basic ") {
		return nil, errNoNTLM
	}
	return o.RoundTripper.RoundTrip(request)
}

var errNoNTLM = errors.New("the service does not offer NTLM")
