// Package lifecycle decides whether a certificate is due for renewal, when, and
// why; and knows how long a certificate may live.
//
// It is pure: every function takes the time it should think it is, and the same
// question always gets the same answer. Nothing here talks to a CA, reads a file
// or draws a random number. Its invariant: a certificate is never due before
// half of its life has passed unless its CA asks for it.
package lifecycle
