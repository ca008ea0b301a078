package deploy

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
)

const setPaths = "set fullchain_path and private_key_path"

// Open implements Finder.
func (n *Nginx) Open() bool {
	return n.options.FullchainPath == "" && n.options.PrivateKeyPath == ""
}

// Find implements Finder with "nginx -T".
func (n *Nginx) Find(ctx context.Context, machine transport.Transport, name string) (FileTarget, Paths, error) {
	dump, err := n.run(ctx, machine, "-T")
	if err != nil {
		return nil, nil, err
	}
	if len(dump) >= transport.MaxOutput {
		return nil, nil, fmt.Errorf("%w: it is longer than %d KiB; %s", ErrFind, transport.MaxOutput>>10, setPaths)
	}
	all, err := nginxServers(dump)
	if err != nil {
		return nil, nil, err
	}
	chosen, err := choose(all, cmp.Or(n.options.ServerName, name), setPaths)
	if err != nil {
		return nil, nil, err
	}
	found, err := n.At(chosen.paths)
	return found, chosen.paths, err
}

// At implements Finder.
func (n *Nginx) At(paths Paths) (FileTarget, error) {
	options := n.options
	options.ServerName = ""
	options.FullchainPath, options.PrivateKeyPath = paths["fullchain_path"], paths["private_key_path"]
	return NewNginx(options)
}

// nginxDump is what "nginx -T" prints, by file.
type nginxDump struct {
	main  string
	order []string
	files map[string][]*directive
}

const dumpMark = "# configuration file "

func readDump(dump string) (*nginxDump, error) {
	d := &nginxDump{files: map[string][]*directive{}}
	texts := map[string]*strings.Builder{}
	var current *strings.Builder
	for line := range strings.Lines(dump) {
		name, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), dumpMark)
		switch {
		case ok && strings.HasSuffix(name, ":"):
			name = strings.TrimSuffix(name, ":")
			current = &strings.Builder{}
			texts[name] = current
			d.order = append(d.order, name)
		case current != nil && !strings.HasPrefix(line, "nginx: "): // what the test says stands between
			current.WriteString(line)
		}
	}
	if len(d.order) == 0 {
		return nil, fmt.Errorf("%w: nginx -T shows none", ErrFind)
	}
	d.main = d.order[0]
	for name, text := range texts {
		all, err := readNginx(name, text.String())
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrFind, err)
		}
		d.files[name] = all
	}
	return d, nil
}

// expand puts in place of each include what it includes.
func (d *nginxDump) expand(all []*directive, depth int) []*directive {
	if depth > deepest {
		return nil
	}
	directory, _ := split(d.main)
	var out []*directive
	for _, one := range all {
		if !one.is("include") {
			out = append(out, one)
			continue
		}
		pattern := inDirectory(directory, one.argument())
		for _, file := range d.order {
			if matches(pattern, file) {
				out = append(out, d.expand(d.files[file], depth+1)...)
			}
		}
	}
	return out
}

// nginxServers lists the servers with TLS in what "nginx -T" prints.
func nginxServers(text string) ([]candidate, error) {
	dump, err := readDump(text)
	if err != nil {
		return nil, err
	}
	var all []candidate
	for _, context := range dump.expand(dump.files[dump.main], 0) {
		if !context.is("http") && !context.is("stream") && !context.is("mail") {
			continue
		}
		within := dump.expand(context.block, 0)
		for _, server := range within {
			if !server.is("server") {
				continue
			}
			if c, ok := dump.server(server, within); ok {
				all = append(all, c)
			}
		}
	}
	return all, nil
}

// server reads one server; what it does not say it inherits from the context.
func (d *nginxDump) server(server *directive, outer []*directive) (candidate, bool) {
	c := candidate{at: fmt.Sprintf("%s:%d", server.file, server.line)}
	inner := d.expand(server.block, 0)
	tls := false
	for _, one := range inner {
		switch {
		case one.is("server_name"):
			c.names = append(c.names, one.words[1:]...)
		case one.is("listen") && slices.Contains(one.words, "ssl"), one.is("listen") && slices.Contains(one.words, "quic"), one.is("ssl") && one.argument() == "on":
			tls = true
		}
	}
	certificates, own := values(inner, outer, "ssl_certificate")
	keys, _ := values(inner, outer, "ssl_certificate_key")
	if len(certificates) == 0 || !tls && !own {
		return candidate{}, false
	}
	directory, _ := split(d.main)
	c.paths = Paths{"fullchain_path": inDirectory(directory, certificates[0])}
	switch {
	case len(certificates) > 1:
		c.problem = fmt.Sprintf("it has %d certificates, %s, as for RSA and ECDSA: a deployment brings one", len(certificates), strings.Join(certificates, " and "))
	case len(keys) != 1:
		c.problem = fmt.Sprintf("it has one certificate and %d keys", len(keys))
	default:
		c.paths["private_key_path"] = inDirectory(directory, keys[0])
		for _, file := range []string{certificates[0], keys[0]} {
			scheme, _, _ := strings.Cut(file, ":")
			if strings.Contains(file, "$") || slices.Contains([]string{"data", "engine", "store"}, scheme) {
				c.problem = fmt.Sprintf("%s is no path that is the same for all connections", file)
			}
		}
	}
	return c, true
}

// values are those of a directive, and whether the server itself has it.
func values(inner, outer []*directive, name string) (all []string, own bool) {
	for n, level := range [][]*directive{inner, outer} {
		for _, one := range level {
			if one.is(name) && one.argument() != "" {
				all = append(all, one.argument())
			}
		}
		if len(all) > 0 {
			return all, n == 0
		}
	}
	return nil, false
}
