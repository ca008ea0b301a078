package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// account is what POST /register of the acme-dns API gives.
type account struct {
	Username   string `json:"username"`
	Password   string `json:"password"`
	Subdomain  string `json:"subdomain"`
	FullDomain string `json:"fulldomain"`
}

// register makes accounts, one for each client.
func (b *bench) register(clients int) ([]account, error) {
	accounts := make([]account, clients)
	for i := range accounts {
		request, err := http.NewRequest(http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d/register", b.apiPort), nil)
		if err != nil {
			return nil, err
		}
		request.Header.Set("X-Forwarded-For", fmt.Sprintf("192.0.2.%d", i)) // each client has few a minute
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return nil, err
		}
		err = json.NewDecoder(answer.Body).Decode(&accounts[i])
		if err := errors.Join(err, answer.Body.Close()); err != nil || answer.StatusCode != http.StatusCreated {
			return nil, fmt.Errorf("%w: register: %s, %v", errAnswer, answer.Status, err)
		}
	}
	return accounts, nil
}

// acmeDNS has each account update its record again and again over a connection
// of its own, and returns how many updates a second were acknowledged. Requests
// are written by hand, since an HTTP client would cost more than the server.
func (b *bench) acmeDNS(accounts []account, mark string, d time.Duration) (float64, error) {
	counts, errs := make([]int, len(accounts)), make([]error, len(accounts))
	began := time.Now()
	var all sync.WaitGroup
	for i, a := range accounts {
		all.Go(func() { counts[i], errs[i] = b.acmeDNSClient(a, fmt.Sprintf("%s-%d", mark, i), began.Add(d)) })
	}
	all.Wait()
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return float64(sum) / time.Since(began).Seconds(), errors.Join(errs...)
}

func (b *bench) acmeDNSClient(a account, mark string, end time.Time) (n int, err error) {
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", b.apiPort))
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }() // all replies have come
	in := bufio.NewReader(c)
	for ; time.Now().Before(end); n++ {
		body := fmt.Sprintf(`{"subdomain":%q,"txt":%q}`, a.Subdomain, value(fmt.Sprint(mark, n)))
		request := fmt.Sprintf("POST /update HTTP/1.1\r\nHost: localhost\r\nX-Api-User: %s\r\nX-Api-Key: %s\r\nContent-Length: %d\r\n\r\n%s",
			a.Username, a.Password, len(body), body)
		text, err := exchangeHTTP(c, in, request, http.StatusOK)
		if err == nil && !strings.Contains(text, "txt") {
			err = fmt.Errorf("%w: %s", errAnswer, text)
		}
		if err != nil {
			return n, fmt.Errorf("update: %w", err)
		}
	}
	return n, nil
}

// registrars is how many connections register accounts.
const registrars = 8

// floodRegister registers accounts at a rate until ctx ends, each from another
// address: a client has few a minute. It returns how many a second there were.
func (b *bench) floodRegister(ctx context.Context, round, rate int) (perSecond float64, err error) {
	made, errs := make([]int, registrars), make([]error, registrars)
	began := time.Now()
	var all sync.WaitGroup
	for i := range registrars {
		all.Go(func() { made[i], errs[i] = b.registrar(ctx, fmt.Sprintf("2001:db8:%x:%x", round, i), rate/registrars) })
	}
	all.Wait()
	sum := 0
	for _, n := range made {
		sum += n
	}
	return float64(sum) / time.Since(began).Seconds(), errors.Join(errs...)
}

// registrar registers accounts over one connection, for clients whose networks
// begin with prefix.
func (b *bench) registrar(ctx context.Context, prefix string, rate int) (n int, err error) {
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", b.apiPort))
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }() // all replies have come
	in := bufio.NewReader(c)
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for ; ctx.Err() == nil; n++ {
		request := fmt.Sprintf("POST /register HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: %s:%x::1\r\nContent-Length: 0\r\n\r\n", prefix, n%0x10000)
		if _, err := exchangeHTTP(c, in, request, http.StatusCreated); err != nil {
			return n, fmt.Errorf("register: %w", err)
		}
		<-tick.C
	}
	return n, nil
}

// exchangeHTTP sends a request and returns the body of the answer, which must
// have this status.
func exchangeHTTP(c net.Conn, in *bufio.Reader, request string, status int) (body string, err error) {
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, request); err != nil {
		return "", err
	}
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return "", err
	}
	if answer.StatusCode != status {
		return "", fmt.Errorf("%w: %s: %s", errAnswer, answer.Status, text)
	}
	return string(text), nil
}
