package provider

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"golang.org/x/sync/errgroup"

	"github.com/certiform/terraform-provider-certificate/internal/deploy"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
)

// checkHosts refuses a plan whose deployment would fail at a host: one that is
// not the one it should be, a missing right, a path that cannot be written, a
// keystore that cannot be read. Only hosts that are to be deployed to are asked.
func (r *deploymentResource) checkHosts(ctx context.Context, hosts []host, target deploy.Target, diags *diag.Diagnostics) {
	problems := make([]error, len(hosts))
	var group errgroup.Group
	group.SetLimit(mostObserved)
	for n, h := range hosts {
		group.Go(func() error {
			problems[n] = deploy.CheckHost(ctx, h.machine, target)
			return nil
		})
	}
	_ = group.Wait() // none returns an error
	for _, h := range hosts {
		_ = h.machine.Close() // it was only looked at
	}
	for n, h := range hosts {
		at, summary := path.Root("hosts").AtMapKey(h.name), "The certificate cannot be deployed to "+h.name
		if h.name == localHost || !fromAfar(problems[n]) {
			at, summary = path.Root(target.Name()), "The target's files cannot be written"
		}
		reportCheck(diags, at, summary, h.name, problems[n])
	}
}

// fromAfar reports whether an error is about the way to a host.
func fromAfar(err error) bool {
	return slices.ContainsFunc([]error{transport.ErrUnreachable, transport.ErrConnection, transport.ErrHostKey, transport.ErrLogin, transport.ErrSudo},
		func(kind error) bool { return errors.Is(err, kind) })
}

// reportCheck turns what a check of a plan found into a diagnostic. A host that
// does not answer may do so at apply, so that is a warning; a bastion that does
// not answer is an error, because nothing behind it can be reached.
func reportCheck(diags *diag.Diagnostics, at path.Path, summary, name string, err error) {
	switch {
	case err == nil:
	case (errors.Is(err, transport.ErrUnreachable) || errors.Is(err, transport.ErrConnection)) && !errors.Is(err, transport.ErrBastion):
		diags.AddAttributeWarning(at, "A host could not be looked at", name+": "+err.Error()+". Make sure that it answers before the apply; nothing was changed on it.")
	default:
		diags.AddAttributeError(at, summary, name+": "+strings.TrimSuffix(err.Error(), ".")+"."+advice(err)+" Nothing was changed.")
	}
}

// advice says what to do about what a check found.
func advice(err error) string {
	switch {
	case errors.Is(err, transport.ErrBastion):
		return " Check the bastion's address, port and firewall, or take it out of bastions."
	case errors.Is(err, transport.ErrHostKey):
		return " If the host was set up anew, and only then, replace its line in known_hosts or host_key; else somebody is in between."
	case errors.Is(err, transport.ErrLogin):
		return " Check user, key and password."
	case errors.Is(err, transport.ErrSudo):
		return " Allow the commands in sudoers (the description of sudo lists them), or set sudo.password_wo."
	}
	return ""
}

// left are the hosts that a plan will deploy to.
func (m *deploymentModel) left(ctx context.Context, hosts []host, prior *deploymentModel) []host {
	if prior == nil || !m.sameOnHost(*prior) || m.Hosts.IsNull() {
		return hosts
	}
	states := begun(ctx, hosts, prior, true, prior.Fingerprint.ValueString())
	return slices.DeleteFunc(slices.Clone(hosts), func(h host) bool { return states[h.name] == deploy.HostDone })
}
