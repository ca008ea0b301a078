package tencentcloud

import "time"

// SetSettle shortens how long a purchase without an answer is looked for.
func (i *Issuer) SetSettle(d time.Duration) { i.settle = d }

// Letter tells whether a renewal of the product needs a stamped letter.
func (p Product) Letter() bool { return p.letter() }
