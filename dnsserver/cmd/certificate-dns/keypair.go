package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// keyPair is a certificate and its key, read again when the files change,
// so that a renewed certificate is served without a restart.
type keyPair struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex // guards what follows
	cert    *tls.Certificate
	written [2]time.Time // when the files that were read last were written
}

// openKeyPair reads the files for the first time.
func openKeyPair(whose, certFile, keyFile string, log *slog.Logger) (*keyPair, error) {
	p := &keyPair{certFile: certFile, keyFile: keyFile, log: log}
	if err := p.refresh(); err != nil {
		return nil, fmt.Errorf("read certificate_file and key_file of %s: %w", whose, err)
	}
	return p, nil
}

// get serves a handshake. Files that do not fit each other, as for a moment
// while both are being replaced, leave the last good pair in use.
func (p *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.refresh(); err != nil {
		p.log.Warn("changed certificate_file and key_file cannot be used, the last good ones are", "error", err)
	}
	return p.cert, nil
}

// move has the pair come from other files, once they can be read.
func (p *keyPair) move(certFile, keyFile string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.certFile != certFile || p.keyFile != keyFile {
		p.certFile, p.keyFile, p.written = certFile, keyFile, [2]time.Time{}
	}
}

// refresh reads the files if they are not those it read last.
func (p *keyPair) refresh() error {
	var written [2]time.Time
	for i, path := range []string{p.certFile, p.keyFile} {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		written[i] = info.ModTime()
	}
	if p.cert != nil && written == p.written {
		return nil
	}
	cert, err := tls.LoadX509KeyPair(p.certFile, p.keyFile)
	if err != nil {
		return err
	}
	p.cert, p.written = &cert, written
	return nil
}
