package custody_test

import (
	"testing"

	"github.com/certiform/terraform-provider-certificate/internal/custody"
)

func TestDefaultDirectory(t *testing.T) {
	for _, c := range []struct {
		name string
		env  map[string]string
		want string // "" for an error
	}{
		{"the state home", map[string]string{"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/terraform-provider-certificate"},
		{"a relative state home counts as unset", map[string]string{"XDG_STATE_HOME": "x", "HOME": "/h"}, "/h/.local/state/terraform-provider-certificate"},
		{"the home", map[string]string{"HOME": "/h"}, "/h/.local/state/terraform-provider-certificate"},
		{"a profile without a home", map[string]string{"LOCALAPPDATA": "/l"}, "/l/terraform-provider-certificate"},
		{"nothing", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := custody.DefaultDirectory(func(name string) string { return c.env[name] })
			if got != c.want || (err != nil) != (c.want == "") {
				t.Errorf("DefaultDirectory() = %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestEphemeral(t *testing.T) {
	for _, c := range []struct {
		name string
		env  map[string]string
		want string
	}{
		{"a workstation", map[string]string{"HOME": "/h"}, ""},
		{"CI=false is a workstation", map[string]string{"CI": "false"}, ""},
		{"the particular name wins over CI", map[string]string{"CI": "true", "GITLAB_CI": "true"}, "GitLab CI"},
		{"GitHub", map[string]string{"GITHUB_ACTIONS": "true"}, "GitHub Actions"},
		{"Azure", map[string]string{"TF_BUILD": "True"}, "Azure Pipelines"},
		{"Jenkins", map[string]string{"JENKINS_URL": "https://ci.example/"}, "Jenkins"},
		{"any other", map[string]string{"CI": "1"}, "a CI system"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := custody.Ephemeral(func(name string) string { return c.env[name] })
			if got != c.want || ok != (c.want != "") {
				t.Errorf("Ephemeral() = %q, %t; want %q", got, ok, c.want)
			}
		})
	}
}
