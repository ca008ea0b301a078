package provider

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/certiform/terraform-provider-certificate/internal/deploy"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
)

// Where handshakes come from.
const (
	fromRunner = "runner"
	fromHost   = "host"
)

// verifyBlock is how a deployment is proven.
type verifyBlock struct {
	Address      types.String `tfsdk:"address"`
	Addresses    types.List   `tfsdk:"addresses"`
	AllAddresses types.Bool   `tfsdk:"all_addresses"`
	ServerName   types.String `tfsdk:"server_name"`
	StartTLS     types.String `tfsdk:"starttls"`
	From         types.String `tfsdk:"from"`
	Command      types.List   `tfsdk:"command"`
	Consecutive  types.Int64  `tfsdk:"consecutive"`
	Timeout      types.String `tfsdk:"timeout"`
}

func verifyAttribute() schema.Attribute {
	beside := func(name string) path.Expression { return path.MatchRelative().AtParent().AtName(name) }
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "How to prove what is served: by TLS handshakes, or by a command. Default: handshakes with port 443 of each host; " +
			"for `files` no handshake is made without it, and only the files are compared. Of a server with certificates for RSA and for ECDSA, the one of the deployed kind is asked for, which takes TLS 1.2.",
		Attributes: map[string]schema.Attribute{
			"address": schema.StringAttribute{
				Optional: true, Validators: []validator.String{addressCheck()},
				MarkdownDescription: "`host:port` of the server. Default: port 443 of the host, or that of `starttls`.",
			},
			"addresses": schema.ListAttribute{
				Optional: true, ElementType: types.StringType,
				Validators: []validator.List{
					listvalidator.SizeAtLeast(1), listvalidator.ValueStringsAre(addressCheck()), listvalidator.ConflictsWith(beside("address")),
				},
				MarkdownDescription: "Several `host:port`, each of which has to serve the certificate; instead of `address`. With more than one of `hosts` they are asked after the last host, and each host by itself before. Default: none.",
			},
			"all_addresses": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Whether a name in `address` or `addresses` stands for all its members: it is resolved on the machine Terraform runs on, and each of its IPv4 and IPv6 addresses has to serve the certificate for `server_name`. With more than one of `hosts` that is asked after the last host. Default: `false`, one of them is asked.",
			},
			"server_name": schema.StringAttribute{
				Optional: true, MarkdownDescription: "Name to ask for (SNI). Default: the first name of the certificate that is not a wildcard.",
			},
			"starttls": startTLSAttribute(),
			"from": schema.StringAttribute{
				Optional: true, Validators: []validator.String{stringvalidator.OneOf(fromRunner, fromHost)},
				MarkdownDescription: "Where handshakes come from: `runner`, the machine Terraform runs on, or `host`, through the SSH connection to it, for servers that nobody else reaches; the default of `address` is then the host's own loopback address. A refresh logs in nowhere, so with `host` it asks only where `refresh = \"host\"`. Default: `runner`.",
			},
			"command": schema.ListAttribute{
				Optional: true, ElementType: types.StringType,
				Validators: []validator.List{
					listvalidator.SizeAtLeast(1),
					listvalidator.ConflictsWith(beside("address"), beside("addresses"), beside("all_addresses"), beside("starttls"), beside("from"), beside("consecutive")),
				},
				MarkdownDescription: "Command that is run on the host instead of handshakes, as a list of program and arguments; no shell reads it. It is repeated until it exits with 0 or `timeout` is over, and `proven_by` is then `command`. Default: none.",
			},
			"consecutive": schema.Int64Attribute{
				Optional: true, Validators: []validator.Int64{int64validator.Between(1, 100)},
				MarkdownDescription: "How many connections in a row have to serve the certificate. Default: `3`.",
			},
			"timeout": schema.StringAttribute{
				Optional: true, Validators: []validator.String{durationCheck()},
				MarkdownDescription: "How long to wait for that, as a duration. After it the old certificate is put back. Default: `1m`.",
			},
		},
	}
}

func startTLSText() string {
	return "Protocol in which the server is asked to begin TLS: `smtp`, `lmtp`, `imap`, `pop3`, `sieve`, `ftp`, `postgres` or `ldap`."
}

func startTLSAttribute() schema.Attribute {
	return schema.StringAttribute{
		Optional: true, Validators: []validator.String{stringvalidator.OneOf(deploy.StartTLSNames()...)},
		MarkdownDescription: startTLSText() + " The default port of `address` is then that of the protocol: 25, 24, 143, 110, 4190, 21, 5432 or 389. Default: none, the server begins TLS by itself.",
	}
}

// verification reads the block; the zero value where there is none.
func (m *deploymentModel) verification(ctx context.Context) (verifyBlock, error) {
	var v verifyBlock
	if m.Verify.IsNull() {
		return v, nil
	}
	return v, diagError(m.Verify.As(ctx, &v, basetypes.ObjectAsOptions{}))
}

// many reports whether the proof is about more addresses than a host's own.
func (v verifyBlock) many() bool { return !v.Addresses.IsNull() || v.AllAddresses.ValueBool() }

// addresses are the configured ones; none where the host's is asked.
func (v verifyBlock) addresses(ctx context.Context) ([]string, error) {
	var all []string
	if !v.Address.IsNull() {
		all = []string{v.Address.ValueString()}
	}
	if v.Addresses.IsNull() {
		return all, nil
	}
	return all, diagError(v.Addresses.ElementsAs(ctx, &all, false))
}

// fleet reports whether several hosts are deployed to.
func (m *deploymentModel) fleet() bool { return len(m.Hosts.Elements()) > 1 }

// proof says where and how to ask the server of a host; a zero Proof asks nobody.
func (m *deploymentModel) proof(ctx context.Context, material deploy.Material, h host) (deploy.Proof, error) {
	if m.Verify.IsNull() && !m.Files.IsNull() && !h.own {
		return deploy.Proof{}, nil
	}
	v, err := m.verification(ctx)
	if err != nil {
		return deploy.Proof{}, err
	}
	proof, err := v.common(ctx, material)
	if err != nil || len(proof.Command) > 0 {
		return proof, err
	}
	if proof.Way.Dialer, err = m.dialer(v, h); err != nil {
		return deploy.Proof{}, err
	}
	addresses, err := v.addresses(ctx)
	if err != nil {
		return deploy.Proof{}, err
	}
	shared := m.fleet() && v.many() && len(addresses) > 0
	switch {
	case h.own:
		addresses = []string{h.address}
	case shared || len(addresses) == 0:
		addresses = []string{v.defaultAddress(h)}
	}
	proof.Endpoint.Address, proof.Others = addresses[0], addresses[1:]
	proof.Members = v.AllAddresses.ValueBool() && !shared
	return proof, nil
}

// dialer connects to the server of a host; nil is this machine. It needs no
// certificate to be known, so that a plan can refuse what it refuses.
func (m *deploymentModel) dialer(v verifyBlock, h host) (transport.Dialer, error) {
	if v.From.ValueString() != fromHost {
		return nil, nil
	}
	if m.fleet() && v.many() {
		return nil, errors.New("addresses that several hosts share are asked from the machine Terraform runs on: leave out verify.from, or give each host its verify_address instead of them")
	}
	dialer, ok := h.machine.(transport.Dialer)
	if !ok {
		return nil, fmt.Errorf("host %s: no connection can be made from there, since it is reached by WinRM or runs Windows: leave out verify.from, or prove by verify.command", h.name)
	}
	return dialer, nil
}

// common is what is the same at every address.
func (v verifyBlock) common(ctx context.Context, material deploy.Material) (deploy.Proof, error) {
	proof := deploy.Proof{
		Endpoint:    deploy.Endpoint{ServerName: v.ServerName.ValueString()},
		Way:         deploy.Way{StartTLS: deploy.StartTLS(v.StartTLS.ValueString())},
		Consecutive: int(v.Consecutive.ValueInt64()),
	}
	if v.ServerName.IsNull() {
		proof.Endpoint.ServerName = serverName(material)
	}
	if !v.Timeout.IsNull() {
		var err error
		if proof.Timeout, err = time.ParseDuration(v.Timeout.ValueString()); err != nil {
			return deploy.Proof{}, fmt.Errorf("verify.timeout: %w", err)
		}
	}
	if v.Command.IsNull() {
		return proof, nil
	}
	return proof, diagError(v.Command.ElementsAs(ctx, &proof.Command, false))
}

// defaultAddress is where the server of a host listens by custom.
func (v verifyBlock) defaultAddress(h host) string {
	port := deploy.StartTLS(v.StartTLS.ValueString()).Port()
	if v.From.ValueString() == fromHost {
		return net.JoinHostPort("127.0.0.1", port)
	}
	name, _, err := net.SplitHostPort(h.address)
	if err != nil {
		return h.address
	}
	return net.JoinHostPort(name, port)
}

// together is the proof of a whole fleet, for after its last host; the second
// value is whether there is one.
func (m *deploymentModel) together(ctx context.Context, material deploy.Material) (deploy.Proof, bool, error) {
	v, err := m.verification(ctx)
	if err != nil || !m.fleet() || !v.many() {
		return deploy.Proof{}, false, err
	}
	addresses, err := v.addresses(ctx)
	if err != nil || len(addresses) == 0 {
		return deploy.Proof{}, false, err
	}
	proof, err := v.common(ctx, material)
	proof.Endpoint.Address, proof.Others = addresses[0], addresses[1:]
	proof.Members = v.AllAddresses.ValueBool()
	return proof, err == nil, err
}

// checkDialers refuses hosts from which no handshake can come.
func (m *deploymentModel) checkDialers(ctx context.Context, hosts []host, diags *diag.Diagnostics) {
	v, err := m.verification(ctx)
	for _, h := range hosts {
		if err == nil {
			_, err = m.dialer(v, h)
		}
	}
	if err != nil {
		diags.AddAttributeError(path.Root("verify"), "The proof cannot be made", err.Error()+".")
	}
}

// proveTogether proves, after the last host, what the addresses serve that all
// hosts share. Where one does not, the next apply is to find out again.
func (r *deploymentResource) proveTogether(ctx context.Context, m *deploymentModel, material deploy.Material, diags *diag.Diagnostics) {
	proof, ok, err := m.together(ctx, material)
	if err == nil && ok {
		err = deploy.ProveMaterial(ctx, proof, material)
	}
	if err != nil {
		diags.AddAttributeError(path.Root("verify"), "Not every address serves the certificate",
			err.Error()+".\n\nEvery one of the hosts was proven to serve it and keeps it. Add the host that an address leads to, or correct the address, and apply again.")
		m.DriftReason = types.StringValue(err.Error())
	}
}
