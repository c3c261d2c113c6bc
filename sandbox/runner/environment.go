package runner

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"openinspect/sandbox/link"
)

// inherited are the variables of the runner's own environment that others in the sandbox get; nothing else of it is passed on.
var inherited = []string{"PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "TERM", "SSL_CERT_FILE", "SSL_CERT_DIR", "OPENINSPECT_SANDBOX"}

// paths are the places in a sandbox's directory.
type paths struct {
	dir, checkout, home, run string
	journals, inside         string
	gitconfig, models        string
	files                    string // that people attached
	due                      string // there as long as setup.sh has not been carried through
}

func pathsOf(b link.Boot) paths {
	p := paths{dir: b.Dir, checkout: filepath.Join(b.Dir, "checkout"), home: filepath.Join(b.Dir, "home"), run: filepath.Join(b.Dir, "run")}
	p.journals = filepath.Join(p.run, "journals")
	p.inside = filepath.Join(p.run, "inside.sock")
	p.gitconfig = filepath.Join(p.home, ".gitconfig")
	p.models = filepath.Join(p.run, "models.json")
	p.files = filepath.Join(p.dir, "files")
	p.due = filepath.Join(p.run, "setup-due")
	return p
}

// make makes the directories, and tidies up. run holds sockets and journals and is for this user alone.
func (p paths) make() error {
	for _, dir := range []string{p.checkout, p.home} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(p.run, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(p.run, 0o700); err != nil {
		return err
	}
	// A runner that was killed while it made a patch has left all that was not committed once more.
	entries, err := os.ReadDir(p.run)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), patchDir) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(p.run, e.Name())))
		}
	}
	return err
}

// environment is what the agent and the scripts run with: a few inherited words, the sandbox's home, and who they work for.
func environment(b link.Boot, p paths) []string {
	var env []string
	for _, name := range inherited {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	add := func(name, value string) {
		for _, kv := range env {
			if strings.HasPrefix(kv, name+"=") {
				return
			}
		}
		env = append(env, name+"="+value)
	}
	add("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	add("LANG", "C.UTF-8")
	add("TMPDIR", "/tmp")
	return append(env,
		"HOME="+p.home,
		"PAGER=cat",
		"GIT_TERMINAL_PROMPT=0",
		"GIT_LFS_SKIP_SMUDGE=1", // pointers stay as they are: a checkout must not fail for a file that cannot be had; git lfs pull works
		"OPENINSPECT_SESSION="+string(b.Session),
		"OPENINSPECT_REPOSITORY="+b.Repo.String(),
		"OPENINSPECT_BRANCH="+b.Base,
		"OPENINSPECT_BOOT_MODE="+string(b.Mode),
	)
}
