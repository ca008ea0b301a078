package deploy

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// HostKey is a private key that is made on the machine that uses it, by the
// openssl there, and is never read from elsewhere.
//
// Where nothing is at its path, it is made there. Else it is made beside it, as
// path.next: what the server reads now stays what it is until a deployment of
// the certificate for the new key takes both into place together.
type HostKey struct {
	Path      string // absolute; the file the server reads
	Algorithm pki.Algorithm
	Names     []string // of the signing request: DNS names and IP addresses
	Subject   pki.Subject
	Mode      fs.FileMode // default: that of the file at Path, else 0600
	Owner     string      // user, or user:group, as chown takes it; default: as Mode
}

// HeldKey is a key on a machine, as far as it is known elsewhere.
type HeldKey struct {
	Path    string // where it is now: the key's path, or beside it
	Hash    string // of the public part, see pki.PublicHash
	Request []byte // PEM; nil where none was asked for
}

// What keeps a key from being made.
var (
	ErrWindowsKey  = errors.New("a key can be made on hosts with POSIX paths only")
	ErrKeyInTheWay = errors.New("a key that is not this resource's waits there, and is not overwritten")
	ErrKeyGone     = errors.New("the key is not on the host any more")
)

// Check finds what would keep a key from being made, changing nothing.
func (k HostKey) Check(ctx context.Context, machine transport.Transport) error {
	if windows(k.Path) {
		return fmt.Errorf("%w, and %s is on Windows: make the key with certreq there and give csr_pem to the renewal, or let the provider keep the key", ErrWindowsKey, k.Path)
	}
	if !absolute(k.Path) || strings.HasSuffix(k.Path, "/") {
		return fmt.Errorf("%w: %q is not the absolute path of a file", ErrPath, k.Path)
	}
	if _, err := k.parameters(); err != nil {
		return err
	}
	if machine == nil {
		return nil
	}
	if _, err := openssl(ctx, machine, "version"); err != nil {
		return err
	}
	return errors.Join(machine.Check(ctx, k.Path), machine.Check(ctx, pendingPath(k.Path)))
}

// parameters are openssl's words for the algorithm.
func (k HostKey) parameters() ([]string, error) {
	curves := map[pki.Algorithm]string{pki.ECDSAP256: "prime256v1", pki.ECDSAP384: "secp384r1"}
	bits, isRSA := strings.CutPrefix(string(k.Algorithm), "RSA_")
	switch {
	case isRSA:
		return []string{"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:" + bits}, nil
	case curves[k.Algorithm] != "":
		return []string{"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:" + curves[k.Algorithm], "-pkeyopt", "ec_param_enc:named_curve"}, nil
	case k.Algorithm == pki.Ed25519:
		return []string{"-algorithm", "ED25519"}, nil
	}
	return nil, fmt.Errorf("there is no key algorithm %q", k.Algorithm)
}

// Make makes a new key and its signing request. The key with the hash current is
// this resource's own: one that still waits is replaced. Another key that waits
// was left by a run that was killed, and is taken up if it is of the wanted
// algorithm.
func (k HostKey) Make(ctx context.Context, machine transport.Transport, current string) (HeldKey, error) {
	if err := k.Check(ctx, machine); err != nil {
		return HeldKey{}, err
	}
	inPlace, err := lookFromAfar(ctx, machine, k.Path)
	if err == nil {
		err = k.sweep(ctx, machine, inPlace.info.Path)
	}
	if err != nil {
		return HeldKey{}, err
	}
	if !inPlace.exists {
		return k.generate(ctx, machine, k.Path, k.attributes(inPlace))
	}
	beside := pendingPath(k.Path)
	waiting, err := lookFromAfar(ctx, machine, beside)
	if err != nil || !waiting.exists {
		if err != nil {
			return HeldKey{}, err
		}
		return k.generate(ctx, machine, beside, k.attributes(inPlace))
	}
	public, err := publicKey(ctx, machine, beside)
	switch hash := pki.PublicHash(public); {
	case unknowable(err):
		return HeldKey{}, err
	case err == nil && hash == current:
		return k.generate(ctx, machine, beside, k.attributes(inPlace))
	case err == nil && pki.AlgorithmOf(public) == k.Algorithm:
		return k.request(ctx, machine, beside)
	}
	return HeldKey{}, fmt.Errorf("%w: %s. Move it away, or remove it if nobody needs it", ErrKeyInTheWay, beside)
}

// sweep removes what a run that was killed left half made: it can be a key.
func (k HostKey) sweep(ctx context.Context, machine transport.Transport, resolved string) error {
	var problems []error
	for _, path := range slices.Compact([]string{k.Path, resolved}) {
		directory, base := split(path)
		names, err := machine.List(ctx, directory)
		problems = append(problems, err)
		for _, name := range names {
			if !transport.IsTemporary(name, base) {
				continue
			}
			if err := machine.Remove(ctx, below(directory, name)); !errors.Is(err, fs.ErrNotExist) {
				problems = append(problems, err)
			}
		}
	}
	return errors.Join(problems...)
}

// Find looks for the key with a public part, in place or beside.
func (k HostKey) Find(ctx context.Context, machine transport.Transport, hash string) (HeldKey, error) {
	for _, path := range []string{k.Path, pendingPath(k.Path)} {
		s, err := machine.Stat(ctx, path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return HeldKey{}, err
		}
		switch wrong := fits(ctx, machine, snapshot{exists: true, info: s, at: path}, hash); {
		case wrong == nil:
			return HeldKey{Path: path, Hash: hash}, nil
		case unknowable(wrong):
			return HeldKey{}, wrong
		}
	}
	return HeldKey{}, fmt.Errorf("%w: neither %s nor %s holds it", ErrKeyGone, k.Path, pendingPath(k.Path))
}

// Adopt takes the key that is at the path as it is.
func (k HostKey) Adopt(ctx context.Context, machine transport.Transport) (HeldKey, pki.Algorithm, error) {
	public, err := publicKey(ctx, machine, k.Path)
	if err != nil {
		return HeldKey{}, "", fmt.Errorf("the key in %s: %w", k.Path, err)
	}
	held, err := k.request(ctx, machine, k.Path)
	return held, pki.AlgorithmOf(public), err
}

// Request makes a new signing request for the key with a public part.
func (k HostKey) Request(ctx context.Context, machine transport.Transport, hash string) (HeldKey, error) {
	held, err := k.Find(ctx, machine, hash)
	if err != nil {
		return HeldKey{}, err
	}
	return k.request(ctx, machine, held.Path)
}

// Delete removes the key with a public part, in place or beside.
func (k HostKey) Delete(ctx context.Context, machine transport.Transport, hash string) error {
	held, err := k.Find(ctx, machine, hash)
	if errors.Is(err, ErrKeyGone) {
		return nil
	}
	if err == nil {
		err = machine.Remove(ctx, held.Path)
	}
	return err
}

// Waits reports whether a key found by Find is not the one the server reads yet.
func (k HostKey) Waits(held HeldKey) bool { return held.Path != k.Path }

// attributes of a new key: those asked for, else those of the file whose place
// it is to take.
func (k HostKey) attributes(inPlace snapshot) transport.Attributes {
	attributes := private()
	if inPlace.exists {
		attributes = inPlace.info.Attributes
	}
	if k.Mode != 0 {
		attributes.Mode = k.Mode
	}
	if k.Owner != "" {
		attributes.UID, attributes.GID = transport.Unknown, transport.Unknown
	}
	return attributes
}

// generate makes a key at a path. It is seen there complete or not at all, and
// never by anybody whom its mode excludes: openssl writes into a file that has
// owner and mode already.
func (k HostKey) generate(ctx context.Context, machine transport.Transport, path string, attributes transport.Attributes) (HeldKey, error) {
	parameters, err := k.parameters()
	if err != nil {
		return HeldKey{}, err
	}
	// As large as any key, because openssl does not notice that a disk is full.
	staged, err := machine.Stage(ctx, path, make([]byte, largestKey), attributes)
	if err != nil {
		return HeldKey{}, err
	}
	held, err := func() (HeldKey, error) {
		if k.Owner != "" {
			if _, err := command(ctx, machine, []string{"chown", "--", k.Owner, staged.Temporary}); err != nil {
				return HeldKey{}, err
			}
		}
		if _, err := openssl(ctx, machine, append(append([]string{"genpkey"}, parameters...), "-out", staged.Temporary)...); err != nil {
			return HeldKey{}, fmt.Errorf("make the key: %w", err)
		}
		held, err := k.request(ctx, machine, staged.Temporary)
		if err != nil {
			return HeldKey{}, err
		}
		if _, err := command(ctx, machine, []string{"sync", staged.Temporary}); err != nil {
			return HeldKey{}, err
		}
		return held, machine.Rename(ctx, staged)
	}()
	if err != nil {
		return HeldKey{}, errors.Join(err, giveUp(ctx, machine, staged))
	}
	held.Path = path
	return held, nil
}

// largestKey is more bytes than an RSA key of 8192 bits has in PEM.
const largestKey = 8 << 10

// request has openssl sign a request with the key in a file, and checks it.
func (k HostKey) request(ctx context.Context, machine transport.Transport, path string) (HeldKey, error) {
	settings, err := k.settings()
	if err != nil {
		return HeldKey{}, err
	}
	public, err := publicKey(ctx, machine, path)
	if err != nil {
		return HeldKey{}, fmt.Errorf("the key in %s: %w", path, err)
	}
	// The settings of the request are no secret, and are gone when it is made.
	staged, err := machine.Stage(ctx, k.Path, settings, private())
	if err != nil {
		return HeldKey{}, fmt.Errorf("write the settings of the signing request: %w", err)
	}
	arguments := []string{"req", "-new", "-key", path, "-config", staged.Temporary, "-passin", "pass:"}
	if k.Algorithm != pki.Ed25519 {
		arguments = append(arguments, "-sha256")
	}
	if k.Subject == (pki.Subject{}) {
		arguments = append(arguments, "-subj", "/")
	}
	text, err := openssl(ctx, machine, arguments...)
	if err = errors.Join(err, giveUp(ctx, machine, staged)); err != nil {
		return HeldKey{}, fmt.Errorf("make the signing request: %w", err)
	}
	request, err := pki.ParseRequest([]byte(text))
	if err != nil {
		return HeldKey{}, fmt.Errorf("make the signing request: %w", err)
	}
	held := HeldKey{Path: path, Hash: pki.PublicHash(public)}
	if got := pki.PublicHash(request.PublicKey); got != held.Hash {
		return HeldKey{}, fmt.Errorf("the signing request that openssl made is for another key: %w", pki.ErrKeyMismatch)
	}
	held.Request = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request.Raw})
	return held, nil
}

// settings is the configuration of openssl req; that of the system is not used.
func (k HostKey) settings() ([]byte, error) {
	var text strings.Builder
	text.WriteString("[req]\nprompt = no\nutf8 = yes\nstring_mask = utf8only\ndistinguished_name = dn\nreq_extensions = ext\n[dn]\n")
	for _, part := range [][2]string{
		{"C", k.Subject.Country}, {"ST", k.Subject.Province}, {"L", k.Subject.Locality}, {"O", k.Subject.Organization}, {"OU", k.Subject.OrganizationalUnit},
	} {
		if part[1] == "" {
			continue
		}
		if strings.ContainsAny(part[1], "\r\n\x00") {
			return nil, fmt.Errorf("the %s of the subject has a line break", part[0])
		}
		text.WriteString(part[0] + " = " + opensslValue(part[1]) + "\n")
	}
	text.WriteString("[ext]\nsubjectAltName = @names\n[names]\n")
	hosts, addresses := pki.SplitNames(k.Names)
	for n, host := range hosts {
		text.WriteString("DNS." + strconv.Itoa(n+1) + " = " + opensslValue(host) + "\n")
	}
	for n, address := range addresses {
		text.WriteString("IP." + strconv.Itoa(n+1) + " = " + address.String() + "\n")
	}
	return []byte(text.String()), nil
}

// opensslValue writes a value so that openssl's reader of settings takes it for
// what it is.
func opensslValue(value string) string {
	return strings.NewReplacer(`\`, `\\`, "$", `\$`, "#", `\#`, `"`, `\"`, "'", `\'`, "`", "\\`").Replace(value)
}
