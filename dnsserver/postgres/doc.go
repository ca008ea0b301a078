// Package postgres is a store of dnsserver in a PostgreSQL database, which
// several servers share: each answers queries from its own memory, takes
// changes, and follows those of the others.
//
// It is no cache and asks the database nothing on behalf of a query. It knows
// records and documents as bytes: what they mean, dnsserver knows.
//
// Its invariant: every change is one transaction, made while the row of head
// is locked, with the next number. So all changes have one order, each was
// made by a server that knew all before it, and a server that knows its number
// knows what it missed.
package postgres
