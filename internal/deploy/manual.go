package deploy

import (
	"bytes"
	"context"
	"embed"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

//go:embed manual
var manualTexts embed.FS

// Manual is a deployment as a person would do it by hand: what Markdown says is
// taken from the same target that Deploy works with.
type Manual struct {
	Target   Target
	Options  map[string]any // of the target's block, without its secrets
	Material Material       // its key is not looked at
	KeyID    string         // of a key in the provider's storage; empty without
	PairID   string         // of the key of an SM2 pair's other half there
	KeyGiven bool           // whether a key was given in another way; without either it lives on the host
	Hosts    []string       // where to, in words; empty for this machine
	Windows  bool           // whether the hosts are, as far as the paths do not say
	Proof    Endpoint       // what to ask in the end; without an address nothing
}

// ManualLanguages are those that Markdown writes.
func ManualLanguages() []string { return []string{"en", "zh"} }

// manualFile is a file of a target and the one that is copied to it.
type manualFile struct {
	Path, Source string
	Key          bool
}

// manualPair is the other half of an SM2 pair.
type manualPair struct{ Fullchain, Fingerprint string }

// manualStore is a keystore of a target.
type manualStore struct{ Path, Type, Alias string }

// manualPage is what the templates see.
type manualPage struct {
	Manual

	Names, Fingerprint, NotAfter string
	Fullchain, Leaf, Chain       string // PEM; the last two where a file wants them apart
	Files                        []manualFile
	Store                        *manualStore
	Pair                         *manualPair
	Tests, Reloads               [][]string
	Resident                     bool
}

// Markdown writes the instructions in a language of ManualLanguages. Without a
// certificate it writes that there is nothing to install yet.
func (m Manual) Markdown(ctx context.Context, language string) (string, error) {
	if !slices.Contains(ManualLanguages(), language) {
		return "", fmt.Errorf("there are no instructions in %q, only in %s", language, strings.Join(ManualLanguages(), " and "))
	}
	texts, err := template.New("").Funcs(manualFunctions()).ParseFS(manualTexts, "manual/"+language+"/*.tmpl")
	if err != nil {
		return "", fmt.Errorf("read the instructions: %w", err)
	}
	if len(m.Material.Chain) == 0 {
		return m.write(texts, "waiting", manualPage{Manual: m})
	}
	leaf := m.Material.Chain[0]
	page := manualPage{
		Manual: m, Names: strings.Join(pki.Names(leaf), ", "), Fingerprint: pki.Fingerprint(leaf),
		NotAfter: leaf.NotAfter.UTC().Format(time.DateOnly), Fullchain: string(pki.EncodeCertificates(m.Material.Chain...)),
		Resident: m.KeyID == "" && !m.KeyGiven,
	}
	if pair := pairOf(m.Target); len(pair.Chain) > 0 {
		page.Pair = &manualPair{string(pki.EncodeCertificates(pair.Chain...)), pki.Fingerprint(pair.Chain[0])}
	}
	if files, ok := m.Target.(FileTarget); ok {
		page.files(files.Slots())
		page.commands(ctx, files)
	}
	return m.write(texts, m.Target.Name(), page)
}

func (m Manual) write(texts *template.Template, name string, page manualPage) (string, error) {
	var text bytes.Buffer
	if err := texts.ExecuteTemplate(&text, name+".md.tmpl", page); err != nil {
		return "", fmt.Errorf("write the instructions for %s: %w", m.Target.Name(), err)
	}
	return tidyLines(text.String()), nil
}

// files says which file goes where.
func (p *manualPage) files(slots []Slot) {
	for _, slot := range slots {
		p.Windows = p.Windows || windows(slot.Path)
		if store, ok := slot.Format.(Keystore); ok {
			kind := "PKCS12"
			if store.Kind == pki.JKS {
				kind = "JKS"
			}
			alias := store.Alias
			if alias == "" {
				alias = store.Fresh
			}
			p.Store = &manualStore{Path: slot.Path, Type: kind, Alias: alias}
			continue
		}
		one := manualFile{Path: slot.Path, Source: "fullchain.pem"}
		switch slot.Format.Parts() {
		case Parts{Key: true}:
			one.Source, one.Key = "private.key", true
		case Parts{Leaf: true, Chain: true, Key: true}:
			one.Source, one.Key = "combined.pem", true
		case Parts{Leaf: true}:
			one.Source, p.Leaf = "leaf.pem", string(pki.EncodeCertificates(p.Material.Chain[0]))
		case Parts{Chain: true}:
			one.Source, p.Chain = "chain.pem", string(pki.EncodeCertificates(p.Material.Chain[1:]...))
		}
		if _, ok := slot.Format.(pairPEM); ok {
			one.Source = "encryption.pem"
			if one.Key {
				one.Source = "encryption.key"
			}
		}
		p.Files = append(p.Files, one)
	}
}

// commands asks the target itself for the commands it would run. Those that
// speak to a server's administration are in the templates instead.
func (p *manualPage) commands(ctx context.Context, target FileTarget) {
	if !slices.Contains([]string{"nginx", "apache", "haproxy", "files"}, target.Name()) {
		return
	}
	tests, reloads := &dictation{}, &dictation{}
	// What needs an answer of the host ends there; the commands so far stand.
	_, _ = target.Test(ctx, tests)
	_, _ = target.Reload(ctx, reloads)
	p.Tests, p.Reloads = tests.commands, reloads.commands
}

// dictation is a machine without files that writes commands down instead of
// running them.
type dictation struct {
	transport.Transport
	commands [][]string
}

func (d *dictation) Run(_ context.Context, argv []string, _ []byte) (transport.Output, error) {
	d.commands = append(d.commands, argv)
	return transport.Output{}, nil
}

func (d *dictation) ReadFile(context.Context, string) ([]byte, transport.FileInfo, error) {
	return nil, transport.FileInfo{}, fs.ErrNotExist
}

func (d *dictation) Stat(context.Context, string) (transport.FileInfo, error) {
	return transport.FileInfo{}, fs.ErrNotExist
}

func (d *dictation) List(context.Context, string) ([]string, error) { return nil, fs.ErrNotExist }

var errNoRoom = errors.New("nothing can be written here")

func (d *dictation) Stage(context.Context, string, []byte, transport.Attributes) (transport.Staged, error) {
	return transport.Staged{}, errNoRoom
}

func (d *dictation) Rename(context.Context, transport.Staged) error { return errNoRoom }

func (d *dictation) Remove(context.Context, string) error { return errNoRoom }

func (d *dictation) Check(context.Context, string) error { return nil }

func (d *dictation) Close() error { return nil }

// manualFunctions write values so that a shell takes them for what they are.
func manualFunctions() template.FuncMap {
	return template.FuncMap{
		"sh":   func(word string) string { return shellWord(word) },
		"ps":   func(word string) string { return "'" + strings.ReplaceAll(word, "'", "''") + "'" },
		"line": func(argv any) string { return strings.Join(eachWord(argv, shellWord), " ") },
		"psline": func(argv any) string {
			return "& " + strings.Join(eachWord(argv, func(word string) string { return "'" + strings.ReplaceAll(word, "'", "''") + "'" }), " ")
		},
		"part": func(options map[string]any, name string) map[string]any {
			inner, _ := options[name].(map[string]any)
			return inner
		},
		"certificates": countBlocks,
	}
}

func eachWord(argv any, quote func(string) string) []string {
	var words []string
	switch list := argv.(type) {
	case []string:
		for _, word := range list {
			words = append(words, quote(word))
		}
	case []any:
		for _, word := range list {
			words = append(words, quote(fmt.Sprint(word)))
		}
	}
	return words
}

// shellWord quotes a word for sh where that is needed.
func shellWord(word string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,+@%="
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// countBlocks counts the certificates in a PEM text.
func countBlocks(text string) int {
	count, rest := 0, []byte(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return count
		}
		count++
	}
}

// tidyLines takes out what conditions in templates leave over.
func tidyLines(text string) string {
	for strings.Contains(text, "\n\n\n") {
		text = strings.ReplaceAll(text, "\n\n\n", "\n\n")
	}
	return strings.TrimSpace(text) + "\n"
}
