package github

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"openinspect/github/githubtest"
	"openinspect/session"
)

// BenchmarkCollect brings twenty commits on a repository of 10,000 files from a checkout to GitHub, as the bot does (bundle, unpack, look through, push what
// was looked through, with tokens that are made for it and revoked) and as plain git does with nothing looked at (fetch from the checkout, push), in
// turn. The goal is a ratio of at most 3, of time by the wall; cpu-ratio is of the processor's time of all processes, GitHub's double included.
func BenchmarkCollect(b *testing.B) {
	w := newWorld(b)
	big := session.Repo{Owner: "acme", Name: "big"}
	name := func(i int) string { return fmt.Sprintf("pkg%02d/part%d/file%04d.go", i/100, i/10%10, i) }
	files := map[string]string{}
	for i := range 10_000 {
		files[name(i)] = "package part\n\n" + strings.Repeat(fmt.Sprintf("var line%d = 1 // of what a file has\n", i), 30)
	}
	if err := w.server.AddRepository(githubtest.Repository{Name: big.String(), Private: true, Files: files}); err != nil {
		b.Fatal(err)
	}
	ctx, url := b.Context(), w.github.CloneURL(big)
	token, revoke, err := w.github.mint(ctx, big, writeContents, time.Time{})
	if err != nil {
		b.Fatal(err)
	}
	defer revoke()
	git := func(args ...string) {
		b.Helper()
		cmd := exec.Command("git", args...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http."+url+".extraHeader", "GIT_CONFIG_VALUE_0="+basic(token))
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	git("clone", "--quiet", url, w.dir)
	author, _ := ada.Author()
	credit := session.Credit{CoAuthors: []session.Author{author}}
	for n := range 20 {
		for i := range 5 {
			path := name(n*500 + i*10)
			w.write(path, files[path]+fmt.Sprintf("\nvar changed = %d\n", n))
		}
		w.run("", "git", "add", "-A")
		w.write(".git/message", credit.Message(fmt.Sprintf("Change %d", n), author, string(id)))
		w.run(w.as(author), "git", "commit", "-q", "--cleanup=verbatim", "-F", ".git/message")
	}
	head := w.head()
	whole := filepath.Join(b.TempDir(), "whole.git") // what plain git has of the remote
	git("clone", "--quiet", "--bare", url, whole)

	n := 0
	plain, ours := cost{server: w.server}, cost{server: w.server}
	byGit := func() {
		dir, branch := filepath.Join(b.TempDir(), "plain.git"), fmt.Sprintf("plain-%d", n)
		git("clone", "--quiet", "--bare", "--shared", whole, dir)
		plain.add(b, func() {
			git("--git-dir="+dir, "fetch", "--quiet", w.dir, "HEAD:refs/heads/"+branch)
			git("--git-dir="+dir, "push", "--quiet", url, "refs/heads/"+branch)
		})
		if err := w.server.DeleteBranch(big.String(), branch, "ada"); err != nil {
			b.Fatal(err)
		}
	}
	byBot := func() {
		branch := fmt.Sprintf("inspect/ours-%d", n)
		ours.add(b, func() {
			c, err := w.github.Collect(ctx, session.CollectRequest{Session: id, Repo: big, Base: "main", Identities: []session.Author{author}, Credits: []session.Credit{credit}}, w.bundler)
			if err != nil || c == nil || c.Head != head || c.Commits != 20 || len(c.Files) != 100 {
				b.Fatalf("%+v %v", c, err)
			}
			if err := w.github.push(ctx, session.OpenRequest{Session: id, Repo: big, Branch: branch, Commit: head}); err != nil {
				b.Fatal(err)
			}
		})
		err := w.server.DeleteBranch(big.String(), branch, "ada")
		if err == nil {
			err = w.github.Sweep(ctx, func(session.ID) bool { return false }) // the next one is another session's
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	byBot() // makes the mirror
	ours = cost{server: w.server}
	for b.Loop() {
		n++
		byGit()
		byBot()
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(plain.wall.Milliseconds())/float64(b.N), "plain-ms")
	b.ReportMetric(float64(ours.wall.Milliseconds())/float64(b.N), "ours-ms")
	b.ReportMetric(float64(plain.calls)/float64(b.N), "plain-requests")
	b.ReportMetric(float64(ours.calls)/float64(b.N), "ours-requests")
	b.ReportMetric(float64(ours.cpu)/float64(plain.cpu), "cpu-ratio")
	b.ReportMetric(float64(ours.wall)/float64(plain.wall), "ratio")
}

// cost is what something took in all.
type cost struct {
	server    *githubtest.Server
	wall, cpu time.Duration
	calls     int // of GitHub, git's requests among them
}

func (c *cost) add(b *testing.B, f func()) {
	count := func() (n int) {
		for _, of := range c.server.Calls() {
			n += of
		}
		return n
	}
	calls, cpu, start := count(), cpuTime(b), time.Now()
	f()
	c.wall += time.Since(start)
	c.cpu += cpuTime(b) - cpu
	c.calls += count() - calls
}

// cpuTime is the processor's time of this process and of those that it waited for.
func cpuTime(b *testing.B) (sum time.Duration) {
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum
}
