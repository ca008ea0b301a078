// Package order drives one certificate order at any CA from an intent to an
// issued certificate, and survives being killed in between.
//
// An Intent says what is wanted; its Key names the Journal kept outside of
// Terraform's state. The journal is written before the first request that
// places an order and after every step, so a run that finds it goes on with the
// same order, the same key and the same signing request. The package knows no
// CA's protocol: an Issuer does single steps. Its invariant: one intent leads to
// at most one order in progress and one certificate, whoever asks, however
// often, whatever died in between.
package order
