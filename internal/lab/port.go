package lab

import (
	"fmt"

	"github.com/certiform/terraform-provider-certificate/internal/lab/port"
)

// pickPorts chooses the ports at which the CA validates over HTTP and TLS, where
// the options name none. Nothing listens there: whoever answers the CA does.
func (l *Lab) pickPorts() error {
	for _, at := range []struct{ given, chosen *int }{
		{&l.options.HTTPPort, &l.HTTPPort}, {&l.options.TLSPort, &l.TLSPort},
	} {
		*at.chosen = *at.given
		if *at.given != 0 {
			continue
		}
		picked, release, err := port.Reserve()
		if err != nil {
			return fmt.Errorf("pick a port for the CA to validate at: %w", err)
		}
		*at.chosen = picked
		l.closers = append(l.closers, release)
	}
	return nil
}
