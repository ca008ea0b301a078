// Package dnsserver answers authoritatively for DNS zones whose TXT records
// come and go over an HTTP API: the validation records that certificate
// authorities look up before they issue.
//
// It is not a resolver (it never asks another server), not a general zone
// editor (only TXT values change while it runs; the rest is configuration),
// and knows nothing of Terraform or ACME.
//
// Its invariant: an acknowledged change is on disk and in the very next
// answer, and a name whose records are unknown is SERVFAIL, never NXDOMAIN.
// To keep it, a query reads one immutable view and nothing else, and a change
// goes authenticate, store, swap the view, acknowledge, in that order.
package dnsserver
