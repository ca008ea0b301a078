package deploy

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
)

// Open implements Finder.
func (a *Apache) Open() bool {
	o := a.options
	return o.FullchainPath == "" && o.CertificatePath == "" && o.ChainPath == "" && o.PrivateKeyPath == ""
}

// Find implements Finder: the server tells where its virtual hosts are, and the
// directives are read there.
func (a *Apache) Find(ctx context.Context, machine transport.Transport, name string) (FileTarget, Paths, error) {
	config, err := a.config(ctx, machine)
	if err != nil {
		return nil, nil, err
	}
	dump, err := a.run(ctx, machine, "-t", "-D", "DUMP_VHOSTS")
	if err != nil {
		return nil, nil, err
	}
	all, err := config.hosts(ctx, dump)
	if err != nil {
		return nil, nil, err
	}
	chosen, err := choose(all, cmp.Or(a.options.ServerName, name), setPaths)
	if err != nil {
		return nil, nil, err
	}
	found, err := a.At(chosen.paths)
	return found, chosen.paths, err
}

// At implements Finder.
func (a *Apache) At(paths Paths) (FileTarget, error) {
	options := a.options
	options.ServerName = ""
	options.FullchainPath, options.PrivateKeyPath = paths["fullchain_path"], paths["private_key_path"]
	options.CertificatePath, options.ChainPath = paths["certificate_path"], paths["chain_path"]
	return NewApache(options)
}

// config asks the server for what its files depend on.
func (a *Apache) config(ctx context.Context, machine transport.Transport) (*apacheConfig, error) {
	dump, err := a.run(ctx, machine, "-t", "-D", "DUMP_RUN_CFG")
	if err != nil {
		return nil, err
	}
	c := &apacheConfig{machine: machine, root: cmp.Or(quotedAfter(dump, "ServerRoot:"), a.options.ServerRoot), defined: map[string]string{}}
	for line := range strings.Lines(dump) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "Define: "); ok {
			name, value, _ := strings.Cut(text, "=")
			c.defined[name] = value
		}
	}
	return c, nil
}

// place is a virtual host in what DUMP_VHOSTS prints.
type vhostPlace struct {
	name, file string
	line       int
}

// vhostPlaces reads "NAME (FILE:LINE)" at the ends of lines, each place once.
func vhostPlaces(dump string) []vhostPlace {
	pattern := regexp.MustCompile(`(\S+) \((.+):([0-9]+)\)$`)
	var places []vhostPlace
	for line := range strings.Lines(dump) {
		found := pattern.FindStringSubmatch(strings.TrimSpace(line))
		if found == nil {
			continue
		}
		number, err := strconv.Atoi(found[3])
		if err != nil {
			continue
		}
		place := vhostPlace{found[1], found[2], number}
		if !slices.ContainsFunc(places, func(p vhostPlace) bool { return p.file == place.file && p.line == place.line }) {
			places = append(places, place)
		}
	}
	return places
}

// hosts lists the virtual hosts with TLS.
func (c *apacheConfig) hosts(ctx context.Context, dump string) ([]candidate, error) {
	read := map[string][]*directive{}
	var all []candidate
	for _, place := range vhostPlaces(dump) {
		if read[place.file] == nil {
			found, err := c.load(ctx, place.file)
			if err != nil {
				return nil, err
			}
			read[place.file] = found
		}
		section := sectionAt(read[place.file], place.line)
		if section == nil {
			continue // made by a macro, or by the global part of the configuration
		}
		inner, err := c.expand(ctx, section.block, 0)
		if err != nil {
			return nil, err
		}
		if found, ok := c.host(place, inner); ok {
			all = append(all, found)
		}
	}
	return all, nil
}

// sectionAt finds the virtual host that begins on a line.
func sectionAt(all []*directive, line int) *directive {
	for _, one := range all {
		if one.is("virtualhost") && one.line == line {
			return one
		}
		if found := sectionAt(one.block, line); found != nil {
			return found
		}
	}
	return nil
}

// host reads one virtual host.
func (c *apacheConfig) host(place vhostPlace, inner []*directive) (candidate, bool) {
	found := candidate{names: []string{place.name}, at: fmt.Sprintf("%s:%d", place.file, place.line), paths: Paths{}}
	values := map[string][]string{}
	for _, one := range inner {
		switch {
		case one.is("servername"):
			_, name, ok := strings.Cut(one.argument(), "://")
			if !ok {
				name = one.argument()
			}
			name, _, _ = strings.Cut(name, ":")
			found.names[0] = c.fill(name)
		case one.is("serveralias"):
			for _, alias := range one.words[1:] {
				found.names = append(found.names, c.fill(alias))
			}
		case strings.HasPrefix(one.words[0], "ssl"):
			values[one.words[0]] = append(values[one.words[0]], one.argument())
		}
	}
	certificates, keys, chains := values["sslcertificatefile"], values["sslcertificatekeyfile"], values["sslcertificatechainfile"]
	engine := values["sslengine"]
	on := len(engine) > 0 && strings.EqualFold(engine[len(engine)-1], "on")
	if len(engine) > 0 && !on || len(engine)+len(certificates) == 0 {
		return candidate{}, false
	}
	attribute := "fullchain_path"
	if len(chains) > 0 {
		attribute = "certificate_path"
	}
	found.set(c, attribute, certificates)
	found.set(c, "private_key_path", keys)
	found.set(c, "chain_path", chains)
	switch {
	case len(certificates) > 1:
		found.problem = fmt.Sprintf("it has %d certificates, %s, as for RSA and ECDSA: a deployment brings one", len(certificates), strings.Join(certificates, " and "))
	case len(certificates) == 0:
		found.problem = "it has no SSLCertificateFile of its own"
	case len(keys) != 1:
		found.problem = fmt.Sprintf("it has one certificate and %d keys (SSLCertificateKeyFile)", len(keys))
	case len(chains) > 1:
		found.problem = fmt.Sprintf("it has %d files of chains", len(chains))
	}
	return found, true
}

// set notes the path in the last of a directive's values.
func (f *candidate) set(c *apacheConfig, attribute string, values []string) {
	if len(values) == 0 {
		return
	}
	file, err := c.path(values[len(values)-1])
	if err != nil {
		f.problem = values[len(values)-1] + " has a variable that Define does not set"
		return
	}
	f.paths[attribute] = file
}
