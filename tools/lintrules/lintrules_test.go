// Package lintrules proves that the linter's rules are in force: it plants
// violations in a small copy of the tree, runs golangci-lint with the real
// configuration, and compares what is reported with what was planted.
// Invariant: a rule of .golangci.yml that no case breaks fails this test.
package lintrules

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	module    = "github.com/certiform/terraform-provider-certificate"
	framework = "github.com/hashicorp/terraform-plugin-framework"
	lego      = "github.com/go-acme/lego/v4"
	postgres  = "github.com/jackc/pgx/v5"
	tencent   = "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/ssl/v20191205"
	tflog     = "github.com/hashicorp/terraform-plugin-log/tflog"
)

// leaf is a package below one of the module's. The one itself would import in a
// circle, because violations are planted there too.
func leaf(folder string) string { return module + "/" + folder + "/leaf" }

// violations are imports that exactly the named rule must report. Each file
// gets its own folder, so that packages exist which nobody thought of.
var violations = []struct{ rule, file, imports string }{
	{"main", "main.go", leaf("internal/order")},
	{"main", "main.go", "github.com/miekg/dns"},
	{"provider", "provider/new/x.go", leaf("dnsserver")},
	{"provider", "provider/x.go", leaf("dnsserver/client")},
	{"order", "internal/order/new/x.go", leaf("internal/issuer")},
	{"order", "internal/order/x.go", leaf("internal/custody")},
	{"order", "internal/order/x.go", "github.com/miekg/dns"},
	{"issuer", "internal/issuer/new/x.go", leaf("internal/deploy")},
	{"issuer", "internal/issuer/acme/x.go", leaf("internal/custody")},
	{"challenge", "internal/challenge/new/x.go", leaf("dnsserver")},
	{"challenge", "internal/challenge/x.go", leaf("internal/pki")},
	{"deploy", "internal/deploy/transport/x.go", leaf("internal/order")},
	{"deploy", "internal/deploy/x.go", leaf("internal/lifecycle")},
	{"custody", "internal/custody/new/x.go", leaf("internal/order")},
	{"kind", "internal/kind/new/x.go", leaf("internal/pki")},
	{"secret", "internal/secret/x.go", leaf("internal/pki")},
	{"lifecycle", "internal/lifecycle/new/x.go", "golang.org/x/sync/errgroup"},
	{"lifecycle", "internal/lifecycle/x.go", leaf("internal/pki")},
	{"pki", "internal/pki/new/x.go", "golang.org/x/crypto/ssh"},
	{"pki", "internal/pki/x.go", leaf("internal/lifecycle")},
	{"dnsserver", "dnsserver/new/x.go", leaf("internal/pki")},
	{"dnsserver", "dnsserver/cmd/certificate-dns/main.go", "github.com/spf13/cobra"},
	{"dnsserver", "dnsserver/postgres/new/x.go", leaf("internal/pki")},
	{"unlisted", "internal/novel/x.go", leaf("internal/pki")},
	{"lab", "examples/x.go", leaf("internal/lab")},
	{"only-main-serves", "examples/y.go", leaf("provider")},
	{"only-main-serves", "internal/lab/new/x.go", leaf("provider")},
	{"only-main-serves", "internal/order/x_test.go", leaf("provider")},
	{"lego", "provider/lego.go", lego + "/acme"},
	{"lego", "internal/issuer/other/x.go", lego + "/acme/api"},
	{"lego", "internal/deploy/x_test.go", lego + "/lego"},
	{"postgres", "provider/postgres_test.go", postgres},
	{"postgres", "internal/deploy/postgres.go", postgres + "/pgxpool"},
	{"postgres", "dnsserver/x_test.go", postgres},
	{"remote", "internal/deploy/remote.go", "github.com/pkg/sftp"},
	{"remote", "provider/remote_test.go", "github.com/Azure/go-ntlmssp"},
	{"tencentcloud", "provider/tencent.go", tencent},
	{"tencentcloud", "internal/issuer/acme/tencent.go", tencent},
	{"gmsm", "internal/deploy/sm2.go", "github.com/emmansun/gmsm/sm2"},
	{"gmsm", "internal/issuer/tencentcloud/sm2.go", "github.com/tjfoc/gmsm/gmtls"},
	{"framework", "internal/kind/framework.go", framework + "/resource"},
	{"framework", "internal/deploy/framework.go", framework + "/provider"},
	{"framework", "internal/challenge/framework_test.go", framework + "/datasource"},
	{"framework", "internal/custody/framework.go", framework + "-timeouts/resource/timeouts"},
	{"tflog", "internal/issuer/tflog.go", tflog},
	{"tflog", "internal/custody/tflog.go", tflog},
	{"schema", "internal/lifecycle/x_test.go", framework + "/types"},
	{"schema", "dnsserver/x_test.go", framework + "/resource/schema"},
}

// allowed are imports that no rule may report.
var allowed = []struct{ file, imports string }{
	{"main.go", module + "/provider"},
	{"main.go", "github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"},
	{"provider/x.go", leaf("internal/challenge")},
	{"provider/x.go", leaf("internal/custody")},
	{"provider/x.go", leaf("internal/deploy")},
	{"provider/x.go", leaf("internal/issuer/acme")},
	{"provider/x.go", leaf("internal/kind")},
	{"provider/x.go", leaf("internal/lifecycle")},
	{"provider/x.go", leaf("internal/order")},
	{"provider/x.go", leaf("internal/pki")},
	{"provider/x.go", framework + "/resource"},
	{"provider/x.go", framework + "-timeouts/resource/timeouts"},
	{"provider/x.go", tflog},
	{"provider/x_test.go", leaf("internal/lab")},
	{"internal/order/x.go", leaf("internal/lifecycle")},
	{"internal/order/x.go", leaf("internal/pki")},
	{"internal/order/x.go", "golang.org/x/sync/errgroup"},
	{"internal/order/x_test.go", leaf("internal/lab")},
	{"internal/issuer/x.go", leaf("internal/order")},
	{"internal/issuer/x.go", leaf("internal/kind")},
	{"internal/issuer/x.go", leaf("internal/lifecycle")},
	{"internal/issuer/x.go", framework + "/types"},
	{"internal/issuer/acme/x.go", lego + "/acme/api"},
	{"internal/issuer/acme/x.go", leaf("internal/challenge")},
	{"internal/issuer/tencentcloud/x.go", tencent},
	{"internal/challenge/x.go", leaf("dnsserver/client")},
	{"internal/challenge/x.go", leaf("internal/kind")},
	{"internal/challenge/x.go", lego + "/lego"},
	{"internal/deploy/x.go", leaf("internal/pki")},
	{"internal/deploy/x.go", leaf("internal/kind")},
	{"internal/deploy/x.go", framework + "/resource/schema"},
	{"internal/deploy/transport/x.go", "golang.org/x/crypto/ssh"},
	{"internal/deploy/transport/x.go", "github.com/pkg/sftp"},
	{"internal/deploy/transport/transporttest/x.go", "github.com/Azure/go-ntlmssp"},
	{"internal/deploy/tlcp/x.go", "github.com/emmansun/gmsm/sm4"},
	{"internal/custody/x.go", framework + "/provider/schema"},
	{"internal/custody/x.go", "filippo.io/age"},
	{"internal/custody/x.go", postgres},
	{"dnsserver/postgres/postgrestest/x.go", postgres},
	{"internal/kind/x.go", framework + "/attr"},
	{"internal/kind/x.go", framework + "/diag"},
	{"internal/kind/x.go", framework + "/schema/validator"},
	{"internal/pki/x.go", "github.com/emmansun/gmsm/sm2"},
	{"internal/pki/x.go", "github.com/pavlo-v-chernykh/keystore-go/v4"},
	{"internal/pki/x.go", "golang.org/x/net/idna"},
	{"internal/pki/x.go", "software.sslmate.com/src/go-pkcs12"},
	{"internal/lifecycle/x.go", "time"},
	{"dnsserver/x.go", "github.com/miekg/dns"},
	{"dnsserver/x.go", "go.etcd.io/bbolt"},
	{"dnsserver/postgres/x.go", postgres},
	{"dnsserver/cmd/certificate-dns/main.go", "github.com/hashicorp/hcl/v2/hclsimple"},
	{"dnsserver/x_test.go", leaf("internal/lab")},
	{"internal/lab/x.go", lego + "/lego"},
	{"internal/lab/x.go", leaf("dnsserver")},
	{"internal/lab/x.go", leaf("internal/deploy")},
	{"internal/lab/cmd/certificate-lab/main.go", leaf("internal/lab")},
	{"internal/novel/x_test.go", leaf("internal/lab")},
}

func TestRules_everyViolationIsReported(t *testing.T) {
	root := newTree(t)
	want := []string{}
	imports := map[string][]string{}
	for _, v := range violations {
		imports[v.file] = append(imports[v.file], v.imports)
		want = append(want, fmt.Sprintf("depguard %s %s %s", v.rule, v.file, v.imports))
	}
	writeImports(t, root, imports)
	writeFile(t, root, "internal/deploy/sleep/x.go", `// Package sleep waits without a context.
package sleep

import clock "time"

// Nap waits.
func Nap() { clock.Sleep(clock.Second) }
`)
	writeFile(t, root, "internal/lifecycle/now/x.go", `// Package now reads the clock where now should be a parameter.
package now

import "time"

// Now reads the clock.
func Now() time.Time { return time.Now() }
`)
	writeFile(t, root, "internal/deploy/waits_test.go", `package deploy

import "time"

func init() { time.Sleep(time.Second) }
`)
	want = append(want,
		"forbidigo clock.Sleep internal/deploy/sleep/x.go",
		"forbidigo time.Sleep internal/deploy/waits_test.go",
		"forbidigo time.Now internal/lifecycle/now/x.go",
		"gochecknoinits internal/deploy/waits_test.go",
	)
	got := lint(t, root)
	slices.Sort(want)
	if missing := without(want, got); len(missing) > 0 {
		t.Errorf("not reported:\n%s", strings.Join(missing, "\n"))
	}
	if excess := without(got, want); len(excess) > 0 {
		t.Errorf("reported, but not planted:\n%s", strings.Join(excess, "\n"))
	}
}

func TestRules_everyRuleIsBroken(t *testing.T) {
	config, err := os.ReadFile(filepath.Join("..", "..", ".golangci.yml"))
	if err != nil {
		t.Fatal(err)
	}
	_, rules, found := strings.Cut(string(config), "\n    depguard:\n      rules:\n")
	if !found {
		t.Fatal(".golangci.yml has no depguard rules where this test looks for them")
	}
	broken := map[string]bool{}
	for _, v := range violations {
		broken[v.rule] = true
	}
	for _, rule := range regexp.MustCompile(`(?m)^        ([a-z-]+):$`).FindAllStringSubmatch(rules, -1) {
		if !broken[rule[1]] {
			t.Errorf("no case breaks the rule %s", rule[1])
		}
		delete(broken, rule[1])
	}
	for rule := range broken {
		t.Errorf("a case names the rule %s, which .golangci.yml does not have", rule)
	}
}

func TestRules_whatIsAllowedIsNotReported(t *testing.T) {
	root := newTree(t)
	imports := map[string][]string{}
	for _, a := range allowed {
		imports[a.file] = append(imports[a.file], a.imports)
	}
	writeImports(t, root, imports)
	if got := lint(t, root); len(got) > 0 {
		t.Errorf("reported in a clean tree:\n%s", strings.Join(got, "\n"))
	}
}

// newTree makes a module with the real name and the real linter configuration.
func newTree(t *testing.T) string {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(filepath.Join("..", "..", ".golangci.yml"))
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, root, ".golangci.yml", string(config))
	return root
}

// writeImports writes the files that import what they are given, and an empty
// package for every import, so that the tree compiles without a network.
func writeImports(t *testing.T, root string, imports map[string][]string) {
	t.Helper()
	stubs := map[string]bool{}
	for file, paths := range imports {
		var b strings.Builder
		name := packageName(file)
		if !strings.HasSuffix(file, "_test.go") {
			fmt.Fprintf(&b, "// Package %s is planted.\n", name)
		}
		fmt.Fprintf(&b, "package %s\n\n", name)
		for _, imported := range paths {
			fmt.Fprintf(&b, "import _ %q // planted\n\n", imported)
			stubs[imported] = true
		}
		if name == "main" {
			b.WriteString("func main() {}\n")
		}
		writeFile(t, root, file, strings.TrimRight(b.String(), "\n")+"\n")
	}
	var mod strings.Builder
	fmt.Fprintf(&mod, "module %s\n\ngo 1.26.0\n", module)
	for _, stub := range slices.Sorted(maps.Keys(stubs)) {
		text := fmt.Sprintf("// Package %s is a stand-in.\npackage %[1]s\n", packageName(stub+"/x.go"))
		switch {
		case !strings.Contains(stub, "."): // the standard library
		case strings.HasPrefix(stub, module):
			writeFile(t, root, strings.TrimPrefix(stub, module+"/")+"/stub.go", text)
		default: // each package a module of its own
			dir := path.Join("stubs", stub)
			writeFile(t, root, dir+"/go.mod", "module "+stub+"\n\ngo 1.26.0\n")
			writeFile(t, root, dir+"/stub.go", text)
			version := "v0.0.0"
			if major := regexp.MustCompile(`/v([0-9]+)$`).FindStringSubmatch(stub); major != nil {
				version = "v" + major[1] + ".0.0"
			}
			fmt.Fprintf(&mod, "\nrequire %s %s\n\nreplace %[1]s => ./%[3]s\n", stub, version, dir)
		}
	}
	writeFile(t, root, "go.mod", mod.String())
}

func packageName(file string) string {
	dir := path.Base(path.Dir(file))
	switch {
	case file == "main.go", strings.Contains(file, "cmd/"):
		return "main"
	case regexp.MustCompile(`^v[0-9]+$`).MatchString(dir):
		return dir + "major"
	}
	return regexp.MustCompile(`[^a-z0-9]`).ReplaceAllString(dir, "")
}

// lint returns one line for each issue: linter, rule or symbol, file, import.
func lint(t *testing.T, root string) []string {
	t.Helper()
	binary, err := filepath.Abs(filepath.Join("..", "..", ".cache", "bin", "golangci-lint"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "run", "--output.json.path", "stdout", "--output.text.path", "stderr", "--show-stats=false", "./...")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=mod")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var report struct {
		Issues []struct {
			FromLinter, Text string
			Pos              struct{ Filename string }
		}
	}
	if jsonErr := json.Unmarshal(out, &report); jsonErr != nil {
		t.Fatalf("golangci-lint (`make lint-rules` builds it): %v\n%s%s", err, out, stderr.Bytes())
	}
	depguard := regexp.MustCompile(`^import '(.*)' is not allowed from list '(.*?)'`)
	forbidden := regexp.MustCompile("^use of `(.*?)`")
	lines := []string{}
	for _, issue := range report.Issues {
		if issue.FromLinter == "goimports" {
			continue // it would gather the planted imports; layout is not the question here
		}
		text := issue.Text
		if m := depguard.FindStringSubmatch(text); m != nil {
			lines = append(lines, fmt.Sprintf("%s %s %s %s", issue.FromLinter, m[2], issue.Pos.Filename, m[1]))
		} else if m := forbidden.FindStringSubmatch(text); m != nil {
			lines = append(lines, fmt.Sprintf("%s %s %s", issue.FromLinter, m[1], issue.Pos.Filename))
		} else if issue.FromLinter == "gochecknoinits" {
			lines = append(lines, fmt.Sprintf("%s %s", issue.FromLinter, issue.Pos.Filename))
		} else {
			lines = append(lines, fmt.Sprintf("%s %s %s", issue.FromLinter, issue.Pos.Filename, text))
		}
	}
	slices.Sort(lines)
	return lines
}

func without(lines, known []string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return slices.Contains(known, line) })
}

func writeFile(t *testing.T, root, name, text string) {
	t.Helper()
	file := filepath.Join(root, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
