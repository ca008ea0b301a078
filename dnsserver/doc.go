// Package dnsserver answers authoritatively for DNS zones whose records come and
// go: above all the validation records that certificate authorities look up
// before they issue. They come over an HTTP API, by dynamic updates, or from
// another server of the zone.
//
// It is not a resolver (it never asks another server for an answer), and knows
// nothing of Terraform or ACME.
//
// Its invariant: an acknowledged change is on disk and in the very next
// answer, and a name whose records are unknown is SERVFAIL, never NXDOMAIN.
// To keep it, a query reads one immutable view and nothing else, and a change
// goes authenticate, store, swap the view, acknowledge, in that order.
package dnsserver
