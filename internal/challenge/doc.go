// Package challenge makes validation records visible to a CA and takes them
// back.
//
// A Publisher writes single records somewhere; the Solver does what all of them
// need: find where a name leads, publish everything at once, and wait until
// every authoritative server of the zone answers with the values. The package
// knows nothing of orders or CAs. Its invariant: Present returns without error
// only when a CA that asks any of the zone's servers will see the records.
package challenge
