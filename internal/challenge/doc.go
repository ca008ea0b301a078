// Package challenge makes visible to a CA what proves control over a name, and
// takes it back.
//
// A Solver answers challenges of one type: by TXT records that a Publisher
// writes somewhere, by files on a web server, or by handshakes. The DNSSolver
// does what all publishers need: find where a name leads, publish everything at
// once, and wait until every authoritative server of the zone answers with the
// values. The package knows nothing of orders or CAs. Its invariant: Present
// returns without error only when a CA that asks will see the records, as far
// as this machine can tell; what listens here does so only for as long as a
// record is presented.
package challenge
