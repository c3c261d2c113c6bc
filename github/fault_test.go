package github

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"openinspect/github/githubtest"
	"openinspect/session"
)

// Routes of the double, by the names they have there.
const (
	routeToken    = "POST /app/installations/{id}/access_tokens"
	routeFind     = "GET /repos/{owner}/{repo}/installation"
	routeRepo     = "GET /repos/{owner}/{repo}"
	routePulls    = "GET /repos/{owner}/{repo}/pulls"
	routeCreate   = "POST /repos/{owner}/{repo}/pulls"
	routeRevoke   = "DELETE /installation/token"
	routeUser     = "GET /user"
	routeOAuth    = "POST /login/oauth/access_token"
	routeDevice   = "POST /login/device/code"
	routeFetch    = "git git-upload-pack"
	routeFetchAsk = "git info/refs git-upload-pack"
	routePush     = "git git-receive-pack"
	routePushAsk  = "git info/refs git-receive-pack"
)

// fault is something that goes wrong on GitHub, and what the person hears of it.
type fault struct {
	name string
	do   func(w *world)
	code session.Code
	want string // in the sentence
	// undo mends it where that takes more than time; nil: it happens once.
	undo func(w *world)
	// heals means that doing the same again right away succeeds.
	heals bool
}

func failing(route string, after bool, r func() *githubtest.Response) func(*world) {
	return func(w *world) { w.server.Fail(route, 1, after, r()) }
}

func answering(status int, message string, details ...any) func() *githubtest.Response {
	return func() *githubtest.Response { return githubtest.Refusal(status, message, details...) }
}

func busy(status int) func() *githubtest.Response {
	return func() *githubtest.Response { return githubtest.Busy(status) }
}

func dropped() *githubtest.Response { return &githubtest.Response{Drop: true} }
func cut() *githubtest.Response     { return &githubtest.Response{Cut: true} }

func withRule(r githubtest.Rule) func(*world) {
	return func(w *world) { _ = w.server.SetRule("acme/web", &r) } // the repository is there
}

func unruled(w *world) { _ = w.server.SetRule("acme/web", nil) }

func installed(is bool) func(*world) {
	return func(w *world) { _ = w.server.SetInstalled("acme/web", is) }
}

func suspended(is bool) func(*world) {
	return func(w *world) { _ = w.server.Suspend("acme", is) }
}

const soon = "Please try again in a few minutes."

// openFaults are what may go wrong between a ✅ and its pull request.
var openFaults = []fault{
	// GitHub does not work.
	{name: "REST answers 502", do: failing(routeCreate, false, busy(502)), code: session.Unavailable, want: "GitHub does not work properly right now (it answered 502). " + soon, heals: true},
	{name: "REST breaks off", do: failing(routeCreate, false, dropped), code: session.Unavailable, want: "GitHub does not answer. " + soon, heals: true},
	{name: "git answers 503", do: failing(routePush, false, busy(503)), code: session.Unavailable, want: "GitHub does not work properly right now (it answered 503). " + soon, heals: true},
	{name: "git breaks off before the push", do: failing(routePush, false, dropped), heals: true},
	{name: "git answers 429", do: failing(routePushAsk, false, busy(429)), code: session.Unavailable, want: "limits how often the bot may fetch and push", heals: true},
	{name: "git does not take the token", do: failing(routePushAsk, false, answering(401, "Bad credentials")), code: session.Unavailable, want: "did not take the token that it had just given", heals: true},

	// What was asked for happened, and the answer was lost.
	{name: "the push's answer is lost", do: failing(routePush, true, dropped), heals: true},
	{name: "half of the push's answer is lost", do: failing(routePush, true, cut), heals: true},
	{name: "git is away for longer than it tries", do: func(w *world) {
		w.server.Fail(routePush, 5, false, dropped())
		w.server.Fail(routePushAsk, 5, true, dropped())
	}, code: session.Unavailable, want: soon},
	{name: "the pull request's answer is lost", do: failing(routeCreate, true, dropped), code: session.Unavailable, want: "GitHub does not answer. " + soon, heals: true},
	{name: "half of the pull request's answer is lost", do: failing(routeCreate, true, cut), code: session.Unavailable, want: "GitHub does not answer. " + soon, heals: true},
	{name: "the pull request's answer is a 502", do: failing(routeCreate, true, busy(502)), code: session.Unavailable, want: "(it answered 502)", heals: true},
	{name: "the pull request was there, unlisted", do: func(w *world) {
		w.server.Fail(routeCreate, 1, true, dropped())
		_, _ = w.open(w.head(), bob)
		w.server.Fail(routePulls, 1, false, &githubtest.Response{Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte("[]")})
	}, heals: true},

	// Limits.
	{name: "primary limit by 403", do: failing(routeCreate, false, func() *githubtest.Response { return githubtest.PrimaryLimit(403, time.Now(), 12*time.Minute) }), code: session.Unavailable, want: "It takes requests again in 12 minutes; please try again then."},
	{name: "primary limit by 429", do: failing(routeRepo, false, func() *githubtest.Response { return githubtest.PrimaryLimit(429, time.Now(), 30*time.Minute) }), code: session.Unavailable, want: "in 30 minutes"},
	{name: "secondary limit by 403", do: failing(routeCreate, false, func() *githubtest.Response { return githubtest.SecondaryLimit(403, 90*time.Second) }), code: session.Unavailable, want: "in 2 minutes"},
	{name: "secondary limit by 429", do: failing(routePulls, false, func() *githubtest.Response { return githubtest.SecondaryLimit(429, 10*time.Second) }), code: session.Unavailable, want: "in a minute"},
	{name: "secondary limit without a time", do: failing(routeCreate, false, func() *githubtest.Response { return githubtest.SecondaryLimit(403, 0) }), code: session.Unavailable, want: "in a minute"},
	{name: "the App's limit", do: failing(routeToken, false, func() *githubtest.Response { return githubtest.SecondaryLimit(403, 90*time.Second) }), code: session.Unavailable, want: "in 2 minutes"},

	// The person.
	{name: "authorisation revoked", do: func(w *world) { w.server.RevokeAuthorization("bob") }, code: session.Forbidden, want: "Your GitHub account is not linked any more. Link it with `/inspect link`, then react again."},
	{name: "access token dead, refresh token good", do: func(w *world) { w.server.ExpireTokens("bob") }, heals: true},
	{name: "refresh token used up", do: func(w *world) { w.server.SpendRefresh("bob") }, code: session.Forbidden, want: "not linked any more"},
	{name: "refresh fails", do: func(w *world) {
		w.server.ExpireTokens("bob")
		w.server.Fail(routeOAuth, 1, false, githubtest.Busy(500))
	}, code: session.Unavailable, want: "(it answered 500)", heals: true},
	{name: "refreshed, and the answer lost", do: func(w *world) { w.server.ExpireTokens("bob"); w.server.Fail(routeOAuth, 1, true, dropped()) }, code: session.Unavailable, want: "GitHub does not answer. " + soon},
	{name: "client id unknown", do: func(w *world) {
		w.server.ExpireTokens("bob")
		w.server.Fail(routeOAuth, 1, false, &githubtest.Response{Status: 200, Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, Body: []byte("error=incorrect_client_credentials")})
	}, code: session.Forbidden, want: "(incorrect_client_credentials). Whoever runs the bot has to check GITHUB_CLIENT_ID", heals: true},
	{name: "single sign-on", do: failing(routeRepo, false, answering(403, "Resource protected by organization SAML enforcement. You must grant your OAuth token access to this organization.")), code: session.Forbidden, want: "GitHub wants you to sign in to acme first", heals: true},
	{name: "no access", do: failing(routeRepo, false, answering(404, "Not Found")), code: session.NotFound, want: "Your GitHub account bob cannot see acme/web. Ask for access to it, then react again.", heals: true},

	// The App.
	{name: "repository lost", do: installed(false), undo: installed(true), code: session.NotFound, want: "Your GitHub account bob cannot see acme/web"},
	{name: "installation suspended", do: suspended(true), undo: suspended(false), code: session.Forbidden, want: "The GitHub App's installation on `acme` is suspended. An owner of it can lift that on GitHub"},
	{name: "installed anew", do: failing(routeToken, false, answering(404, "Not Found")), heals: true},
	{name: "key revoked", do: failing(routeToken, false, answering(401, "A JSON web token could not be decoded")), code: session.Forbidden, want: "GitHub does not accept the App's key. Whoever runs the bot has to check GITHUB_APP_ID", heals: true},
	{name: "no permission for pull requests", do: failing(routeCreate, false, answering(403, "Resource not accessible by integration")), code: session.Forbidden, want: "has to give it “Pull requests: read and write”", heals: true},

	// The repository.
	{name: "signed commits", do: withRule(githubtest.SignedCommits), undo: unruled, code: session.Forbidden, want: "`acme/web` requires signed commits, which the bot cannot make. Ask an administrator to except the branches `inspect/**`"},
	{name: "protected branch", do: withRule(githubtest.ProtectedBranch), undo: unruled, code: session.Forbidden, want: "A rule of `acme/web` refuses the push: error: GH006: Protected branch update failed for refs/heads/inspect/abcdefghij-fix-"},
	{name: "name pattern", do: withRule(githubtest.NamePattern), undo: unruled, code: session.Forbidden, want: `Branch name must start with a matching pattern: "feature/". Ask an administrator`},
	{name: "push protection", do: withRule(githubtest.PushProtection), undo: unruled, code: session.Forbidden, want: "GitHub's push protection found what looks like a secret"},
	{name: "unknown LFS objects", do: withRule(githubtest.UnknownObjects), undo: unruled, code: session.Forbidden, want: "pointers to files in Git LFS that GitHub does not have"},
	{name: "large file", do: withRule(githubtest.LargeFile), undo: unruled, code: session.Forbidden, want: "GitHub refused a file as too large: error: GH001: Large files detected."},
	{name: "pre-receive hook", do: withRule(githubtest.PreReceive), undo: unruled, code: session.Forbidden, want: "Every commit has to name a ticket."},
	{name: "archived", do: func(w *world) { _ = w.server.SetArchived("acme/web", true) }, undo: func(w *world) { _ = w.server.SetArchived("acme/web", false) }, code: session.Forbidden, want: "`acme/web` is archived"},
	{name: "archived a moment ago", do: failing(routeCreate, false, answering(403, "Repository was archived so is read-only.")), code: session.Forbidden, want: "`acme/web` is archived", heals: true},
	{name: "base gone", do: failing(routeCreate, false, answering(422, "Validation Failed", map[string]any{"resource": "PullRequest", "field": "base", "code": "invalid"})), code: session.Conflict, want: "The branch `main` of `acme/web` does not exist any more", heals: true},
	{name: "head not seen yet", do: failing(routeCreate, false, answering(422, "Validation Failed", map[string]any{"resource": "PullRequest", "field": "head", "code": "invalid"})), code: session.Unavailable, want: "GitHub does not see the branch yet", heals: true},
	{name: "nothing to open", do: failing(routeCreate, false, answering(422, "Validation Failed", map[string]any{"resource": "PullRequest", "code": "custom", "message": "No commits between main and inspect/x"})), code: session.Conflict, want: "There is nothing to open: `main` has everything already.", heals: true},
	{name: "not a collaborator", do: failing(routeCreate, false, answering(422, "Validation Failed", map[string]any{"resource": "PullRequest", "code": "custom", "message": "must be a collaborator"})), code: session.Forbidden, want: "Your GitHub account bob may not open pull requests in `acme/web`", heals: true},
	{name: "some other 422", do: failing(routeCreate, false, answering(422, "Validation Failed", map[string]any{"resource": "PullRequest", "code": "custom", "message": "The title is silly."})), code: session.Invalid, want: "GitHub refused: The title is silly.", heals: true},
	{name: "405", do: failing(routeCreate, false, answering(405, "Pull Request is not mergeable")), code: session.Conflict, want: "GitHub refused: Pull Request is not mergeable.", heals: true},
	{name: "409", do: failing(routeCreate, false, answering(409, "Head branch was modified. Review and try the merge again.")), code: session.Conflict, want: "GitHub refused: Head branch was modified. Review and try the merge again.", heals: true},
}

// head is the commit that the world's checkout is at.
func (w *world) head() string { return w.run("", "git", "rev-parse", "HEAD") }

// leftTokens lists installation tokens that nobody revoked.
func (w *world) leftTokens(permission string) (left []githubtest.Token) {
	for _, t := range w.server.Tokens() {
		if t.Login == "" && t.Permissions["contents"] == permission && t.Revoked.IsZero() {
			left = append(left, t)
		}
	}
	return left
}

// TestOpenFaults lets each go wrong once, in a repository of its own, and then has the person react again.
func TestOpenFaults(t *testing.T) {
	base := newWorld(t)
	base.clone()
	base.commit(ada, "cart.go", "package cart\n\nvar fixed = true\n", "Fix the cart")
	c, err := base.collect()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range openFaults {
		t.Run(f.name, func(t *testing.T) {
			w := base
			w.t = t
			w.reset()
			f.do(w)
			pr, err := w.open(c.Head, bob)
			if f.code != "" && (session.CodeOf(err) != f.code || !strings.Contains(session.Sentence(err), f.want)) {
				t.Errorf("%v\n%s", err, session.Sentence(err))
			}
			if f.code == "" && err != nil {
				t.Errorf("%v", err)
			}
			if left := w.leftTokens("write"); len(left) > 0 {
				t.Errorf("a token that may write was left: %+v", left)
			}
			if f.undo != nil {
				f.undo(w)
			}
			if !f.heals && f.undo == nil {
				return
			}
			if f.code != "" {
				pr, err = w.open(c.Head, bob)
			}
			pulls := w.server.Pulls("acme/web")
			open := slices.DeleteFunc(pulls, func(p githubtest.Pull) bool { return p.Head != w.branch })
			if err != nil || len(open) != 1 || open[0].Number != pr.Number || open[0].HeadSHA != c.Head || pr.Adopted {
				t.Errorf("afterwards: %+v %v %+v", pr, err, open)
			}
		})
	}
}

// reset gives the world a branch of its own for what comes, lifts limits, and links bob anew.
func (w *world) reset() {
	w.t.Helper()
	ctx := context.Background()
	w.server.Mend()
	w.branches++
	w.branch = fmt.Sprintf("inspect/abcdefghij-fix-%d", w.branches)
	w.github.limits.until = map[string]time.Time{}
	if err := w.github.Unlink(ctx, "UBOB"); err != nil && session.CodeOf(err) != session.NotFound {
		w.t.Fatal(err)
	}
	w.link(bob)
}
