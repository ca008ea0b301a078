package provider

import (
	"fmt"

	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// conform turns a value as people write it, or as a resource has it, into one of
// a type: what is left out becomes null, what the type does not have is dropped.
func conform(value tftypes.Value, want tftypes.Type) (tftypes.Value, error) {
	switch {
	case !value.IsKnown():
		return tftypes.NewValue(want, tftypes.UnknownValue), nil
	case value.IsNull():
		return tftypes.NewValue(want, nil), nil
	}
	switch to := want.(type) {
	case tftypes.Object:
		var given map[string]tftypes.Value
		if err := value.As(&given); err != nil {
			return tftypes.Value{}, fmt.Errorf("an object is wanted, not %s", value.Type())
		}
		all := map[string]tftypes.Value{}
		for name, of := range to.AttributeTypes {
			one, ok := given[name]
			if !ok {
				all[name] = tftypes.NewValue(of, nil)
				continue
			}
			var err error
			if all[name], err = conform(one, of); err != nil {
				return tftypes.Value{}, fmt.Errorf("%s: %w", name, err)
			}
		}
		return tftypes.NewValue(to, all), nil
	case tftypes.Map:
		var given map[string]tftypes.Value
		if err := value.As(&given); err != nil {
			return tftypes.Value{}, fmt.Errorf("a map is wanted, not %s", value.Type())
		}
		all := map[string]tftypes.Value{}
		for name, one := range given {
			var err error
			if all[name], err = conform(one, to.ElementType); err != nil {
				return tftypes.Value{}, fmt.Errorf("%s: %w", name, err)
			}
		}
		return tftypes.NewValue(to, all), nil
	case tftypes.List:
		all, err := conformElements(value, to.ElementType)
		return tftypes.NewValue(to, all), err
	case tftypes.Set:
		all, err := conformElements(value, to.ElementType)
		return tftypes.NewValue(to, all), err
	}
	if !value.Type().Is(want) {
		return tftypes.Value{}, fmt.Errorf("%s is wanted, not %s", want, value.Type())
	}
	return value, nil
}

func conformElements(value tftypes.Value, of tftypes.Type) ([]tftypes.Value, error) {
	var given []tftypes.Value
	if err := value.As(&given); err != nil {
		return nil, fmt.Errorf("a list is wanted, not %s", value.Type())
	}
	all := make([]tftypes.Value, len(given))
	for n, one := range given {
		var err error
		if all[n], err = conform(one, of); err != nil {
			return nil, err
		}
	}
	return all, nil
}
