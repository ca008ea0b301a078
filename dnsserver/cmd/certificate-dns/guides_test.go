package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What the guides say to write into a configuration is good. A part of one is
// checked within the least that there has to be beside it.
func TestGuides_configurationsAreGood(t *testing.T) {
	const least = "listen = [\"127.0.0.1:0\"]\nstorage = \"records\"\nzone \"auth.example.net\" {\n  nameservers = [\"ns.example.org\"]\n}\n"
	files, err := filepath.Glob("../../../templates/guides/*.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOOK_KEY", "secret")
	blocks := regexp.MustCompile("(?s)```hcl\n(.*?)```")
	checked := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "certificate-dns") {
			continue
		}
		for _, block := range blocks.FindAllStringSubmatch(string(text), -1) {
			config := block[1]
			if !strings.Contains(config, "zone \"") {
				config = least + config
			}
			path := filepath.Join(t.TempDir(), "certificate-dns.hcl")
			if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := readConfig(path); err != nil {
				t.Errorf("%s: %v in\n%s", filepath.Base(file), err, config)
			}
			checked++
		}
	}
	if checked < 4 {
		t.Errorf("%d configurations checked, want all", checked)
	}
}

// The configurations of other servers in the guides are good too, as those
// servers themselves find.
func TestGuides_otherServersConfigurationsAreGood(t *testing.T) {
	text, err := os.ReadFile("../../../templates/guides/responder-secondaries.md")
	if err != nil {
		t.Fatal(err)
	}
	for language, check := range map[string]struct {
		program, debian string
		arguments       func(path string) []string
	}{
		"named": {"named-checkconf", "bind9-utils", func(path string) []string { return []string{path} }},
		"knot":  {"knotc", "knot", func(path string) []string { return []string{"-c", path, "conf-check"} }},
		"nsd":   {"nsd-checkconf", "nsd", func(path string) []string { return []string{path} }},
	} {
		t.Run(language, func(t *testing.T) {
			block := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindStringSubmatch(string(text))
			if block == nil {
				t.Fatal("the guide has none")
			}
			program := ""
			for _, folder := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
				if _, err := os.Stat(filepath.Join(folder, check.program)); err == nil {
					program = filepath.Join(folder, check.program)
				}
			}
			if program == "" {
				t.Skipf("%s is not installed: apt-get install -y --no-install-recommends %s", check.program, check.debian)
			}
			folder := t.TempDir()
			config := regexp.MustCompile(`"?/var/(lib|cache)/[a-z]+"?`).ReplaceAllString(block[1], `"`+folder+`"`)
			path := filepath.Join(folder, "conf")
			if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.CommandContext(t.Context(), program, check.arguments(path)...).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
