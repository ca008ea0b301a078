// Package pki holds the values certificates are made of: keys, signing
// requests, PEM, names and chains.
//
// It does no I/O, reads no clock and knows nothing of who issues or installs a
// certificate. Its invariant: a private key that entered the package as a Key
// leaves it only through Key.PEM and Key.Signer; no error, format verb or log
// record shows it.
package pki
