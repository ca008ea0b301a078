package transport

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/kind"
)

// EnvAgent names the socket of an SSH agent.
const EnvAgent = "SSH_AUTH_SOCK"

// Environment is what kinds look at besides their own block.
type Environment struct {
	Getenv func(string) string
	// Fallback is for machines without credentials of their own.
	Fallback Credentials
}

// Kinds is the family of ways to a machine. A new one is one file and one line
// here.
func Kinds(environment Environment) []kind.Kind[Transport, schema.Attribute] {
	return []kind.Kind[Transport, schema.Attribute]{LocalKind(), SSHKind(environment), WinRMKind()}
}

// LocalKind describes the machine that Terraform runs on.
func LocalKind() kind.Kind[Transport, schema.Attribute] {
	return kind.Kind[Transport, schema.Attribute]{
		Name:       "local",
		Summary:    "The machine Terraform runs on, as the user it runs as: `local = {}`.",
		Attributes: map[string]schema.Attribute{},
		New: func(context.Context, path.Path, types.Object) (Transport, diag.Diagnostics) {
			return Local{}, nil
		},
	}
}

// text and secretAttribute shorten schemas.
func text(what string) schema.StringAttribute {
	return schema.StringAttribute{Optional: true, MarkdownDescription: what}
}

func secretAttribute(what string) schema.StringAttribute {
	return schema.StringAttribute{
		Optional: true, WriteOnly: true, Sensitive: true,
		MarkdownDescription: what + " Write-only: it is in neither state nor plan.",
	}
}

func duration(value types.String, at path.Path, diags *diag.Diagnostics) time.Duration {
	if value.IsNull() {
		return 0
	}
	d, err := time.ParseDuration(value.ValueString())
	if err != nil || d <= 0 {
		diags.AddAttributeError(at, "Not a duration", fmt.Sprintf("%q is no duration such as 30s or 5m.", value.ValueString()))
	}
	return d
}

// readLocal reads a file of the machine that Terraform runs on; ~ is its home.
func readLocal(name string, getenv func(string) string) (string, error) {
	if rest, ok := strings.CutPrefix(name, "~/"); ok {
		name = filepath.Join(getenv("HOME"), rest)
	}
	data, err := os.ReadFile(name)
	return string(data), err
}
