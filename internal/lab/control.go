package lab

import (
	"context"
	"fmt"
	"io"
	"net/http"
	neturl "net/url"
	"os"
	"strings"
	"time"
)

// EnvControl is the environment variable with the URL of the lab's control API.
const EnvControl = "CERTIFICATE_LAB_URL"

const fenOfYuan = 100

// startControl serves what commands in the lab can ask of it: POST /reload for
// the web server, POST /open-window with a certificate for the CA; and for the
// commercial CA POST /later, POST /person and GET /ledger.
func (l *Lab) startControl(context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /reload", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, l.Web.Reload())
	})
	mux.HandleFunc("POST /open-window", func(w http.ResponseWriter, r *http.Request) {
		certificate, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err == nil {
			now := time.Now()
			err = l.CA.SetWindow(certificate, now.Add(-time.Hour), now.Add(-time.Minute))
		}
		answer(w, err)
	})
	mux.HandleFunc("POST /later", func(w http.ResponseWriter, r *http.Request) {
		by, err := time.ParseDuration(r.URL.Query().Get("by"))
		if err == nil {
			err = l.later(by)
		}
		answer(w, err)
	})
	mux.HandleFunc("POST /person", func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		answer(w, l.person(query.Get("act"), query.Get("id"), query.Get("words")))
	})
	mux.HandleFunc("GET /ledger", func(w http.ResponseWriter, _ *http.Request) {
		if l.Commercial == nil {
			answer(w, errNoCommercial)
			return
		}
		for _, charge := range l.Commercial.Ledger() {
			_, _ = fmt.Fprintf(w, "%s  %s  %s  %d points  %d.%02d yuan  (%s)\n", // the client may have gone
				charge.At.UTC().Format(time.RFC3339), charge.CertificateID, charge.Product, charge.Points, charge.Fen/fenOfYuan, charge.Fen%fenOfYuan, charge.Action)
		}
	})
	var err error
	l.ControlURL, err = l.serve(mux)
	return err
}

func answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// Reload has the web server of the lab at url take its files over.
func Reload(ctx context.Context, url string) error { return post(ctx, url+"/reload", http.NoBody) }

// OpenWindow has the CA of the lab at url ask for the renewal of the certificate
// in a PEM file, from now on.
func OpenWindow(ctx context.Context, url, file string) error {
	certificate, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("read the certificate: %w", err)
	}
	defer func() { _ = certificate.Close() }()
	return post(ctx, url+"/open-window", certificate)
}

// Later moves the clocks of the commercial CA and of the provider in the lab at
// url ahead.
func Later(ctx context.Context, url, by string) error {
	return post(ctx, url+"/later?"+neturl.Values{"by": {by}}.Encode(), http.NoBody)
}

// Person has somebody at the commercial CA of the lab at url do something with a
// certificate: upload-letter, renew, reject with words, or refund.
func Person(ctx context.Context, url, act, id, words string) error {
	return post(ctx, url+"/person?"+neturl.Values{"act": {act}, "id": {id}, "words": {words}}.Encode(), http.NoBody)
}

// Ledger writes the charges of the commercial CA of the lab at url.
func Ledger(ctx context.Context, url string, w io.Writer) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/ledger", http.NoBody)
	if err != nil {
		return fmt.Errorf("ask the lab: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask the lab: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(w, response.Body); err != nil {
		return fmt.Errorf("ask the lab: %w", err)
	}
	return nil
}

func post(ctx context.Context, url string, body io.Reader) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
	if err != nil {
		return fmt.Errorf("ask the lab: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask the lab: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode >= http.StatusBadRequest {
		text, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
		if err != nil {
			return fmt.Errorf("ask the lab: %w", err)
		}
		return fmt.Errorf("the lab answers: %s", strings.TrimSpace(string(text)))
	}
	return nil
}
