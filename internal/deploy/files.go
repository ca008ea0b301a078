package deploy

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
)

// FilesOptions describe a server of any kind by its files and commands. At least
// one path is needed.
type FilesOptions struct {
	CertificatePath string // the leaf
	ChainPath       string // what follows the leaf
	FullchainPath   string // the leaf and what follows
	PrivateKeyPath  string // the key
	CombinedPath    string // the leaf, what follows, and the key
	PKCS7Path       string // the leaf and what follows as PKCS#7 (p7b), PEM
	DERPath         string // the leaf in binary
	Store           StoreOptions

	CertificateMode fs.FileMode // for files without the key; default: kept, 0644 when new
	PrivateKeyMode  fs.FileMode // for files with the key; default: kept, 0600 when new

	TestCommand   []string // exits with 0 when the files are good; optional
	ReloadCommand []string // makes the server load the files; optional
}

// Files is the target for servers without one of their own.
type Files struct{ options FilesOptions }

var (
	_ FileTarget = (*Files)(nil)
	_ Grouped    = (*Files)(nil)
)

// NewFiles checks the options and returns the target.
func NewFiles(options FilesOptions) (*Files, error) {
	f := &Files{options}
	problems := []error{checkSlots(f.Slots())}
	for _, argv := range [][]string{options.TestCommand, options.ReloadCommand} {
		if len(argv) > 0 && argv[0] == "" {
			problems = append(problems, errors.New("a command's first element, the program, is empty"))
		}
	}
	return f, errors.Join(problems...)
}

// Name implements Target.
func (*Files) Name() string { return "files" }

// Slots implements Target.
func (f *Files) Slots() []Slot {
	o := f.options
	slots := []Slot{
		{Path: o.PrivateKeyPath, Format: PEM{Key: true}, Mode: o.PrivateKeyMode},
		{Path: o.CombinedPath, Format: PEM{Leaf: true, Chain: true, Key: true}, Mode: o.PrivateKeyMode},
		o.keystore(),
		{Path: o.CertificatePath, Format: PEM{Leaf: true}, Mode: o.CertificateMode},
		{Path: o.DERPath, Format: DER{}, Mode: o.CertificateMode},
		{Path: o.PKCS7Path, Format: PKCS7{}, Mode: o.CertificateMode},
		{Path: o.ChainPath, Format: PEM{Chain: true}, Mode: o.CertificateMode},
		{Path: o.FullchainPath, Format: PEM{Leaf: true, Chain: true}, Mode: o.CertificateMode},
	}
	return slices.DeleteFunc(slots, func(s Slot) bool { return s.Path == "" })
}

// keystore is the slot of the keystore, without a path where there is none. A new
// one names its key as keytool does.
func (o FilesOptions) keystore() Slot {
	slot := o.Store.slot("mykey")
	slot.Mode = o.PrivateKeyMode
	return slot
}

// Test implements Target.
func (f *Files) Test(ctx context.Context, machine transport.Transport) (bool, error) {
	return maybe(ctx, machine, f.options.TestCommand)
}

// Reload implements Target.
func (f *Files) Reload(ctx context.Context, machine transport.Transport) (bool, error) {
	return maybe(ctx, machine, f.options.ReloadCommand)
}

// Server implements Grouped: the same command at the same time does the same.
func (f *Files) Server() string {
	if len(f.options.ReloadCommand) == 0 {
		return ""
	}
	return identity(append([]string{"files"}, f.options.ReloadCommand...)...)
}

// maybe runs a command that may not be configured.
func maybe(ctx context.Context, machine transport.Transport, argv []string) (bool, error) {
	if len(argv) == 0 {
		return false, nil
	}
	_, err := command(ctx, machine, argv)
	return true, err
}
