package transport

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/certiform/terraform-provider-certificate/internal/kind"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

type hopBlock struct {
	Address        types.String `tfsdk:"address"`
	User           types.String `tfsdk:"user"`
	KnownHosts     types.String `tfsdk:"known_hosts"`
	HostKey        types.String `tfsdk:"host_key"`
	PrivateKeyPath types.String `tfsdk:"private_key_path"`
	PrivateKey     types.String `tfsdk:"private_key_wo"`
	Passphrase     types.String `tfsdk:"private_key_passphrase_wo"`
	Certificate    types.String `tfsdk:"certificate"`
	Agent          types.Bool   `tfsdk:"agent"`
	Password       types.String `tfsdk:"password_wo"`
}

type sshBlock struct {
	hopBlock
	Bastions       types.List   `tfsdk:"bastions"`
	Sudo           types.Object `tfsdk:"sudo"`
	Windows        types.Bool   `tfsdk:"windows"`
	ConnectTimeout types.String `tfsdk:"connect_timeout"`
	CommandTimeout types.String `tfsdk:"command_timeout"`
	KeepAlive      types.String `tfsdk:"keepalive"`
}

// hopAttributes are those of every machine on the way.
func hopAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"address": schema.StringAttribute{Required: true, MarkdownDescription: "`host` or `host:port`. Default port: 22."},
		"user":    schema.StringAttribute{Required: true, MarkdownDescription: "User to log in as."},
		"known_hosts": text("Content of a `known_hosts` file, as in `file(\"known_hosts\")`: names may be hashed, and host CAs (`@cert-authority`) and revoked keys are obeyed. " +
			"Either this or `host_key` is needed: no key is trusted because it is the first one seen."),
		"host_key":         text("The host's public key (`ssh-ed25519 AAAA…`) or its fingerprint (`SHA256:…`), instead of `known_hosts`."),
		"private_key_path": text("File with the private key to log in with, on the machine Terraform runs on; `~/` is the home directory. Unlike `private_key_wo` it is at hand in every plan and on destroy."),
		"private_key_wo":   secretAttribute("The private key to log in with, PEM or OpenSSH's own format."),

		"private_key_passphrase_wo": secretAttribute("Passphrase of the private key."),

		"certificate": text("User certificate for the private key, as in `id_ed25519-cert.pub`."),
		"agent":       schema.BoolAttribute{Optional: true, MarkdownDescription: "Whether to ask the SSH agent for keys. Default: only where there is no key and no password, and `" + EnvAgent + "` is set."},
		"password_wo": secretAttribute("Password to log in with, also where the server asks for it as a question (keyboard-interactive)."),
	}
}

// SSHKind describes a machine that is reached over SSH.
func SSHKind(environment Environment) kind.Kind[Transport, schema.Attribute] {
	attributes := hopAttributes()
	maps.Copy(attributes, map[string]schema.Attribute{
		"bastions": schema.ListNestedAttribute{
			Optional: true, NestedObject: schema.NestedAttributeObject{Attributes: hopAttributes()},
			MarkdownDescription: "Machines to go through, the first one first. Each is logged in to by itself, and must be recognized like the last.",
		},
		"sudo": schema.SingleNestedAttribute{
			Optional: true,
			Attributes: map[string]schema.Attribute{
				"user":        text("User to become. Default: `root`."),
				"password_wo": secretAttribute("Password of the user who logs in, where sudo asks for it. It goes over stdin, and only after sudo has refused a command for the lack of one. Default: none, sudo must not ask (NOPASSWD)."),
			},
			MarkdownDescription: "Write files and run commands by `sudo`. `sudo = {}` becomes root. Files are then reached by `ls`, `cat`, `install`, `dd`, `chown`, `chmod`, `mv`, `rm`, `sync`, `test` and `readlink` instead of SFTP. Default: everything is done as the user who logs in.",
		},
		"windows":         schema.BoolAttribute{Optional: true, MarkdownDescription: "Whether the machine is a Windows with OpenSSH's server; it is spoken to in PowerShell. Default: `false`."},
		"connect_timeout": text("How long each machine on the way may take to let in, as a duration. Default: `15s`."),
		"command_timeout": text("How long one command or file may take, as a duration. Default: `5m`."),
		"keepalive":       text("Pause between signs of life, as a duration. A machine that does not answer one is given up. Default: `15s`."),
	})
	return kind.Kind[Transport, schema.Attribute]{
		Name:       "ssh",
		Summary:    "A machine that is reached over SSH.",
		Attributes: attributes,
		New: func(ctx context.Context, at path.Path, object types.Object) (Transport, diag.Diagnostics) {
			var b sshBlock
			diags := object.As(ctx, &b, basetypes.ObjectAsOptions{})
			if diags.HasError() {
				return nil, diags
			}
			options := b.options(ctx, environment, at, &diags)
			if diags.HasError() {
				return nil, diags
			}
			var machine Transport
			var err error
			if b.Windows.ValueBool() {
				machine, err = NewWindowsOverSSH(options)
			} else {
				machine, err = NewSSH(options)
			}
			if err != nil {
				diags.AddAttributeError(at, "The host cannot be reached as configured", err.Error()+".")
				return nil, diags
			}
			return machine, diags
		},
	}
}

func (b sshBlock) options(ctx context.Context, environment Environment, at path.Path, diags *diag.Diagnostics) SSHOptions {
	options := SSHOptions{
		Hop:            b.hop(environment, at, diags),
		ConnectTimeout: duration(b.ConnectTimeout, at.AtName("connect_timeout"), diags),
		CommandTimeout: duration(b.CommandTimeout, at.AtName("command_timeout"), diags),
		KeepAlive:      duration(b.KeepAlive, at.AtName("keepalive"), diags),
	}
	var bastions []hopBlock
	diags.Append(b.Bastions.ElementsAs(ctx, &bastions, false)...)
	for i, bastion := range bastions {
		options.Bastions = append(options.Bastions, bastion.hop(environment, at.AtName("bastions").AtListIndex(i), diags))
	}
	if !b.Sudo.IsNull() {
		var sudo struct {
			User     types.String `tfsdk:"user"`
			Password types.String `tfsdk:"password_wo"`
		}
		diags.Append(b.Sudo.As(ctx, &sudo, basetypes.ObjectAsOptions{})...)
		options.Become = &Become{User: sudo.User.ValueString(), Password: secret.New(sudo.Password.ValueString())}
	}
	return options
}

func (b hopBlock) hop(environment Environment, at path.Path, diags *diag.Diagnostics) Hop {
	credentials, err := b.credentials(environment)
	if err != nil {
		diags.AddAttributeError(at, "The host cannot be reached as configured", err.Error()+".")
	}
	return Hop{
		Address: b.Address.ValueString(), User: b.User.ValueString(),
		Trust:       HostTrust{KnownHosts: b.KnownHosts.ValueString(), HostKey: b.HostKey.ValueString()},
		Credentials: credentials,
	}
}

func (b hopBlock) credentials(environment Environment) (Credentials, error) {
	c := Credentials{
		PrivateKey: secret.New(b.PrivateKey.ValueString()), Passphrase: secret.New(b.Passphrase.ValueString()),
		Certificate: b.Certificate.ValueString(), Password: secret.New(b.Password.ValueString()),
	}
	socket := environment.Getenv(EnvAgent)
	switch {
	case !b.PrivateKeyPath.IsNull() && !b.PrivateKey.IsNull():
		return c, errors.New("both private_key_path and private_key_wo are set: keep one of them")
	case b.Agent.ValueBool() && socket == "":
		return c, errors.New("agent is true, but " + EnvAgent + " is not set: start an agent, or set a private key")
	case b.Agent.ValueBool():
		c.Agent = socket
	}
	if !b.PrivateKeyPath.IsNull() {
		key, err := readLocal(b.PrivateKeyPath.ValueString(), environment.Getenv)
		if err != nil {
			return c, fmt.Errorf("read private_key_path: %w", err)
		}
		c.PrivateKey = secret.New(key)
	}
	if c.empty() && c.Certificate == "" && b.Agent.IsNull() {
		c = environment.Fallback
		if c.empty() {
			c.Agent = socket
		}
	}
	return c, nil
}
