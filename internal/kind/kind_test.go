package kind

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// family is a family of three kinds whose value says which one was built, and
// from where.
func family() []Kind[string, struct{}] {
	var kinds []Kind[string, struct{}]
	for _, name := range []string{"one", "two", "three"} {
		kinds = append(kinds, Kind[string, struct{}]{
			Name: name,
			New: func(_ context.Context, at path.Path, block types.Object) (string, diag.Diagnostics) {
				var diags diag.Diagnostics
				if block.IsUnknown() {
					diags.AddAttributeError(at, "not known", "")
				}
				return name + " at " + at.String(), diags
			},
		})
	}
	return kinds
}

type state int

const (
	unset state = iota
	unknown
	set
)

// object has a block for each kind of the family, and one attribute that
// belongs to none.
func object(blocks map[string]state) types.Object {
	inner := map[string]attr.Type{"x": types.StringType}
	attributeTypes, values := map[string]attr.Type{"other": types.StringType}, map[string]attr.Value{"other": types.StringValue("set")}
	for _, name := range []string{"one", "two", "three"} {
		attributeTypes[name] = types.ObjectType{AttrTypes: inner}
		switch blocks[name] {
		case unset:
			values[name] = types.ObjectNull(inner)
		case unknown:
			values[name] = types.ObjectUnknown(inner)
		case set:
			values[name] = types.ObjectValueMust(inner, map[string]attr.Value{"x": types.StringValue("y")})
		}
	}
	return types.ObjectValueMust(attributeTypes, values)
}

func TestChoice(t *testing.T) {
	null := types.ObjectNull(nil)
	whole := types.ObjectUnknown(nil)
	for sentence, test := range map[string]struct {
		object              types.Object
		exactlyOne, atMost1 string // a part of the error's path and text; empty: none
	}{
		"one is set":                       {object(map[string]state{"two": set}), "", ""},
		"none is set":                      {object(nil), "family: Set one of one, two, three in family.", ""},
		"two are set":                      {object(map[string]state{"one": set, "two": set}), "family.two: family has one and two.", "family.two: family has one and two."},
		"all are set":                      {object(map[string]state{"one": set, "two": set, "three": set}), "has one and three and two", "has one and three and two"},
		"none is set, but one is unknown":  {object(map[string]state{"one": unknown}), "", ""},
		"one is set and one is unknown":    {object(map[string]state{"one": set, "two": unknown}), "", ""},
		"two are set and one is unknown":   {object(map[string]state{"one": set, "two": set, "three": unknown}), "one and two", "one and two"},
		"the whole block is missing":       {null, "", ""},
		"the whole block is not known yet": {whole, "", ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			names := Names(family())
			for kind, check := range map[string]struct {
				validator validator.Object
				want      string
			}{"exactly one": {ExactlyOne(names), test.exactlyOne}, "at most one": {AtMostOne(names), test.atMost1}} {
				var response validator.ObjectResponse
				check.validator.ValidateObject(t.Context(), validator.ObjectRequest{Path: path.Root("family"), ConfigValue: test.object}, &response)
				got := ""
				for _, d := range response.Diagnostics {
					located, ok := d.(diag.DiagnosticWithPath)
					if !ok {
						t.Fatalf("%s: %v has no path", kind, d)
					}
					got += located.Path().String() + ": " + d.Detail()
				}
				if (got == "") != (check.want == "") || !strings.Contains(got, check.want) || len(response.Diagnostics) > 1 {
					t.Errorf("%s: %q, want %q", kind, got, check.want)
				}
			}
		})
	}
}

func TestChoice_description(t *testing.T) {
	for want, choice := range map[string]validator.Object{
		"exactly one of one, two": ExactlyOne([]string{"one", "two"}),
		"at most one of one, two": AtMostOne([]string{"one", "two"}),
	} {
		if got := choice.Description(t.Context()); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if got := choice.MarkdownDescription(t.Context()); got != want {
			t.Errorf("Markdown: %q, want %q", got, want)
		}
	}
}

func TestNew(t *testing.T) {
	for sentence, test := range map[string]struct {
		object types.Object
		name   string
		value  string
		failed bool
	}{
		"the one that is set":      {object(map[string]state{"two": set}), "two", "two at family.two", false},
		"none is set":              {object(nil), "", "", false},
		"the block is null":        {types.ObjectNull(nil), "", "", false},
		"what it says went wrong":  {object(map[string]state{"three": unknown}), "three", "three at family.three", true},
		"an object without a kind": {types.ObjectValueMust(map[string]attr.Type{}, map[string]attr.Value{}), "", "", false},
	} {
		t.Run(sentence, func(t *testing.T) {
			name, value, diags := New(t.Context(), family(), path.Root("family"), test.object)
			if name != test.name || value != test.value || diags.HasError() != test.failed {
				t.Errorf("%q %q %v, want %q %q, errors: %t", name, value, diags, test.name, test.value, test.failed)
			}
		})
	}
}

func TestNames(t *testing.T) {
	if got, want := Names(family()), []string{"one", "two", "three"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
