package provider_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certiform/terraform-provider-certificate/internal/lab"
)

// Every example is valid Terraform for this provider.
func TestExamples_validate(t *testing.T) {
	t.Parallel()
	var examples []string
	for _, pattern := range []string{"../examples/*/*.tf", "../examples/*/*/*.tf"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		examples = append(examples, files...)
	}
	if len(examples) < 4 {
		t.Fatalf("only %d examples: %q", len(examples), examples)
	}
	c := newCLI(t, lab.Options{}, "")
	// The certificate that an example reads.
	if err := os.WriteFile(filepath.Join(c.folder, "shop.pem"), c.Roots, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range examples {
		if strings.HasPrefix(file, "../examples/delegation/") {
			continue // needs other providers, in a test of its own
		}
		t.Run(strings.TrimPrefix(file, "../examples/"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			config := string(text)
			if !strings.Contains(config, "required_providers") {
				config = header + config // part of a page that says it elsewhere
			}
			if err := os.WriteFile(filepath.Join(c.folder, "main.tf"), []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			if output, status := c.run("validate"); status != 0 {
				t.Error(output)
			}
		})
	}
}

// The quickstart's own test passes with terraform test in a lab, as a module's
// would.
func TestExamples_quickstartPassesTerraformTest(t *testing.T) {
	t.Parallel()
	c := newCLI(t, lab.Options{}, "")
	for _, name := range []string{"main.tf", "quickstart.tftest.hcl"} {
		text, err := os.ReadFile(filepath.Join("..", "examples", "quickstart", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(c.folder, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program := buildLab(t)
	c.extra = []string{`TF_VAR_reload_command=["` + program + `", "reload"]`}
	if output := c.must(0, "test"); !strings.Contains(output, "2 passed, 0 failed") {
		t.Error(output)
	}
}

// Examples that are stories run in the lab by one command, and end where they
// should.
func TestExamples_tellTheirStories(t *testing.T) {
	t.Parallel()
	provider, err := buildProvider()
	if err != nil {
		t.Fatal(err)
	}
	program := buildLab(t)
	for name, want := range map[string][]string{
		"paid-dv-renewal":     {"status       issuing", "status       issued", "terraform plan: nothing to do", "DNSPod DV  100 points"},
		"ov-with-letter":      {"document             open", "letter.docx, ", "organization_review  open", "Day 4:", "status       issued", "SecureSite OV  500 points"},
		"adopt-console-order": {"status       planned", "payment              open", "nothing was charged", "status       issued", "(console)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := exec.Command(program, "-provider", provider, "-commercial-ca", "--", filepath.Join("..", "examples", name, "run.sh"))
			output, err := command.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, output)
			}
			for _, words := range want {
				if !strings.Contains(string(output), words) {
					t.Errorf("no %q in\n%s", words, output)
				}
			}
		})
	}
}

// buildLab builds certificate-lab.
func buildLab(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "certificate-lab")
	if output, err := exec.Command("go", "build", "-o", program, "../internal/lab/cmd/certificate-lab").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return program
}
