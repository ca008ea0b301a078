// Package acme orders certificates from a CA that speaks ACME (RFC 8555).
//
// It is the state machine over RFC 8555 §7.1.6 and nothing else: lego's
// acme/api package speaks the protocol, package order keeps the journal and
// does the waiting, package challenge publishes the validation records. Its
// invariants: every request is bound to the caller's context; an account is
// created once and kept, also while its key is replaced; an order URL is
// journalled before anything is sent to it; a request that may have done
// something once is never repeated blindly.
package acme
