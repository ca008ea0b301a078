// Package postgrestest runs a real PostgreSQL server for tests: in a folder of
// its own, on a loopback port that the kernel picks, as an unprivileged user.
//
// It serves no other purpose; it is fast at the cost of what a server is for,
// and flushes nothing to disk unless told. Invariant: the server and its folder
// are gone after Close, and on Linux the server even when the tests were killed.
package postgrestest
