// Package provider is the Terraform provider: schemas, plans, state and CRUD.
//
// It is the only package that knows Terraform. What a certificate needs is
// decided in lifecycle, ordered in order, installed in deploy; this package
// turns configuration into their values and their answers into state and
// diagnostics. Its invariants: a plan reads no clock and no secret; an error
// from Create never follows the issuing of a certificate; no private key is
// written to state unless the configuration says so.
package provider
