package lab

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
)

// mirrorVersion is the version the provider has in the lab.
const mirrorVersion = "0.1.0"

// writeMirror makes a filesystem mirror with the provider for Terraform and
// OpenTofu in folder, and a CLI configuration, terraform.rc, that uses it. All
// other providers come from where they always come from.
func writeMirror(folder, provider string) error {
	mirror := filepath.Join(folder, "mirror")
	for _, host := range []string{"registry.terraform.io", "registry.opentofu.org"} {
		target := filepath.Join(mirror, host, "certiform", "certificate", mirrorVersion, runtime.GOOS+"_"+runtime.GOARCH)
		if err := os.MkdirAll(target, 0o755); err != nil {
			return fmt.Errorf("create the provider mirror: %w", err)
		}
		if err := copyProgram(provider, filepath.Join(target, "terraform-provider-certificate_v"+mirrorVersion)); err != nil {
			return fmt.Errorf("copy the provider into the mirror: %w", err)
		}
	}
	config := fmt.Sprintf(`provider_installation {
  filesystem_mirror {
    path    = %q
    include = ["registry.terraform.io/certiform/certificate", "registry.opentofu.org/certiform/certificate"]
  }
  direct {
    exclude = ["registry.terraform.io/certiform/certificate", "registry.opentofu.org/certiform/certificate"]
  }
}
disable_checkpoint = true
`, mirror)
	if err := os.WriteFile(filepath.Join(folder, "terraform.rc"), []byte(config), 0o600); err != nil {
		return fmt.Errorf("write Terraform's configuration: %w", err)
	}
	return nil
}

func copyProgram(from, to string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(target, source); err != nil {
		_ = target.Close()
		return err
	}
	return target.Close()
}
