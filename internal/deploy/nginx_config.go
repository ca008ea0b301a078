package deploy

import (
	"errors"
	"fmt"
	"strings"
)

// deepest bounds blocks and includes within each other.
const deepest = 64

var errNginxSyntax = errors.New("not the syntax of nginx")

// nginxReader takes a configuration apart as nginx does.
type nginxReader struct {
	text string
	at   int
	line int
	file string
}

// readNginx reads one file.
func readNginx(file, text string) ([]*directive, error) {
	r := &nginxReader{text: text, line: 1, file: file}
	all, err := r.block(0)
	if err == nil && r.at < len(r.text) {
		err = fmt.Errorf("%w: a } too many", errNginxSyntax)
	}
	if err != nil {
		return nil, fmt.Errorf("%s:%d: %w", file, r.line, err)
	}
	return all, nil
}

// block reads statements up to the end of the text or, within a block, its }.
func (r *nginxReader) block(depth int) ([]*directive, error) {
	if depth > deepest {
		return nil, fmt.Errorf("%w: blocks are nested too deep", errNginxSyntax)
	}
	var all []*directive
	current := &directive{file: r.file}
	for {
		word, special, ok := r.word()
		switch {
		case !ok && len(current.words) > 0, !ok && depth > 0:
			return nil, fmt.Errorf("%w: the end comes too early", errNginxSyntax)
		case !ok:
			return all, nil
		case !special:
			if len(current.words) == 0 {
				current.line = r.line
			}
			current.words = append(current.words, word)
			continue
		case word == "}":
			if len(current.words) > 0 {
				return nil, fmt.Errorf("%w: a ; is missing", errNginxSyntax)
			}
			if depth == 0 {
				return nil, fmt.Errorf("%w: a } too many", errNginxSyntax)
			}
			return all, nil
		case len(current.words) == 0:
			return nil, fmt.Errorf("%w: a %s without a name", errNginxSyntax, word)
		case word == "{" && strings.HasSuffix(current.words[0], "_by_lua_block"):
			r.skip()
		case word == "{":
			inner, err := r.block(depth + 1)
			if err != nil {
				return nil, err
			}
			current.block = inner
		}
		all = append(all, current)
		current = &directive{file: r.file}
	}
}

// word returns the next word, or one of ; { } as special.
func (r *nginxReader) word() (word string, special, ok bool) {
	r.space()
	if r.at == len(r.text) {
		return "", false, false
	}
	switch c := r.text[r.at]; c {
	case ';', '{', '}':
		r.at++
		return string(c), true, true
	case '"', '\'':
		r.at++
		return r.until(func(at byte) bool { return at == c }, true), false, true
	}
	return r.until(func(at byte) bool { return strings.IndexByte(" \t\r\n;{", at) >= 0 }, false), false, true
}

// until reads up to a byte that ends a word; a quote at the end is passed over.
func (r *nginxReader) until(ends func(byte) bool, quoted bool) string {
	var word strings.Builder
	for r.at < len(r.text) {
		c := r.text[r.at]
		switch {
		case c == '\\' && r.at+1 < len(r.text):
			r.at++
			word.WriteByte(r.text[r.at])
		case !quoted && c == '$' && strings.HasPrefix(r.text[r.at:], "${"):
			word.WriteString("${")
			r.at++
		case ends(c):
			if quoted {
				r.at++
			}
			return word.String()
		default:
			word.WriteByte(c)
		}
		if r.text[r.at] == '\n' {
			r.line++
		}
		r.at++
	}
	return word.String()
}

// space passes over what is between words, comments too.
func (r *nginxReader) space() {
	for ; r.at < len(r.text); r.at++ {
		switch r.text[r.at] {
		case '\n':
			r.line++
		case ' ', '\t', '\r':
		case '#':
			for r.at+1 < len(r.text) && r.text[r.at+1] != '\n' {
				r.at++
			}
		default:
			return
		}
	}
}

// skip passes over a block in another language, up to its }.
func (r *nginxReader) skip() {
	for open := 1; r.at < len(r.text) && open > 0; r.at++ {
		switch r.text[r.at] {
		case '{':
			open++
		case '}':
			open--
		case '\n':
			r.line++
		}
	}
}
