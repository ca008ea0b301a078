package provider

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// The longest that operations take by default.
const (
	defaultTimeout       = 30 * time.Minute
	defaultDeleteTimeout = 5 * time.Minute
)

// timeoutsAttribute is what terraform-plugin-framework-timeouts would make, whose
// messages name no attribute and which takes negative durations.
func timeoutsAttribute() schema.Attribute {
	longest := func(what string, usual time.Duration) schema.Attribute {
		return schema.StringAttribute{
			Optional: true, Validators: []validator.String{durationCheck()},
			MarkdownDescription: fmt.Sprintf("For %s. Default: `%s`.", what, strings.TrimSuffix(usual.String(), "0s")),
		}
	}
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "How long operations may take as a whole, as durations such as `90s` or `10m`. One that takes longer ends with an error, and its order stays in the journal for the next apply. " +
			"`wait_timeout` is over before that, and is no error.",
		Attributes: map[string]schema.Attribute{
			"create": longest("the first order", defaultTimeout),
			"update": longest("a renewal", defaultTimeout),
			"delete": longest("destroying, with the revocation where there is one", defaultDeleteTimeout),
		},
	}
}

// within bounds an operation as timeouts says, and the wait for the CA so that an
// order that takes longer is recorded before.
func (m *renewalModel) within(ctx context.Context, operation string, w *wanted) (context.Context, context.CancelFunc) {
	longest := defaultTimeout
	if operation == "delete" {
		longest = defaultDeleteTimeout
	}
	if text, ok := m.Timeouts.Attributes()[operation].(types.String); ok && !text.IsNull() {
		if configured, err := time.ParseDuration(text.ValueString()); err == nil {
			longest = configured
		}
	}
	w.wait = min(w.wait, longest-longest/10)
	return context.WithTimeoutCause(ctx, longest, fmt.Errorf("timeouts.%s (%s) is over", operation, longest))
}
