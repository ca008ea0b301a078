package provider_test

import (
	"os"
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
