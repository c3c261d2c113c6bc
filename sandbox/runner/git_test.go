package runner

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"openinspect/session/sessiontest"
)

// What git has said when it ends is all of it, whatever it leaves behind that could say more; of what is passed on while it comes, such as a bundle, nobody
// knows then, so it must not look whole.
func TestGitLeavesSomethingBehind(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\nsleep 1000 &\necho $! >> " + dir + "/pids\necho all of it\n"
	if err := os.WriteFile(filepath.Join(dir, "git"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	g := newGit(dir, os.Environ(), &sessiontest.Clock{})
	if said, err := g.run(t.Context(), "status"); said != "all of it" || err != nil {
		t.Errorf("it said %q, %v", said, err)
	}
	var out bytes.Buffer
	if _, err := g.call(t.Context(), gitCall{args: []string{"bundle"}, out: &out, timeout: time.Millisecond}); err == nil {
		t.Errorf("%q passes for all of it", out.String())
	}
	pids, err := os.ReadFile(filepath.Join(dir, "pids"))
	if err != nil || strings.Count(string(pids), "\n") != 2 {
		t.Fatalf("%q, %v", pids, err)
	}
	for pid := range strings.FieldsSeq(string(pids)) {
		n, err := strconv.Atoi(pid)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(n, syscall.SIGKILL); err != nil {
			t.Errorf("%d: %v", n, err)
		}
	}
}
