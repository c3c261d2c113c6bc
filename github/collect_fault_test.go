package github

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"openinspect/github/githubtest"
	"openinspect/session"
	"openinspect/session/sessiontest"
)

// collectFaults are what may go wrong while a turn's commits are collected.
var collectFaults = []fault{
	{name: "no token", do: failing(routeToken, false, busy(502)), code: session.Unavailable, want: "(it answered 502)", heals: true},
	{name: "the token's answer is lost", do: failing(routeToken, true, dropped), code: session.Unavailable, want: "GitHub does not answer", heals: true},
	{name: "fetch answers 500", do: failing(routeFetch, false, busy(500)), code: session.Unavailable, want: "GitHub does not work properly right now (it answered 500).", heals: true},
	{name: "fetch answers 401", do: failing(routeFetchAsk, false, answering(401, "Bad credentials")), code: session.Unavailable, want: "did not take the token", heals: true},
	{name: "fetch answers 403", do: failing(routeFetchAsk, false, answering(403, "Forbidden")), code: session.Forbidden, want: "GitHub refused the bot access to `acme/web`. Check that the App is installed there with write access to contents. Then send another message here.", heals: true},
	{name: "fetch answers 404", do: failing(routeFetchAsk, false, answering(404, "Not Found")), code: session.NotFound, want: "The GitHub App cannot see `acme/web` any more.", heals: true},
	{name: "fetch answers 429", do: failing(routeFetchAsk, false, busy(429)), code: session.Unavailable, want: "limits how often the bot may fetch and push", heals: true},
	{name: "the pack breaks off", do: failing(routeFetch, true, cut), code: session.Unavailable, want: "The connection to GitHub broke off.", heals: true},
	{name: "the pack stalls", do: func(w *world) {
		w.github.git.stall = 1
		w.server.Fail(routeFetch, 1, true, &githubtest.Response{Stall: true})
	}, code: session.Unavailable, want: "GitHub stopped answering in the middle.", heals: true},
	{name: "the API stalls", do: func(w *world) {
		w.github.timeout = 50 * time.Millisecond
		w.server.Fail(routeToken, 1, false, &githubtest.Response{Stall: true})
	}, undo: func(w *world) { w.github.timeout = 30 * time.Second }, code: session.Unavailable, want: "GitHub does not answer"},
	{name: "a branch's own pack is garbage", do: failing(routeFetch, false, func() *githubtest.Response {
		return &githubtest.Response{Status: 200, Header: http.Header{"Content-Type": {"application/x-git-upload-pack-result"}}, Body: []byte("0008NAK\n0009\x01PACKgarbage")}
	}), code: session.Unavailable, want: soon, heals: true},
	{name: "repository lost", do: installed(false), undo: installed(true), code: session.Invalid, want: "The GitHub App may not use `acme/web`. Check that it is installed there"},
	{name: "repository lost, and nothing remembered", do: func(w *world) { w.github.forget(web); installed(false)(w) }, undo: installed(true), code: session.NotFound, want: "The GitHub App is not installed on acme/web"},
	{name: "installation suspended", do: suspended(true), undo: suspended(false), code: session.Forbidden, want: "is suspended. An owner of it can lift that"},
}

// TestCollectFaults lets each go wrong once and then collects again. Something is new on the remote each time, so that there is something to fetch.
func TestCollectFaults(t *testing.T) {
	w := newWorld(t)
	w.clone()
	w.commit(ada, "cart.go", "package cart\n\nvar fixed = true\n", "Fix the cart")
	for _, f := range collectFaults {
		t.Run(f.name, func(t *testing.T) {
			w.t = t
			w.server.Mend()
			if _, err := w.server.Commit("acme/web", githubtest.Change{Branch: "elsewhere", Message: f.name, Files: map[string]string{"x": f.name}}); err != nil {
				t.Fatal(err)
			}
			before := len(w.leftTokens("read")) // what the sandbox's own checkout has lives until its timer
			if strings.Contains(f.name, "token's answer") {
				before++ // nobody but GitHub knows it
			}
			f.do(w)
			if got, err := w.collect(); got != nil || session.CodeOf(err) != f.code || !strings.Contains(session.Sentence(err), f.want) {
				t.Errorf("%+v %v\n%s", got, err, session.Sentence(err))
			}
			if f.undo != nil {
				f.undo(w)
			}
			if got, err := w.collect(); err != nil || got == nil || got.Head != w.head() {
				t.Errorf("afterwards: %+v %v", got, err)
			}
			if left := w.leftTokens("read"); len(left) != before {
				t.Errorf("%d tokens were left", len(left)-before)
			}
		})
	}
}

// A limit keeps everybody from asking who would run into it, until it is over; and nobody else.
func TestLimitsAreKept(t *testing.T) {
	w := newWorld(t)
	clock := &sessiontest.Clock{}
	w.github.limits.clock = clock
	ctx := context.Background()
	w.server.Fail("GET /app/installations", 1, false, githubtest.SecondaryLimit(429, 90*time.Second))
	before := w.server.Calls()["GET /app/installations"]
	for range 3 {
		if _, err := w.github.Repositories(ctx); limited(err) == nil || session.CodeOf(err) != session.Unavailable {
			t.Fatalf("%v", err)
		}
	}
	if calls := w.server.Calls()["GET /app/installations"] - before; calls != 1 {
		t.Errorf("it was asked %d times", calls)
	}
	if c, err := w.github.userClient(userToken{Identity: *ada.GitHub, Access: "x"}); err != nil {
		t.Error(err)
	} else if _, _, err := c.Users.Get(ctx, "ada"); limited(err) != nil {
		t.Errorf("somebody else: %v", err)
	}
	clock.Advance(89 * time.Second)
	if _, err := w.github.Repositories(ctx); limited(err) == nil {
		t.Errorf("a second too early: %v", err)
	}
	clock.Advance(time.Second)
	if list, err := w.github.Repositories(ctx); err != nil || len(list) != 2 {
		t.Errorf("afterwards: %v %v", list, err)
	}
}

// A limit is its account's or its installation's, and a new token does not end it; nor does what is over stay in mind.
func TestLimitsOutliveTokens(t *testing.T) {
	w := newWorld(t)
	clock := &sessiontest.Clock{}
	w.github.limits.clock = clock
	who := func(p session.Person, token string) error {
		t.Helper()
		c, err := w.github.userClient(userToken{Identity: *p.GitHub, Access: token})
		must(t, err)
		_, _, err = c.Users.Get(t.Context(), "ada")
		return err
	}
	w.server.Fail("GET /users/{login}", 1, false, githubtest.SecondaryLimit(403, time.Minute))
	for _, token := range []string{"old", "new"} {
		if limited(who(ada, token)) == nil {
			t.Errorf("Ada's %s token has no limit", token)
		}
	}
	if limited(who(bob, "old")) != nil {
		t.Error("Ada's limit is Bob's too")
	}
	branch := "GET /repos/{owner}/{repo}/git/ref/{ref...}"
	w.server.Fail(branch, 1, false, githubtest.SecondaryLimit(429, time.Minute))
	before := w.server.Calls()[branch]
	for range 3 { // each with a token of its own
		if err := w.github.CheckBranch(t.Context(), web, "main"); limited(err) == nil {
			t.Errorf("of the installation: %v", err)
		}
	}
	if n := w.server.Calls()[branch] - before; n != 1 {
		t.Errorf("GitHub was asked %d times", n)
	}
	clock.Advance(time.Minute)
	must(t, w.github.CheckBranch(t.Context(), web, "main"))
	w.server.Fail("GET /users/{login}", 1, false, githubtest.SecondaryLimit(403, time.Minute))
	if limited(who(bob, "new")) == nil || len(w.github.limits.until) != 1 {
		t.Errorf("what is in mind: %v", w.github.limits.until)
	}
}

// An installation that is suspended does not hide the repositories of the others.
func TestRepositoriesBesideASuspendedInstallation(t *testing.T) {
	w := newWorld(t)
	if err := w.server.AddRepository(githubtest.Repository{Name: "other/tool", Private: true, Files: map[string]string{"a": "a"}}); err != nil {
		t.Fatal(err)
	}
	if err := w.server.Suspend("acme", true); err != nil {
		t.Fatal(err)
	}
	list, err := w.github.Repositories(context.Background())
	if err != nil || len(list) != 1 || list[0].Repo.String() != "other/tool" {
		t.Errorf("%+v %v", list, err)
	}
}

// Sandboxes' tokens do not outlive an orderly stop.
func TestReadTokensEndWithTheBot(t *testing.T) {
	w := newWorld(t)
	again, err := New(w.github.c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { _ = again.Run(ctx); close(done) }()
	if _, _, _, err := again.Clone(ctx, web); err != nil {
		t.Fatal(err)
	}
	if left := w.leftTokens("read"); len(left) != 1 {
		t.Fatalf("%+v", left)
	}
	cancel()
	<-done
	if left := w.leftTokens("read"); len(left) != 0 {
		t.Errorf("%+v", left)
	}
}

// A token that could not be revoked is reported, after another try.
func TestRevokingFails(t *testing.T) {
	w := newWorld(t)
	var reported []error
	w.github.c.Report = func(_ string, err error) { reported = append(reported, err) }
	for i, fails := range []int{1, 2} {
		_, revoke, err := w.github.mint(context.Background(), web, readContents, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		w.server.Fail(routeRevoke, fails, false, githubtest.Busy(503))
		if revoke(); len(reported) != i {
			t.Errorf("%d failures: %v", fails, reported)
		}
	}
}

// linkFaults are what may go wrong while somebody links their account, and what they are told at the end.
var linkFaults = []struct {
	name   string
	do     func(w *world, code session.LinkCode)
	want   string // "" if it ends well in spite of it
	starts bool   // it goes wrong before there is a code
}{
	{name: "not started", do: func(w *world, _ session.LinkCode) { w.server.Fail(routeDevice, 1, false, githubtest.Busy(502)) }, want: "GitHub does not answer, so your account could not be linked. Please try `/inspect link` again in a few minutes.", starts: true},
	{name: "limited at the start", do: func(w *world, _ session.LinkCode) {
		w.server.Fail(routeDevice, 1, false, githubtest.SecondaryLimit(429, 3*time.Minute))
	}, want: "in 3 minutes", starts: true},
	{name: "switched off at the start", do: func(w *world, _ session.LinkCode) { w.server.DisableDeviceFlow(true) }, want: "tick “Enable Device Flow”", starts: true},
	{name: "switched off meanwhile", do: func(w *world, _ session.LinkCode) { w.server.DisableDeviceFlow(true) }, want: "Linking is switched off"},
	{name: "declined", do: func(w *world, code session.LinkCode) { _ = w.server.Deny(code.UserCode) }, want: "You declined on GitHub, so your account was not linked."},
	{name: "a poll is answered 502", do: func(w *world, code session.LinkCode) {
		w.server.Fail(routeOAuth, 1, false, githubtest.Busy(502))
		_ = w.server.Approve(code.UserCode, "ada")
	}},
	{name: "a poll breaks off", do: func(w *world, code session.LinkCode) {
		w.server.Fail(routeOAuth, 1, false, dropped())
		_ = w.server.Approve(code.UserCode, "ada")
	}},
	{name: "too fast for GitHub", do: func(w *world, code session.LinkCode) {
		w.server.Fail(routeOAuth, 1, false, &githubtest.Response{Status: 200, Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, Body: []byte("error=authorization_pending")})
		_ = w.server.Approve(code.UserCode, "ada")
	}},
	{name: "expired", do: func(w *world, _ session.LinkCode) {
		w.server.Fail(routeOAuth, 1, false, &githubtest.Response{Status: 200, Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, Body: []byte("error=expired_token")})
	}, want: "The code has expired, so your account was not linked. Use `/inspect link` for a new one."},
	{name: "granted, and the answer lost", do: func(w *world, code session.LinkCode) {
		w.server.Fail(routeOAuth, 1, true, dropped())
		_ = w.server.Approve(code.UserCode, "ada")
	}, want: "The code is used up, but GitHub's answer was lost, so your account was not linked. Use `/inspect link` for a new one."},
	{name: "who is it", do: func(w *world, code session.LinkCode) {
		w.server.Fail(routeUser, 1, false, githubtest.Refusal(403, "Forbidden"))
		_ = w.server.Approve(code.UserCode, "ada")
	}, want: "GitHub did not say who you are, so your account was not linked."},
}

func TestLinkFaults(t *testing.T) {
	for _, f := range linkFaults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel() // they wait for GitHub's interval
			w := newWorld(t)
			if f.starts {
				f.do(w, session.LinkCode{})
				if _, err := w.github.Link(t.Context(), "UADA"); !strings.Contains(session.Sentence(err), f.want) {
					t.Errorf("%v", err)
				}
				return
			}
			code, err := w.github.Link(t.Context(), "UADA")
			if err != nil {
				t.Fatal(err)
			}
			f.do(w, code)
			l := <-w.linked
			if f.want == "" && (l.err != nil || l.id == nil) || f.want != "" && (l.id != nil || !strings.Contains(session.Sentence(l.err), f.want)) {
				t.Errorf("%+v %v", l, l.err)
			}
		})
	}
}

// What the pauses that GitHub asks for come to.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name string
			r    *githubtest.Response
			want time.Duration
		}{
			{"not found", githubtest.Refusal(404, "Not Found"), 0},
			{"forbidden", githubtest.Refusal(403, "Resource not accessible by integration"), 0},
			{"primary", githubtest.PrimaryLimit(403, time.Now(), 20*time.Minute), 20 * time.Minute},
			{"primary, our clock wrong", githubtest.PrimaryLimit(429, time.Now().Add(-5*time.Hour), 20*time.Minute), 20 * time.Minute},
			{"primary, over already", githubtest.PrimaryLimit(403, time.Now(), -time.Minute), leastPause},
			{"primary, absurd", githubtest.PrimaryLimit(403, time.Now(), 100*24*time.Hour), maxPause},
			{"secondary", githubtest.SecondaryLimit(403, 30*time.Second), 30 * time.Second},
			{"secondary, blind", githubtest.SecondaryLimit(403, 0), blindPause},
			{"too many", githubtest.Busy(429), blindPause},
		} {
			got, err := pause(&http.Response{StatusCode: c.r.Status, Header: c.r.Header, Body: http.NoBody})
			if c.want == blindPause {
				got, err = pause(&http.Response{StatusCode: c.r.Status, Header: c.r.Header, Body: readCloser(string(c.r.Body))})
			}
			if got != c.want || err != nil {
				t.Errorf("%s: %s %v", c.name, got, err)
			}
		}
	})
	if _, err := pause(&http.Response{StatusCode: 403, Body: readFailure{}}); !errors.Is(err, errBroken) {
		t.Errorf("%v", err)
	}
}

var errBroken = errors.New("broken")

type readFailure struct{}

func (readFailure) Read([]byte) (int, error) { return 0, errBroken }
func (readFailure) Close() error             { return nil }

type textBody struct{ *strings.Reader }

func (textBody) Close() error { return nil }

func readCloser(s string) textBody { return textBody{strings.NewReader(s)} }

// Nothing that git is started with holds a credential: its arguments are for everybody on the computer to read. Its configuration is ours alone.
func TestGitIsStartedClean(t *testing.T) {
	w := newWorld(t)
	w.link(bob)
	w.clone()
	w.commit(ada, "cart.go", "package cart\n\nvar fixed = true\n", "Fix the cart")
	real, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	shim := "#!/bin/sh\nexport -p | tr '\\n' ' ' | grep -q 'GIT_CONFIG_GLOBAL=./dev/null. .*GIT_CONFIG_NOSYSTEM=.1' && echo clean >>" + log + ".env || export -p >>" + log + ".env\n" +
		"tr '\\0' ' ' </proc/$$/cmdline >>" + log + "\necho >>" + log + "\nexec " + real + " \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "git"), []byte(shim), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	bundler := func(ctx context.Context, have []string) (io.ReadCloser, error) {
		t.Setenv("PATH", os.Getenv("PATH")[len(dir)+1:]) // a sandbox's git is its own affair
		defer t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
		return w.bundler(ctx, have)
	}
	c, err := w.github.Collect(t.Context(), w.request(), bundler)
	if err != nil || c == nil {
		t.Fatalf("%+v %v", c, err)
	}
	if _, err := w.open(c.Head, bob); err != nil {
		t.Fatal(err)
	}
	arguments, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{" index-pack ", " fetch ", " push ", " diff ", " ls-remote "} {
		if !strings.Contains(string(arguments), command) {
			t.Errorf("%swas not seen", command)
		}
	}
	for _, token := range w.server.Tokens() {
		for _, secret := range []string{token.Value, basic(token.Value)[len("Authorization: Basic "):]} {
			if strings.Contains(string(arguments), secret) {
				t.Errorf("a token of %q is in the arguments of git", token.Login+token.Account)
			}
		}
	}
	environment, err := os.ReadFile(log + ".env")
	if err != nil || strings.Trim(string(environment), "clean\n") != "" {
		t.Errorf("%v\n%s", err, environment)
	}
}
