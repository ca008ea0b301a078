// Package tencentcloud orders certificates at Tencent Cloud through its SSL API
// (version 2019-12-05): paid renewals that are linked to the certificate before,
// new orders, free ones, and orders that somebody placed in the console.
//
// It drives the orders of package order in single steps and waits for nobody.
// Its invariant: one intent is paid for at most once. A purchase has no
// idempotency token, so the intent is journalled before it, existing orders are
// looked for first, and an answer that was lost is never followed by another
// purchase.
//
// It was written from the API's documentation and tried against a simulator;
// nobody has tried it against the live service.
package tencentcloud
