//go:build !unix

package main

import "os"

// reloadSignals ask for the configuration to be read again: nothing does here.
func reloadSignals() []os.Signal { return nil }
