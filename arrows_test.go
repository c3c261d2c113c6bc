package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pkg is what `go list` tells of a package.
type pkg struct {
	ImportPath   string
	Dir          string
	Doc          string
	GoFiles      []string
	TestGoFiles  []string
	XTestGoFiles []string
	Imports      []string
	Deps         []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Doc,GoFiles,TestGoFiles,XTestGoFiles,Imports,Deps", "./...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// under reports whether path is the package prefix or lies below it.
func under(path, prefix string) bool { return path == prefix || strings.HasPrefix(path, prefix+"/") }

// forbidden are the arrows that must not be: no package under From imports anything under To.
var forbidden = []struct{ From, To, Why string }{
	{"openinspect/bot", "openinspect/sandbox", "Slack and sandboxes meet in the session, not in each other"},
	{"openinspect/bot", "openinspect/github", "Slack and GitHub meet in the session"},
	{"openinspect/bot", "openinspect/web-lite", "the thread and the page are two readers of one log"},
	{"openinspect/sandbox", "openinspect/bot", "a sandbox must not know where its prompts come from"},
	{"openinspect/sandbox", "openinspect/github", "what a sandbox needs of GitHub it asks through its own interface"},
	{"openinspect/sandbox", "openinspect/web-lite", "the page reads the log"},
	{"openinspect/github", "openinspect/bot", "GitHub and Slack meet in the session"},
	{"openinspect/github", "openinspect/sandbox", "a bundle is bytes; where they come from is not GitHub's business"},
	{"openinspect/github", "openinspect/web-lite", "the page reads the log"},
	{"openinspect/web-lite", "openinspect/bot", "the page and the thread are two readers of one log"},
	{"openinspect/web-lite", "openinspect/sandbox", "the page reads the log"},
	{"openinspect/web-lite", "openinspect/github", "the page reads the log"},
	{"openinspect/sandbox/runner", "openinspect/sandbox/local", "a runner does not know which provider started it"},
	{"openinspect/sandbox/runner", "openinspect/sandbox/gateway", "the runner talks to the gateway over the link"},
	{"openinspect/sandbox/gateway", "openinspect/sandbox/runner", "the gateway talks to the runner over the link"},
	{"openinspect/sandbox/link", "openinspect/sandbox/runner", "the link does not know who uses it"},
	{"openinspect/sandbox/link", "openinspect/sandbox/gateway", "the link does not know who uses it"},
	{"openinspect", "openinspect/github/githubtest/openapi", "it judges tests of GitHub; the demo has the double without it"},
}

// doors are the SDKs that one package alone may import (its doubles and tests apart).
var doors = []struct{ SDK, Door string }{
	{"github.com/slack-go/slack", "openinspect/bot"},
	{"github.com/google/go-github", "openinspect/github"},
	{"github.com/bradleyfalzon/ghinstallation", "openinspect/github"},
	{"go.etcd.io/bbolt", "openinspect/session/boltdb"},
	{"github.com/modal-labs", "openinspect/sandbox/modal"},
	{"github.com/hashicorp/yamux", "openinspect/sandbox/link"},
	{"github.com/modelcontextprotocol/go-sdk", "openinspect/sandbox/runner"},
	{"github.com/anthropics/anthropic-sdk-go", "openinspect/session/model/classify"},
}

// double reports whether a package is a double: it stands for the outside world and production code must not link it, the demo apart.
func double(path string) bool { return strings.HasSuffix(path, "test") && path != "openinspect" }

func TestArrows(t *testing.T) {
	for _, p := range packages(t) {
		for _, imported := range p.Imports {
			for _, f := range forbidden {
				if under(p.ImportPath, f.From) && under(imported, f.To) && !double(p.ImportPath) {
					t.Errorf("%s imports %s: %s", p.ImportPath, imported, f.Why)
				}
			}
			for _, d := range doors {
				if under(imported, d.SDK) && p.ImportPath != d.Door && !double(p.ImportPath) {
					t.Errorf("%s imports %s: its one door is %s", p.ImportPath, imported, d.Door)
				}
			}
			if double(imported) && !double(p.ImportPath) && p.ImportPath != "openinspect" {
				t.Errorf("%s imports the double %s: only tests and the demo may", p.ImportPath, imported)
			}
			if p.ImportPath == "openinspect/session" && strings.Contains(imported, ".") || p.ImportPath == "openinspect/session" && under(imported, "openinspect") {
				t.Errorf("session imports %s: the ground stands on the standard library alone", imported)
			}
		}
	}
}

func TestEveryPackageIsIntroduced(t *testing.T) {
	for _, p := range packages(t) {
		if p.Doc == "" && len(p.GoFiles) > 0 {
			t.Errorf("%s has no doc comment", p.ImportPath)
		}
	}
}

// maxLines is how long a file may be; most are far shorter.
const maxLines = 500

func TestNoFileIsTooLong(t *testing.T) {
	for _, p := range packages(t) {
		for _, name := range slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles) {
			if n := lines(t, filepath.Join(p.Dir, name)); n > maxLines {
				t.Errorf("%s/%s has %d lines: split it by noun", p.ImportPath, name, n)
			}
		}
	}
}
