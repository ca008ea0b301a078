package main

import (
	"os"
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
