// Package bindtest runs a real BIND for tests: primary server of one zone, on a
// loopback port that the kernel picks, with a key that may change TXT records.
//
// It serves no other purpose. Invariant: the server and its folder are gone
// after the test, and on Linux the server even when the tests were killed.
package bindtest
