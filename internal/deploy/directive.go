package deploy

import (
	"path"
	"strings"
)

// directive is one statement of a server's configuration, with those in its
// block.
type directive struct {
	words []string // the name first
	raw   string   // as it stands there, of Apache's
	block []*directive
	file  string
	line  int
}

// is compares the name; servers that ignore case have it in small letters.
func (d *directive) is(name string) bool { return len(d.words) > 0 && d.words[0] == name }

// argument is the first one, or empty.
func (d *directive) argument() string {
	if len(d.words) < 2 {
		return ""
	}
	return d.words[1]
}

// matches tells whether a path fits a pattern of an include, which has wildcards
// in any element.
func matches(pattern, file string) bool {
	pattern, file = clean(pattern), clean(file)
	if pattern == file {
		return true
	}
	ok, err := path.Match(pattern, file)
	return err == nil && ok
}

// inDirectory makes a path absolute, and one of Windows as that system writes it.
func inDirectory(directory, file string) string {
	if !absolute(file) && file != "" {
		file = below(strings.TrimSuffix(directory, "/"), file)
	}
	if windows(file) {
		file = strings.ReplaceAll(file, "/", `\`)
	}
	return file
}
