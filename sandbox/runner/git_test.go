package runner

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session/sessiontest"
)

// fakeGit is a script in the place of git.
func fakeGit(t *testing.T, dir, script string) git {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "git"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return newGit(dir, os.Environ(), &sessiontest.Clock{})
}

// What git has said when it ends is all of it, whatever it leaves behind that could say more; of what is passed on while it comes, such as a bundle, nobody
// knows then, so it must not look whole.
func TestGitLeavesSomethingBehind(t *testing.T) {
	dir := t.TempDir()
	g := fakeGit(t, dir, "sleep 1000 &\necho $! >> "+dir+"/pids\necho all of it\n")
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

// Git may say more than anybody wants to read: of its messages the end is kept, and of an answer that is too long nothing.
func TestGitSaysTooMuch(t *testing.T) {
	g := fakeGit(t, t.TempDir(), `for last; do :; done
case $last in
fail) head -c 1000000 /dev/zero | tr '\0' x >&2; echo >&2; echo no such thing >&2; exit 3 ;;
more) truncate -s 64M /dev/stdout; echo more ;;
esac
`)
	_, err := g.run(t.Context(), "fail")
	if said := gitOutput(err); exitOf(err) != 3 || !strings.HasSuffix(said, "x no such thing") || len(said) > tailSize {
		t.Errorf("exit %d, %d bytes, which end %q", exitOf(err), len(said), said[max(0, len(said)-40):])
	}
	if said, err := g.run(t.Context(), "more"); said != "" || err == nil || err.Error() != "git more: it printed more than 64 MiB" {
		t.Errorf("%d bytes, %v", len(said), err)
	}
}

// A bundle for somebody who is connected and takes nothing fails when its time is over.
func TestBundleThatNobodyTakes(t *testing.T) {
	g := fakeGit(t, t.TempDir(), "exec yes")
	const token = "a link's token"
	done := make(chan error, 1)
	answer := func(w http.ResponseWriter, q *http.Request) {
		ctx, cancel := context.WithTimeout(q.Context(), 300*time.Millisecond)
		defer cancel()
		_, err := g.sendBundle(ctx, w, nil)
		done <- err
		panic(http.ErrAbortHandler)
	}
	srv := httptest.NewServer(link.Authenticate(link.HashToken(token), http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if _, err := link.Accept(w, q, http.HandlerFunc(answer)); err != nil {
			t.Error(err)
		}
	})))
	defer srv.Close()
	l, err := link.Dial(t.Context(), link.DialOptions{URL: srv.URL, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://runner/bundle", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := l.Stream(req); err == nil { // else its time was over before it began
		defer resp.Body.Close()
	}
	select {
	case err := <-done:
		if err == nil {
			t.Error("it passes for all of it")
		}
	case <-time.After(time.Minute):
		t.Error("it is still being written")
	}
}
