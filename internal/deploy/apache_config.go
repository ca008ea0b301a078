package deploy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
)

// apacheConfig reads the configuration files of an Apache on a machine.
type apacheConfig struct {
	machine transport.Transport
	root    string            // ServerRoot
	defined map[string]string // by Define
}

var errApacheSyntax = errors.New("not the syntax of Apache")

// readApache reads one file: names of directives in small letters, and sections
// as directives with a block.
func readApache(file, text string) ([]*directive, error) {
	open := []*directive{{}}
	line := 0
	var before strings.Builder
	for raw := range strings.Lines(text) {
		line++
		raw = strings.TrimRight(raw, "\r\n")
		if kept, ok := strings.CutSuffix(raw, `\`); ok {
			before.WriteString(kept)
			continue
		}
		statement := strings.TrimSpace(before.String() + raw)
		before.Reset()
		if statement == "" || statement[0] == '#' {
			continue
		}
		inner := open[len(open)-1]
		if name, ok := strings.CutPrefix(statement, "</"); ok {
			name = strings.ToLower(strings.TrimSpace(strings.TrimSuffix(name, ">")))
			if len(open) == 1 || !inner.is(name) {
				return nil, fmt.Errorf("%s:%d: %w: </%s> closes nothing", file, line, errApacheSyntax, name)
			}
			open = open[:len(open)-1]
			continue
		}
		section := strings.HasPrefix(statement, "<")
		if section {
			statement = strings.TrimSuffix(statement[1:], ">")
		}
		words := apacheWords(statement)
		if len(words) == 0 {
			return nil, fmt.Errorf("%s:%d: %w: a section without a name", file, line, errApacheSyntax)
		}
		words[0] = strings.ToLower(words[0])
		one := &directive{words: words, raw: statement, file: file, line: line}
		inner.block = append(inner.block, one)
		if section {
			open = append(open, one)
		}
		if len(open) > deepest {
			return nil, fmt.Errorf("%s:%d: %w: sections are nested too deep", file, line, errApacheSyntax)
		}
	}
	if len(open) > 1 {
		return nil, fmt.Errorf("%s: %w: <%s> is not closed", file, errApacheSyntax, open[len(open)-1].words[0])
	}
	return open[0].block, nil
}

// apacheWords splits a statement; words can be in quotes.
func apacheWords(statement string) []string {
	var words []string
	for statement = strings.TrimSpace(statement); statement != ""; statement = strings.TrimSpace(statement) {
		if quote := statement[0]; quote == '"' || quote == '\'' {
			if end := strings.IndexByte(statement[1:], quote); end >= 0 {
				words, statement = append(words, statement[1:end+1]), statement[end+2:]
				continue
			}
		}
		end := strings.IndexAny(statement, " \t")
		if end < 0 {
			end = len(statement)
		}
		words, statement = append(words, statement[:end]), statement[end:]
	}
	return words
}

// load reads one file of the machine.
func (c *apacheConfig) load(ctx context.Context, file string) ([]*directive, error) {
	text, _, err := c.machine.ReadFile(ctx, file)
	if err != nil {
		return nil, err
	}
	return readApache(file, string(text))
}

// expand puts in place of each include what it includes, and of each condition
// what it holds: IfDefine is decided, other conditions are taken to be met unless
// they are negated.
func (c *apacheConfig) expand(ctx context.Context, all []*directive, depth int) ([]*directive, error) {
	if depth > deepest {
		return nil, fmt.Errorf("%w: files include each other", errApacheSyntax)
	}
	var out []*directive
	for _, one := range all {
		var inner []*directive
		switch {
		case one.is("ifdefine"):
			name, negated := strings.CutPrefix(one.argument(), "!")
			if _, defined := c.defined[name]; defined != negated {
				inner = one.block
			}
		case one.is("ifmodule") || one.is("ifversion") || one.is("iffile") || one.is("ifdirective") || one.is("ifsection"):
			if !strings.HasPrefix(one.argument(), "!") {
				inner = one.block
			}
		case one.is("include") || one.is("includeoptional"):
			var err error
			if inner, err = c.include(ctx, one); err != nil {
				return nil, err
			}
		default:
			out = append(out, one)
			continue
		}
		inner, err := c.expand(ctx, inner, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, inner...)
	}
	return out, nil
}

// include reads the files of an include: one, those of a directory, or those
// that fit a pattern.
func (c *apacheConfig) include(ctx context.Context, one *directive) ([]*directive, error) {
	pattern, err := c.path(one.argument())
	if err != nil {
		return nil, err
	}
	files, err := c.glob(ctx, pattern, 0)
	if err != nil {
		return nil, fmt.Errorf("%s:%d: %w", one.file, one.line, err)
	}
	var out []*directive
	for _, file := range files {
		all, err := c.load(ctx, file)
		if errors.Is(err, fs.ErrNotExist) && one.is("includeoptional") {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, all...)
	}
	return out, nil
}

// glob lists the files that fit a pattern with wildcards in its elements.
func (c *apacheConfig) glob(ctx context.Context, pattern string, depth int) ([]string, error) {
	at := strings.IndexAny(pattern, "*?[")
	if at < 0 || depth > deepest {
		return []string{pattern}, nil
	}
	directory, _ := split(pattern[:at])
	element, rest, deeper := strings.Cut(pattern[len(directory):], "/")
	names, err := c.machine.List(ctx, directory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var files []string
	for _, name := range names {
		if !matches("/"+element, "/"+name) {
			continue
		}
		found := []string{below(directory, name)}
		if deeper {
			if found, err = c.glob(ctx, below(directory, name)+"/"+rest, depth+1); err != nil {
				return nil, err
			}
		}
		files = append(files, found...)
	}
	slices.Sort(files)
	return files, nil
}

// path makes the path in a directive one of the machine.
func (c *apacheConfig) path(text string) (string, error) {
	full := c.fill(text)
	if strings.Contains(full, "${") {
		return "", fmt.Errorf("%w: %s has a variable that is not defined by Define", ErrFind, text)
	}
	return inDirectory(c.root, full), nil
}

// fill puts in what Define defines.
func (c *apacheConfig) fill(text string) string {
	return regexp.MustCompile(`\$\{([^}]*)\}`).ReplaceAllStringFunc(text, func(variable string) string {
		if value, ok := c.defined[variable[2:len(variable)-1]]; ok {
			return value
		}
		return variable
	})
}
