// Package tlcp is the client side of one handshake of TLCP (GB/T 38636-2020),
// the Chinese relative of TLS whose servers have a pair of SM2 certificates.
//
// It is for finding out what a server serves: Handshake completes when the
// server has proven that it holds both private keys, and returns the
// certificates. It is not for talking: no data is sent, no session is resumed,
// and whether to trust the certificates is not its question.
package tlcp
