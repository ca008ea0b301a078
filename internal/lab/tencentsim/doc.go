// Package tencentsim plays the SSL certificate API of Tencent Cloud (service
// "ssl", version 2019-12-05) on this machine, so that paid renewals can be tried
// and tested without an account, money or five working days.
//
// It is written from the public API specification and the renewal guide of the
// product, never from answers of the live service: where the two differ, it is
// wrong. Requests are held to their signature, their parameters and a rate;
// reviews take working days by a clock that can be moved; validation records are
// looked up in real DNS; certificates come from CAs that are made at the start,
// SM2 pairs included. A ledger counts every charge.
package tencentsim
