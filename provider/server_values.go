package provider

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// field is where an attribute of a state is found in its model.
type field struct {
	name string
	at   int
	kind attr.Type
}

// model reads the state of a certificate_renewal; false where there is none.
func (s *server) model(ctx context.Context, value *tfprotov6.DynamicValue) (m renewalModel, ok bool) {
	if value == nil {
		return m, false
	}
	raw, err := value.Unmarshal(s.kind)
	var values map[string]tftypes.Value
	if err != nil || raw.IsNull() || raw.As(&values) != nil {
		return m, false
	}
	into := reflect.ValueOf(&m).Elem()
	for _, f := range s.fields {
		v, err := f.kind.ValueFromTerraform(ctx, values[f.name])
		if err != nil {
			return m, false
		}
		into.Field(f.at).Set(reflect.ValueOf(v))
	}
	return m, true
}

// before reads the state before a change; nil where there is none, false where it
// cannot be read.
func (s *server) before(ctx context.Context, value *tfprotov6.DynamicValue) (*renewalModel, bool) {
	if value == nil {
		return nil, true
	}
	if null, err := value.IsNull(); err != nil || null {
		return nil, err == nil
	}
	m, ok := s.model(ctx, value)
	return &m, ok
}

// encode is what model reads.
func (s *server) encode(ctx context.Context, m renewalModel) (*tfprotov6.DynamicValue, error) {
	from := reflect.ValueOf(m)
	values := make(map[string]tftypes.Value, len(s.fields))
	for _, f := range s.fields {
		value, ok := from.Field(f.at).Interface().(attr.Value)
		if !ok {
			return nil, fmt.Errorf("%s is no value of a state", f.name)
		}
		var err error
		if values[f.name], err = value.ToTerraformValue(ctx); err != nil {
			return nil, fmt.Errorf("encode %s: %w", f.name, err)
		}
	}
	encoded, err := tfprotov6.NewDynamicValue(s.kind, tftypes.NewValue(s.kind, values))
	return &encoded, err
}

// settings stands for a configuration apart from its names.
type settings [sha256.Size]byte

func (s *server) settingsOf(ctx context.Context, m renewalModel) (settings, bool) {
	m.Domains = types.SetNull(types.StringType)
	encoded, err := s.encode(ctx, m)
	if err != nil {
		return settings{}, false
	}
	return sha256.Sum256(encoded.MsgPack), true
}

// protocolDiagnostics are the framework's diagnostics as the protocol carries
// them.
func protocolDiagnostics(diags diag.Diagnostics) []*tfprotov6.Diagnostic {
	var all []*tfprotov6.Diagnostic
	for _, d := range diags {
		one := &tfprotov6.Diagnostic{Severity: tfprotov6.DiagnosticSeverityWarning, Summary: d.Summary(), Detail: d.Detail()}
		if d.Severity() == diag.SeverityError {
			one.Severity = tfprotov6.DiagnosticSeverityError
		}
		if at, ok := d.(diag.DiagnosticWithPath); ok {
			one.Attribute = attributePath(at.Path())
		}
		all = append(all, one)
	}
	return all
}

// attributePath is a path as the protocol carries it, up to the first element of
// a collection.
func attributePath(p path.Path) *tftypes.AttributePath {
	at := tftypes.NewAttributePath()
	for _, step := range p.Steps() {
		name, ok := step.(path.PathStepAttributeName)
		if !ok {
			break
		}
		at = at.WithAttributeName(string(name))
	}
	return at
}

// fieldsOf looks up once what the framework's State.Get finds out for each value.
func fieldsOf(model reflect.Type, attributes map[string]schema.Attribute) []field {
	fields := make([]field, 0, model.NumField())
	for at := range model.NumField() {
		name := model.Field(at).Tag.Get("tfsdk")
		fields = append(fields, field{name: name, at: at, kind: attributes[name].GetType()})
	}
	return fields
}

// identityOf is the identity of a certificate as the protocol carries it.
func (s *server) identityOf(m renewalModel) (*tfprotov6.ResourceIdentityData, error) {
	id := tftypes.NewValue(tftypes.String, m.ID.ValueString())
	value, err := tfprotov6.NewDynamicValue(s.identity, tftypes.NewValue(s.identity, map[string]tftypes.Value{"id": id}))
	return &tfprotov6.ResourceIdentityData{IdentityData: &value}, err
}

// same reports whether two values are encoded alike.
func same(a, b *tfprotov6.DynamicValue) bool {
	return a != nil && b != nil && len(a.MsgPack) > 0 && bytes.Equal(a.MsgPack, b.MsgPack)
}

// keptPrivate is what the framework keeps beside a state, as the protocol
// carries it.
type keptPrivate map[string][]byte

func (k keptPrivate) GetKey(_ context.Context, key string) ([]byte, diag.Diagnostics) {
	return k[key], nil
}

func (k keptPrivate) SetKey(_ context.Context, key string, value []byte) diag.Diagnostics {
	k[key] = value
	return nil
}

// encode is as the framework does it, in keptPrivate's reading.
func (k keptPrivate) encode() ([]byte, error) {
	maps.DeleteFunc(k, func(_ string, value []byte) bool { return len(value) == 0 })
	if len(k) == 0 {
		return nil, nil
	}
	return json.Marshal(map[string][]byte(k))
}

// readPrivate reads what belongs to the provider; false where the framework has
// notes of its own in it, which it wants to see.
func readPrivate(text []byte) (keptPrivate, bool) {
	private := keptPrivate{}
	if len(text) > 0 && json.Unmarshal(text, &private) != nil {
		return nil, false
	}
	for key := range private {
		if key != suggestionKey {
			return nil, false
		}
	}
	return private, true
}
