package lab

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// EnvControl is the environment variable with the URL of the lab's control API.
const EnvControl = "CERTIFICATE_LAB_URL"

// startControl serves what commands in the lab can ask of it: POST /reload for
// the web server, POST /open-window with a certificate for the CA.
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
