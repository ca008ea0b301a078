package lab

import "fmt"

// pickPorts chooses the ports at which the CA validates over HTTP and TLS, where
// the options name none. Nothing listens there: whoever answers the CA does.
func (l *Lab) pickPorts() error {
	for _, port := range []struct{ given, chosen *int }{
		{&l.options.HTTPPort, &l.HTTPPort}, {&l.options.TLSPort, &l.TLSPort},
	} {
		*port.chosen = *port.given
		if *port.given != 0 {
			continue
		}
		picked, release, err := ReservePort()
		if err != nil {
			return fmt.Errorf("pick a port for the CA to validate at: %w", err)
		}
		*port.chosen = picked
		l.closers = append(l.closers, release)
	}
	return nil
}
