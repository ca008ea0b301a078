package convention

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strings"
)

const maxLines = 500

// goFile is one parsed file of the tree.
type goFile struct {
	path   string // slash-separated, from the root
	source []byte
	syntax *ast.File
	set    *token.FileSet
}

func (f goFile) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

// goFiles parses all Go files but those of folders that hold other things:
// caches, build results, test data.
func goFiles(tree fs.FS) ([]goFile, error) {
	var files []goFile
	set := token.NewFileSet()
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if base := entry.Name(); entry.IsDir() {
			if name != "." && (base[0] == '.' || slices.Contains([]string{"bin", "dist", "testdata"}, base)) {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		source, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		syntax, err := parser.ParseFile(set, name, source, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, goFile{name, source, syntax, set})
		return nil
	})
	return files, err
}

// undocumented complains about packages without a comment that begins with
// "Package name" or, for commands, "Command". The comment stands outside test
// files unless there are no others.
func undocumented(tree fs.FS) ([]string, error) {
	files, err := goFiles(tree)
	if err != nil {
		return nil, err
	}
	type state struct{ documented, testsOnly bool }
	packages := map[string]state{}
	for _, f := range files {
		dir, name := path.Dir(f.path), f.syntax.Name.Name
		if strings.HasSuffix(name, "_test") {
			continue
		}
		s, known := packages[dir]
		if !known {
			s.testsOnly = true
		}
		if s.testsOnly && !f.isTest() {
			s = state{}
		}
		if s.testsOnly == f.isTest() {
			want := "Package " + name + " "
			if name == "main" {
				want = "Command "
			}
			s.documented = s.documented || strings.HasPrefix(f.syntax.Doc.Text(), want)
		}
		packages[dir] = s
	}
	var complaints []string
	for dir, s := range packages {
		if !s.documented {
			complaints = append(complaints, dir+": no package comment says what the package is for")
		}
	}
	return complaints, nil
}

// sleeping complains about every use of time.Sleep, tests included: a wait
// selects on its context, and a test waits for what it needs.
func sleeping(tree fs.FS) ([]string, error) {
	files, err := goFiles(tree)
	if err != nil {
		return nil, err
	}
	var complaints []string
	for _, f := range files {
		name := importName(f.syntax, "time")
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			selector, ok := n.(*ast.SelectorExpr)
			if !ok || selector.Sel.Name != "Sleep" {
				return true
			}
			if pkg, ok := selector.X.(*ast.Ident); ok && name != "" && pkg.Name == name {
				complaints = append(complaints, fmt.Sprintf("%s: time.Sleep", f.set.Position(n.Pos())))
			}
			return true
		})
	}
	return complaints, nil
}

// importName is what a file calls the package, or "".
func importName(file *ast.File, imported string) string {
	for _, spec := range file.Imports {
		if spec.Path.Value != `"`+imported+`"` {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(imported)
	}
	return ""
}

// overlong complains about files that people wrote and nobody can oversee.
func overlong(tree fs.FS) ([]string, error) {
	files, err := goFiles(tree)
	if err != nil {
		return nil, err
	}
	var complaints []string
	for _, f := range files {
		lines := bytes.Count(f.source, []byte("\n"))
		if lines > maxLines && !ast.IsGenerated(f.syntax) {
			complaints = append(complaints, fmt.Sprintf("%s: %d lines, the most is %d", f.path, lines, maxLines))
		}
	}
	return complaints, nil
}
