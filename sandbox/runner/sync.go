package runner

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"openinspect/session"
)

// cloneDepth is how many commits of the base branch a fresh checkout has. The bot's bundle route deepens it where that is too few.
const cloneDepth = "100"

// clonedKey marks, in the checkout's own configuration, a clone that was carried through.
const clonedKey = "inspect.cloned"

// pushRefusal is what git push is sent to instead of the repository: git prints it. A colon in it would make it an address.
const pushRefusal = "Nothing is pushed from a sandbox. Commit your work; commits are collected at the end of the turn, and pushed when a person approves. " +
	"To propose the pull request, call the tool inspect_propose_pull_request. "

// sync brings the checkout to where the boot mode wants it and returns a line about it. fatal tells whether the boot can go on.
func (r *runner) sync(ctx context.Context) (detail string, fatal bool, err error) {
	boot := r.cfg.Boot
	if err := r.writeGitConfig(); err != nil {
		return "", true, session.Wrap("runner.sync", err)
	}
	if boot.Repo == (session.Repo{}) {
		if r.git.gitDir(ctx) == "" {
			if _, err := r.git.run(ctx, "init", "--quiet", "-b", base(boot.Base), "."); err != nil {
				return "", true, gitFailed("The empty checkout could not be made.", err)
			}
			detail, err = r.patchUp(ctx, "no repository: an empty checkout")
			return detail, false, err
		}
		return "no repository: an empty checkout", false, nil
	}
	var old error // the checkout is not at the newest commit; what the session had goes on from where it is
	switch {
	case boot.Mode == session.BootImage:
		if detail, fatal, err = r.fromImage(ctx); err != nil && !fatal {
			old, err = err, nil
		}
	case r.cloned(ctx):
		detail, err = r.refresh(ctx)
		if boot.Mode == session.BootSnapshot && boot.Collected != "" && !boot.Anew && r.git.resolve(ctx, boot.Collected) == "" {
			detail, err = r.catchUp(ctx) // its files are older than what people have seen
			return detail, err != nil, err
		}
		if boot.Mode == session.BootSnapshot || err != nil {
			return detail, false, err
		}
	default:
		detail, err = r.clone(ctx)
		fatal = err != nil
	}
	if err == nil && boot.Collected != "" {
		detail, err = r.goOn(ctx, detail)
		fatal = err != nil
	}
	if err == nil {
		detail, err = r.patchUp(ctx, detail)
	}
	if err == nil {
		err = old
	}
	return detail, fatal, err
}

// fromImage moves a prebuilt image's checkout to the newest commit. That the repository cannot be reached is a warning, as it would be for any
// checkout; that the image is of no use is not: the bot begins again without it.
func (r *runner) fromImage(ctx context.Context) (detail string, fatal bool, err error) {
	if !r.cloned(ctx) {
		return "", true, session.Errorf(session.Invalid, "The image has no checkout of %s", r.cfg.Boot.Repo)
	}
	if detail, err = r.refresh(ctx); err == nil {
		return detail, false, nil
	}
	_, away := r.git.call(ctx, gitCall{timeout: fetchTimeout, args: []string{"ls-remote", "--exit-code", "origin", "refs/heads/" + base(r.cfg.Boot.Base)}})
	return "", away == nil, err
}

// cloned reports whether there is a checkout to keep. What a clone that broke off has left is not; it is removed before the next.
func (r *runner) cloned(ctx context.Context) bool {
	if r.git.gitDir(ctx) == "" {
		return false
	}
	if mark, err := r.git.run(ctx, "config", "--local", "--get", clonedKey); err == nil && mark == "true" {
		return true
	}
	// The agent can remove the mark. Where there may be work, whatever has a commit is kept.
	return r.cfg.Boot.Mode == session.BootSnapshot && r.git.resolve(ctx, "HEAD") != ""
}

func (r *runner) clone(ctx context.Context) (string, error) {
	boot := r.cfg.Boot
	for pause := time.Second; ; pause *= 3 {
		if err := empty(r.paths.checkout); err != nil {
			return "", session.Wrap("runner.clone", err)
		}
		_, err := r.git.call(ctx, gitCall{transfer: true, args: []string{
			"clone", "--depth", cloneDepth, "--branch", base(boot.Base), "--end-of-options", boot.CloneURL, "."}})
		if err == nil {
			break
		}
		if passing(err) == "" || pause > clonePause || !r.sleep(ctx, pause) {
			return r.cloneEmpty(ctx, err)
		}
	}
	// A clone with a depth follows one branch only. Any branch that the agent fetches must become a remote-tracking one, or its commits
	// would pass for the turn's own.
	for _, kv := range [][2]string{{"remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"}, {clonedKey, "true"}} {
		if _, err := r.git.run(ctx, "config", "--local", "--replace-all", kv[0], kv[1]); err != nil {
			return "", gitFailed("The repository was cloned but cannot be used.", err)
		}
	}
	return r.at(ctx), nil
}

// clonePause is the longest wait between two attempts to clone; the first is a second.
const clonePause = 10 * time.Second

// remoteStatus is how git tells that a remote answered with an error.
var remoteStatus = regexp.MustCompile(`returned error: (429|5\d\d)`)

// passing says what kept git from its remote, if that may be over in a moment; "" if it will not.
func passing(err error) string {
	e, ok := errors.AsType[*gitError](err)
	if !ok {
		return ""
	}
	if m := remoteStatus.FindStringSubmatch(e.stderr); m != nil {
		return "GitHub answered " + m[1]
	}
	for _, s := range []string{"early EOF", "unexpected disconnect", "hung up", "Empty reply", "reset by peer", "transfer closed", "too slow", "timed out"} {
		if strings.Contains(e.stderr, s) {
			return "the connection to GitHub broke off"
		}
	}
	return ""
}

// sleep waits, and reports whether ctx is still alive after it.
func (r *runner) sleep(ctx context.Context, d time.Duration) bool {
	over := make(chan struct{})
	stop := r.cfg.Clock.AfterFunc(d, func() { close(over) })
	defer stop()
	select {
	case <-over:
		return true
	case <-ctx.Done():
		return false
	}
}

// cloneEmpty looks into why a clone failed. A repository without any branch is no failure: there is nothing to clone yet.
func (r *runner) cloneEmpty(ctx context.Context, why error) (string, error) {
	boot := r.cfg.Boot
	heads, err := r.git.call(ctx, gitCall{timeout: fetchTimeout, args: []string{"ls-remote", "--heads", "--end-of-options", boot.CloneURL}})
	if err != nil {
		sentence := fmt.Sprintf("The repository %s could not be cloned.", boot.Repo)
		if p := passing(why); p != "" {
			sentence = fmt.Sprintf("The repository %s could not be cloned: %s.", boot.Repo, p)
		}
		return "", gitFailed(sentence, why)
	}
	if heads != "" {
		for line := range strings.Lines(heads) {
			if strings.HasSuffix(strings.TrimSpace(line), "\trefs/heads/"+base(boot.Base)) {
				return "", gitFailed(fmt.Sprintf("The repository %s could not be cloned.", boot.Repo), why)
			}
		}
		return "", &session.Error{Code: session.NotFound, Op: "runner.clone", Message: fmt.Sprintf("The repository %s has no branch %s.", boot.Repo, base(boot.Base)), Err: why}
	}
	if err := empty(r.paths.checkout); err != nil {
		return "", session.Wrap("runner.clone", err)
	}
	for _, args := range [][]string{
		{"init", "--quiet", "-b", base(boot.Base), "."},
		{"remote", "add", "origin", boot.CloneURL},
		{"config", "--local", clonedKey, "true"},
	} {
		if _, err := r.git.run(ctx, args...); err != nil {
			return "", gitFailed("The empty checkout could not be made.", err)
		}
	}
	return fmt.Sprintf("%s is empty: no branch, no commit", boot.Repo), nil
}

// fetch fetches the base branch, and returns the ref that has it.
func (r *runner) fetch(ctx context.Context) (remote string, err error) {
	boot := r.cfg.Boot
	remote = "refs/remotes/origin/" + base(boot.Base)
	// It may be called something else by now.
	if _, err := r.git.run(ctx, "config", "--local", "--replace-all", "remote.origin.url", boot.CloneURL); err != nil {
		return remote, gitFailed("The checkout's remote could not be set.", err)
	}
	// Without a depth: in a shallow checkout that fetches what is new, and moves no boundary under a session's own commits.
	args := []string{"fetch", "origin", "+refs/heads/" + base(boot.Base) + ":" + remote}
	// The fetch names the branch, so that a remote the agent reconfigured cannot move others.
	if _, err := r.git.call(ctx, gitCall{transfer: true, args: args}); err != nil {
		return remote, gitFailed(fmt.Sprintf("The newest commits of %s could not be fetched; the checkout is as it was.", boot.Repo), err)
	}
	return remote, nil
}

// refresh fetches the base branch, and moves the checkout to it unless there may be work in it: that of a prebuilt image, and what an earlier try has left.
func (r *runner) refresh(ctx context.Context) (string, error) {
	boot := r.cfg.Boot
	remote, err := r.fetch(ctx)
	if err != nil {
		if r.git.resolve(ctx, "HEAD") == "" && r.git.resolve(ctx, remote) == "" {
			return "still empty: no branch, no commit", nil
		}
		return "", err
	}
	if boot.Anew {
		return r.anew(ctx, remote)
	}
	if boot.Mode != session.BootSnapshot {
		if _, err := r.git.run(ctx, "reset", "--quiet", "--hard", remote); err != nil {
			return "", gitFailed("The checkout could not be moved to the newest commit; it is as it was.", err)
		}
	}
	return r.at(ctx), nil
}

// anew leaves what the session did, which is merged, for the newest commit of the base: after a squash its commits would count as new again. What is
// not committed is kept aside. It may be done again.
func (r *runner) anew(ctx context.Context, remote string) (string, error) {
	aside, err := r.putAside(ctx, "left when the pull request was merged")
	if err != nil {
		return "", err
	}
	if _, err := r.git.run(ctx, "checkout", "--quiet", "--force", "-B", base(r.cfg.Boot.Base), remote); err != nil {
		return "", gitFailed("The checkout could not be moved to the base's newest commit; it is as it was.", err)
	}
	for _, ref := range []string{headRef, collectedRef, answeredRef} {
		if _, err := r.git.run(ctx, "update-ref", "-d", ref); err != nil {
			return "", gitFailed("The checkout could not be moved to the base's newest commit.", err)
		}
	}
	return r.at(ctx) + aside, nil
}

// putAside stashes what is not committed, and returns a clause that says so.
func (r *runner) putAside(ctx context.Context, why string) (words string, err error) {
	status, err := r.git.run(ctx, "status", "--porcelain")
	if err != nil || status == "" {
		return "", nil
	}
	bot := r.cfg.Boot.Bot
	_, err = r.git.run(ctx, "-c", "user.name="+bot.Name, "-c", "user.email="+bot.Email, "stash", "push", "--quiet", "--include-untracked", "--message", why)
	if err != nil {
		return "", gitFailed("What is not committed could not be put aside; the checkout is as it was.", err)
	}
	return "; what was not committed is in git stash", nil
}

// at says where the checkout is: branch and commit.
func (r *runner) at(ctx context.Context) string {
	head := r.git.resolve(ctx, "HEAD")
	if head == "" {
		return "no commit yet"
	}
	branch, err := r.git.run(ctx, "symbolic-ref", "--short", "--quiet", "HEAD")
	if err != nil {
		branch = "detached"
	}
	return branch + " at " + head[:min(7, len(head))]
}

// writeGitConfig writes the user-wide configuration of git in the sandbox: our credential helper, where pushes go, and that the repository's host is
// read by HTTP, also where its address is one for ssh, which has no way out.
func (r *runner) writeGitConfig() error {
	var b strings.Builder
	helper := fmt.Sprintf("!%s runner git-credential --socket %s", shellQuote(r.cfg.Program), shellQuote(r.paths.inside))
	fmt.Fprintf(&b, "[credential]\n\thelper =\n\thelper = %s\n\tuseHttpPath = true\n", configQuote(helper))
	// A repository that gets another name leaves a redirect behind. By default git follows one that the very first request meets, which has no token.
	b.WriteString("[http]\n\tfollowRedirects = true\n")
	b.WriteString("[safe]\n\tdirectory = *\n[advice]\n\tdetachedHead = false\n")
	if u := r.cfg.Boot.CloneURL; u != "" {
		web, ssh := hostPrefixes(u)
		fmt.Fprintf(&b, "[url %s]\n", configQuote(pushRefusal))
		for _, prefix := range append(ssh, web) {
			fmt.Fprintf(&b, "\tpushInsteadOf = %s\n", configQuote(prefix))
		}
		if len(ssh) > 0 {
			fmt.Fprintf(&b, "[url %s]\n", configQuote(web))
		}
		for _, prefix := range ssh {
			fmt.Fprintf(&b, "\tinsteadOf = %s\n", configQuote(prefix))
		}
	}
	return writeFile(r.paths.gitconfig, []byte(b.String()), 0o644)
}

// hostPrefixes are what every address on the repository's host begins with: the web's, and those of ssh if it has one.
func hostPrefixes(clone string) (web string, ssh []string) {
	u, err := url.Parse(clone)
	if err != nil || u.Host == "" {
		return clone, nil
	}
	host := u.Hostname()
	return u.Scheme + "://" + u.Host + "/", []string{"git@" + host + ":", "ssh://git@" + host + "/", "ssh://git@" + host + ":22/"}
}

func base(branch string) string {
	if branch == "" {
		return "main"
	}
	return branch
}

// empty removes what is in dir, not dir itself: it may be somebody's working directory.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func configQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", " ").Replace(s) + `"`
}

// gitFailed makes an error for people of a git command that failed.
func gitFailed(sentence string, err error) error {
	return &session.Error{Code: session.Unavailable, Op: "runner.git", Message: sentence, Err: err}
}
