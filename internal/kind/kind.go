// Package kind describes families of alternatives in configuration: issuers,
// validation methods, storages, deployment targets.
//
// A family is a list of kinds; each kind is one nested block with its own
// attributes and a constructor. Nothing registers itself: a family's list is
// returned by a function beside its kinds. The package knows the framework's
// schema types but no provider, resource, plan or state. Its invariant: of a
// family exactly one kind is configured, or none where the caller allows it.
package kind

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// Kind is one member of a family. T is what it configures; A is the attribute
// type of the schema it appears in (provider's and resource's differ).
type Kind[T, A any] struct {
	// Name is the nested attribute's name in configuration.
	Name string
	// Summary is its description in Markdown.
	Summary string
	// Attributes are the attributes of its block; docs follow from them.
	Attributes map[string]A
	// New builds the configured value. It is called when values are known; the
	// path leads to the block, for diagnostics.
	New func(ctx context.Context, at path.Path, block types.Object) (T, diag.Diagnostics)
}

// Names lists the names of a family's kinds in its order.
func Names[T, A any](family []Kind[T, A]) []string {
	names := make([]string, len(family))
	for n, k := range family {
		names[n] = k.Name
	}
	return names
}

// New builds the one kind that is configured in an object. Without one it
// returns the zero T and an empty name.
func New[T, A any](ctx context.Context, family []Kind[T, A], at path.Path, object types.Object) (name string, value T, diags diag.Diagnostics) {
	attributes := object.Attributes()
	for _, k := range family {
		block, ok := attributes[k.Name].(types.Object)
		if !ok || block.IsNull() {
			continue
		}
		value, diags = k.New(ctx, at.AtName(k.Name), block)
		return k.Name, value, diags
	}
	return "", value, nil
}

// ExactlyOne refuses an object in which not exactly one of the named attributes
// is set.
func ExactlyOne(names []string) validator.Object { return choice{names: names} }

// AtMostOne refuses an object in which more than one of the named attributes is
// set.
func AtMostOne(names []string) validator.Object { return choice{names: names, optional: true} }

type choice struct {
	names    []string
	optional bool
}

func (c choice) Description(context.Context) string {
	count := "exactly"
	if c.optional {
		count = "at most"
	}
	return fmt.Sprintf("%s one of %s", count, strings.Join(c.names, ", "))
}

func (c choice) MarkdownDescription(ctx context.Context) string { return c.Description(ctx) }

// ValidateObject implements validator.Object.
func (c choice) ValidateObject(_ context.Context, request validator.ObjectRequest, response *validator.ObjectResponse) {
	if request.ConfigValue.IsNull() || request.ConfigValue.IsUnknown() {
		return
	}
	set, unknown := chosen(request.ConfigValue.Attributes(), c.names)
	switch {
	case len(set) > 1:
		response.Diagnostics.AddAttributeError(request.Path.AtName(set[1]), "Only one may be configured",
			fmt.Sprintf("%s has %s. Keep one of them.", request.Path, strings.Join(set, " and ")))
	case len(set) == 0 && !unknown && !c.optional:
		response.Diagnostics.AddAttributeError(request.Path, "One must be configured",
			fmt.Sprintf("Set one of %s in %s.", strings.Join(c.names, ", "), request.Path))
	}
}

func chosen(attributes map[string]attr.Value, names []string) (set []string, unknown bool) {
	for _, name := range slices.Sorted(slices.Values(names)) {
		value, ok := attributes[name]
		switch {
		case !ok || value.IsNull():
		case value.IsUnknown():
			unknown = true
		default:
			set = append(set, name)
		}
	}
	return set, unknown
}
