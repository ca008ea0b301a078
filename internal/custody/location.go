package custody

import (
	"errors"
	"path/filepath"
)

const folderName = "terraform-provider-certificate"

// DefaultDirectory returns the folder used when the configuration names none:
// "terraform-provider-certificate" under $XDG_STATE_HOME, else under
// ~/.local/state, else under %LOCALAPPDATA%. A relative XDG_STATE_HOME counts
// as unset, as the XDG base directory specification demands.
func DefaultDirectory(getenv func(string) string) (string, error) {
	if state := getenv("XDG_STATE_HOME"); filepath.IsAbs(state) {
		return filepath.Join(state, folderName), nil
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", folderName), nil
	}
	if local := getenv("LOCALAPPDATA"); filepath.IsAbs(local) {
		return filepath.Join(local, folderName), nil
	}
	return "", errors.New("no place for the storage: neither XDG_STATE_HOME nor HOME names a directory; set storage.directory.path")
}

// Ephemeral says whether the environment is that of a CI job, whose disk is
// usually gone after the run, and names the CI system for a message.
func Ephemeral(getenv func(string) string) (system string, ok bool) {
	for _, ci := range []struct{ variable, name string }{
		{"GITHUB_ACTIONS", "GitHub Actions"},
		{"GITLAB_CI", "GitLab CI"},
		{"TF_BUILD", "Azure Pipelines"},
		{"JENKINS_URL", "Jenkins"},
		{"CIRCLECI", "CircleCI"},
		{"BUILDKITE", "Buildkite"},
		{"BITBUCKET_BUILD_NUMBER", "Bitbucket Pipelines"},
		{"CODEBUILD_BUILD_ID", "AWS CodeBuild"},
		{"TEAMCITY_VERSION", "TeamCity"},
		{"DRONE", "Drone"},
		{"TFC_RUN_ID", "HCP Terraform"},
		{"CI", "a CI system"},
	} {
		switch getenv(ci.variable) {
		case "", "0", "false", "False":
		default:
			return ci.name, true
		}
	}
	return "", false
}
