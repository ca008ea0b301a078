package tencentcloud

import "time"

// SetSettle shortens how long a purchase without an answer is looked for.
func (i *Issuer) SetSettle(d time.Duration) { i.settle = d }
