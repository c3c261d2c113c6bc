package github

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"

	gh "github.com/google/go-github/v66/github"

	"openinspect/github/githubtest"
)

// TestPermissions: README has the App given what the code asks for and nothing else, which is what the double's App has: there, every call needs what it
// needs on GitHub.
func TestPermissions(t *testing.T) {
	asked := map[string]string{"pull_requests": "write"} // people's tokens are made without a list: theirs is the App's
	for _, p := range []*gh.InstallationPermissions{readContents, writeContents, readMetadata, readPulls()} {
		b, err := json.Marshal(p)
		must(t, err)
		levels := map[string]string{}
		must(t, json.Unmarshal(b, &levels))
		for name, level := range levels {
			if asked[name] != "write" {
				asked[name] = level
			}
		}
	}
	readme, err := os.ReadFile("../README.md")
	must(t, err)
	_, step, _ := strings.Cut(string(readme), "\n4. *Repository permissions*:")
	step, _, _ = strings.Cut(step, " Nothing else.")
	given := map[string]string{}
	names := map[string]string{"Contents": "contents", "Pull requests": "pull_requests", "Checks": "checks", "Commit statuses": "statuses", "Metadata": "metadata"}
	for _, part := range regexp.MustCompile(`((?:\*\*[^*]+\*\*(?: and )?)+)\s+(read and write|read-only)`).FindAllStringSubmatch(step, -1) {
		for _, name := range strings.Split(strings.ReplaceAll(part[1], "**", ""), " and ") {
			given[names[name]] = map[string]string{"read and write": "write", "read-only": "read"}[part[2]]
		}
	}
	if !maps.Equal(given, asked) {
		t.Errorf("README says %v, and the code asks for %v", given, asked)
	}
	server := githubtest.New(githubtest.Config{})
	must(t, server.Start())
	defer server.Close()
	if has := server.App().Permissions; !maps.Equal(has, asked) {
		t.Errorf("the double's App has %v, and the code asks for %v", has, asked)
	}
}
