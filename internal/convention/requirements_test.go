package convention

import (
	"fmt"
	"go/ast"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

const (
	requirementsFile = "docs/design/requirements.md"
	faultsFile       = "docs/design/faults.md"
)

// requirements are the rows that the table of requirements must have.
func requirements() []string { return append(numbered("R", 26), numbered("B", 11)...) }

// faults are the rows that the tables of faults must have.
func faults() []string {
	return slices.Concat(numbered("", 36), numbered("C", 15), numbered("D", 8))
}

func numbered(prefix string, count int) []string {
	ids := make([]string, count)
	for n := range ids {
		ids[n] = fmt.Sprintf("%s%d", prefix, n+1)
	}
	return ids
}

// unproven complains about promises of the requirements without a test.
func unproven(tree fs.FS) ([]string, error) { return untested(tree, requirementsFile, requirements()) }

// uninjected complains about faults without a test.
func uninjected(tree fs.FS) ([]string, error) { return untested(tree, faultsFile, faults()) }

// untested complains about rows of a table that are missing, that neither name a
// test nor say that they are open, or that name one which does not exist. Of
// `TestX/sub` only TestX is looked for: subtests have names at run time only.
func untested(tree fs.FS, file string, known []string) ([]string, error) {
	text, err := fs.ReadFile(tree, file)
	if err != nil {
		return nil, err
	}
	tests, err := testFunctions(tree)
	if err != nil {
		return nil, err
	}
	var complaints []string
	seen := map[string]int{}
	for line := range strings.Lines(string(text)) {
		id, cell, ok := row(line)
		if !ok {
			continue
		}
		if !slices.Contains(known, id) {
			complaints = append(complaints, id+": there should be no such row")
		}
		if seen[id]++; seen[id] == 2 {
			complaints = append(complaints, id+": there is more than one row")
		}
		complaints = append(complaints, judge(id, cell, tests)...)
	}
	for _, id := range known {
		if seen[id] == 0 {
			complaints = append(complaints, id+": the row is missing")
		}
	}
	return complaints, nil
}

// row splits a row of a table into its number and its last cell.
func row(line string) (id, cell string, ok bool) {
	line = strings.TrimSpace(line)
	if !strings.HasPrefix(line, "|") || !strings.HasSuffix(line, "|") {
		return "", "", false
	}
	const bar = "\x00" // stands for a bar that is escaped, and so is text
	cells := strings.Split(strings.Trim(strings.ReplaceAll(line, `\|`, bar), "|"), "|")
	id = strings.TrimSpace(cells[0])
	if !regexp.MustCompile(`^[A-Z]?[0-9]+$`).MatchString(id) {
		return "", "", false
	}
	return id, strings.TrimSpace(strings.ReplaceAll(cells[len(cells)-1], bar, "|")), true
}

func judge(id, cell string, tests map[string]bool) []string {
	if cell == "open" {
		return nil
	}
	names := regexp.MustCompile("`([^`]*)`").FindAllStringSubmatch(cell, -1)
	if len(names) == 0 {
		return []string{fmt.Sprintf("%s: %q names no test in backticks and is not the word open", id, cell)}
	}
	var complaints []string
	for _, name := range names {
		function, _, _ := strings.Cut(name[1], "/")
		if !tests[function] {
			complaints = append(complaints, fmt.Sprintf("%s: there is no test %s", id, function))
		}
	}
	return complaints
}

// testFunctions are the tests and fuzz tests of all packages.
func testFunctions(tree fs.FS) (map[string]bool, error) {
	files, err := goFiles(tree)
	if err != nil {
		return nil, err
	}
	tests := map[string]bool{}
	for _, f := range files {
		if !f.isTest() {
			continue
		}
		for _, decl := range f.syntax.Decls {
			function, ok := decl.(*ast.FuncDecl)
			if ok && function.Recv == nil && regexp.MustCompile(`^(Test|Fuzz)`).MatchString(function.Name.Name) {
				tests[function.Name.Name] = true
			}
		}
	}
	return tests, nil
}
