// Package deploy replaces a certificate on a server and proves by TLS handshakes
// what the server serves.
//
// It issues nothing, stores no key and decides nothing about when to replace. A
// new kind of server is one file that implements Target; a new way to reach
// machines is a transport.Transport.
//
// Its invariant: when Deploy returns nil, the new certificate is served; when it
// returns an error, the files are byte for byte what they were and the old
// certificate is served, or the error says which of that could not be reached.
// Killed at any moment it leaves a journal beside the files, from which the next
// Deploy goes on.
package deploy
