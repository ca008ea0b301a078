package provider

import (
	action "github.com/hashicorp/terraform-plugin-framework/action/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
)

// actionAttributes are attributes of a resource as an action takes them: what is
// configured, without what is computed. An action has no state, and Terraform
// lets none of its attributes be write-only.
func actionAttributes(attributes map[string]schema.Attribute) map[string]action.Attribute {
	taken := map[string]action.Attribute{}
	for name, a := range attributes {
		if !a.IsRequired() && !a.IsOptional() {
			continue
		}
		if converted := actionAttribute(a); converted != nil {
			taken[name] = converted
		}
	}
	return taken
}

// actionAttribute is nil for types that no kind uses.
func actionAttribute(attribute schema.Attribute) action.Attribute {
	what, need := attribute.GetMarkdownDescription(), attribute.IsRequired()
	switch a := attribute.(type) {
	case schema.StringAttribute:
		return action.StringAttribute{Required: need, Optional: !need, MarkdownDescription: what, Validators: a.Validators}
	case schema.BoolAttribute:
		return action.BoolAttribute{Required: need, Optional: !need, MarkdownDescription: what, Validators: a.Validators}
	case schema.Int64Attribute:
		return action.Int64Attribute{Required: need, Optional: !need, MarkdownDescription: what, Validators: a.Validators}
	case schema.ListAttribute:
		return action.ListAttribute{Required: need, Optional: !need, MarkdownDescription: what, Validators: a.Validators, ElementType: a.ElementType}
	case schema.SetAttribute:
		return action.SetAttribute{Required: need, Optional: !need, MarkdownDescription: what, Validators: a.Validators, ElementType: a.ElementType}
	case schema.MapAttribute:
		return action.MapAttribute{Required: need, Optional: !need, MarkdownDescription: what, Validators: a.Validators, ElementType: a.ElementType}
	case schema.SingleNestedAttribute:
		return action.SingleNestedAttribute{Required: need, Optional: !need, MarkdownDescription: what, Validators: a.Validators, Attributes: actionAttributes(a.Attributes)}
	case schema.ListNestedAttribute:
		return action.ListNestedAttribute{
			Required: need, Optional: !need, MarkdownDescription: what, Validators: a.Validators,
			NestedObject: action.NestedAttributeObject{Attributes: actionAttributes(a.NestedObject.Attributes), Validators: a.NestedObject.Validators},
		}
	case schema.MapNestedAttribute:
		return action.MapNestedAttribute{
			Required: need, Optional: !need, MarkdownDescription: what, Validators: a.Validators,
			NestedObject: action.NestedAttributeObject{Attributes: actionAttributes(a.NestedObject.Attributes), Validators: a.NestedObject.Validators},
		}
	}
	return nil
}
