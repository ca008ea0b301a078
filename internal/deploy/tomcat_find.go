package deploy

import (
	"bytes"
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

const setTomcatPaths = "set keystore, or certificate_path and private_key_path"

// Open implements Finder.
func (t *Tomcat) Open() bool {
	o := t.options
	return o.Store.Path == "" && o.CertificatePath == "" && o.ChainPath == "" && o.PrivateKeyPath == ""
}

// tomcatBases are where packages have the folder with conf/server.xml.
func tomcatBases() []string {
	return []string{"/var/lib/tomcat10", "/var/lib/tomcat9", "/var/lib/tomcat11", "/usr/share/tomcat", "/opt/tomcat", "/opt/tomcat/latest"}
}

// Find implements Finder: by conf/server.xml. The password of a keystore is the
// one that stands there.
func (t *Tomcat) Find(ctx context.Context, machine transport.Transport, name string) (FileTarget, Paths, error) {
	bases := tomcatBases()
	if t.options.Base != "" {
		bases = []string{t.options.Base}
	}
	for _, base := range bases {
		file := below(base, "conf/server.xml")
		text, _, err := machine.ReadFile(ctx, file)
		if errors.Is(err, fs.ErrNotExist) && t.options.Base == "" {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		all, passwords, err := readTomcat(file, base, text)
		if err != nil {
			return nil, nil, err
		}
		chosen, err := choose(all, cmp.Or(t.options.ServerName, name), setTomcatPaths)
		if err != nil {
			return nil, nil, err
		}
		return t.found(ctx, machine, chosen, passwords[chosen.at])
	}
	return nil, nil, fmt.Errorf("%w: there is no conf/server.xml in %s; set catalina_base", ErrFind, strings.Join(bases, ", "))
}

// found adds to what server.xml says what the keystore's file says itself: Java
// reads both kinds whatever they are called.
func (t *Tomcat) found(ctx context.Context, machine transport.Transport, chosen candidate, password string) (FileTarget, Paths, error) {
	if file := chosen.paths["keystore_path"]; file != "" {
		held, err := look(ctx, machine, file)
		if err != nil {
			return nil, nil, err
		}
		switch {
		case bytes.HasPrefix(held.data, []byte{0xfe, 0xed, 0xfe, 0xed}):
			chosen.paths["keystore_type"] = string(pki.JKS)
		case held.exists || chosen.paths["keystore_type"] == "":
			chosen.paths["keystore_type"] = string(pki.PKCS12)
		}
	}
	options := t.at(chosen.paths)
	options.Store.Password = secret.New(password)
	target, err := NewTomcat(options)
	return target, chosen.paths, err
}

// At implements Finder.
func (t *Tomcat) At(paths Paths) (FileTarget, error) { return NewTomcat(t.at(paths)) }

func (t *Tomcat) at(paths Paths) TomcatOptions {
	options := t.options
	options.ServerName, options.Base = "", ""
	options.Store = StoreOptions{Path: paths["keystore_path"], Kind: pki.KeystoreKind(paths["keystore_type"]), Alias: paths["keystore_alias"]}
	options.CertificatePath, options.ChainPath, options.PrivateKeyPath = paths["certificate_path"], paths["chain_path"], paths["private_key_path"]
	return options
}

// The part of server.xml that is about TLS. Attributes are many, and older
// connectors have those of the certificate themselves.
type tomcatElement struct {
	XMLName    xml.Name
	Attributes []xml.Attr      `xml:",any,attr"`
	Elements   []tomcatElement `xml:",any"`
}

func (e tomcatElement) get(names ...string) string {
	for _, name := range names {
		for _, one := range e.Attributes {
			if one.Name.Local == name {
				return one.Value
			}
		}
	}
	return ""
}

// readTomcat lists the TLS hosts of a server.xml, and the passwords of their
// keystores by the place of each.
func readTomcat(file, base string, text []byte) ([]candidate, map[string]string, error) {
	var server tomcatElement
	if err := xml.Unmarshal(text, &server); err != nil {
		return nil, nil, fmt.Errorf("%w: %s: %w", ErrFind, file, err)
	}
	var all []candidate
	passwords := map[string]string{}
	for _, service := range server.Elements {
		for _, connector := range service.Elements {
			if connector.XMLName.Local != "Connector" {
				continue
			}
			at := fmt.Sprintf("%s, connector at port %s", file, connector.get("port"))
			for _, host := range tomcatHosts(connector) {
				c := candidate{names: []string{host.name}, at: at + ", host " + host.name, paths: Paths{}}
				if host.fallback {
					c.names[0] = "*" // what no other host of the connector has
				}
				passwords[c.at] = c.readTomcat(base, host.certificates)
				all = append(all, c)
			}
		}
	}
	return all, passwords, nil
}

type tomcatHost struct {
	name         string
	fallback     bool
	certificates []tomcatElement
}

// tomcatHosts are the hosts of a connector with TLS: those with an SSLHostConfig,
// or the one that an older connector describes by itself.
func tomcatHosts(connector tomcatElement) []tomcatHost {
	const fallback = "_default_"
	served := cmp.Or(connector.get("defaultSSLHostConfigName"), fallback)
	var hosts []tomcatHost
	for _, one := range connector.Elements {
		if one.XMLName.Local != "SSLHostConfig" {
			continue
		}
		name := cmp.Or(one.get("hostName"), fallback)
		host := tomcatHost{name: name, fallback: strings.EqualFold(name, served)}
		for _, inner := range one.Elements {
			if inner.XMLName.Local == "Certificate" {
				host.certificates = append(host.certificates, inner)
			}
		}
		if len(host.certificates) == 0 {
			host.certificates = []tomcatElement{one} // written on the host itself
		}
		hosts = append(hosts, host)
	}
	if len(hosts) == 0 && strings.EqualFold(connector.get("SSLEnabled"), "true") {
		hosts = append(hosts, tomcatHost{name: served, fallback: true, certificates: []tomcatElement{connector}})
	}
	return hosts
}

// readTomcat notes the files of a host and returns the password of its keystore.
func (c *candidate) readTomcat(base string, certificates []tomcatElement) (password string) {
	if len(certificates) > 1 {
		c.problem = fmt.Sprintf("it has %d certificates, as for RSA and ECDSA: a deployment brings one", len(certificates))
		return ""
	}
	one := certificates[0]
	set := func(attribute string, names ...string) {
		value := one.get(names...)
		for _, variable := range []string{"${catalina.base}", "${catalina.home}"} {
			value = strings.ReplaceAll(value, variable, base)
		}
		value = strings.TrimPrefix(value, "file:")
		if strings.Contains(value, "${") {
			c.problem = fmt.Sprintf("%s has a variable that server.xml does not set", value)
		}
		if value != "" {
			c.paths[attribute] = inDirectory(base, value)
		}
	}
	set("certificate_path", "certificateFile", "SSLCertificateFile")
	if c.paths["certificate_path"] != "" {
		set("private_key_path", "certificateKeyFile", "SSLCertificateKeyFile")
		set("chain_path", "certificateChainFile", "SSLCertificateChainFile")
		if c.paths["private_key_path"] == "" {
			c.problem = cmp.Or(c.problem, "its certificate file has the key too")
		}
		return ""
	}
	set("keystore_path", "certificateKeystoreFile", "keystoreFile")
	if alias := one.get("certificateKeyAlias", "keyAlias"); alias != "" {
		c.paths["keystore_alias"] = alias
	}
	if kind := strings.ToUpper(one.get("certificateKeystoreType", "keystoreType")); kind == string(pki.JKS) || kind == string(pki.PKCS12) {
		c.paths["keystore_type"] = kind
	} else if kind != "" {
		c.problem = fmt.Sprintf("its keystore is a %s, which is not written", kind)
	}
	password = cmp.Or(one.get("certificateKeystorePassword", "keystorePass"), "changeit")
	own := one.get("certificateKeyPassword", "keyPass")
	switch {
	case c.paths["keystore_path"] == "":
		c.problem = cmp.Or(c.problem, "it names no file")
	case one.get("certificateKeystorePasswordFile") != "" || strings.Contains(password, "${"):
		c.problem = cmp.Or(c.problem, "the password of its keystore does not stand in server.xml")
	case own != "" && own != password:
		c.problem = cmp.Or(c.problem, "its key has another password than its keystore")
	}
	return password
}
