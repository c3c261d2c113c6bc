package session_test

import (
	"strings"
	"testing"

	"openinspect/session"
	"openinspect/session/sessiontest"
)

// TestBlocked: what keeps a pull request from being merged, and whose approval is a second pair of eyes.
func TestBlocked(t *testing.T) {
	const commit, old = "1a2b3c4d5e6f", "0f0f0f0f0f0f"
	ada, bob, cyd := sessiontest.Ada, sessiontest.Bob, session.Identity{ID: 900, Login: "cyd"}
	unlinked := session.Person{Slack: "UDAN", Name: "Dan"}
	approved := func(by session.Identity, at string, writes bool) session.Review {
		return session.Review{By: by, State: session.ReviewApproved, Commit: at, Writes: writes}
	}
	const needs = "It needs one approving review at this commit by somebody with write access who did not contribute, and has 0."
	for _, tt := range []struct {
		name string
		do   func(r *session.MergeRequest, p *session.PullRequest)
		want string // "": it may be merged
	}{
		{"approved", func(*session.MergeRequest, *session.PullRequest) {}, ""},
		{"nobody approved", func(_ *session.MergeRequest, p *session.PullRequest) { p.Reviews = nil }, needs},
		{"no quorum is one", func(r *session.MergeRequest, p *session.PullRequest) { r.Quorum, p.Reviews = 0, nil }, needs},
		{"at an older commit", func(_ *session.MergeRequest, p *session.PullRequest) { p.Reviews[0].Commit = old }, needs},
		{"by a reader", func(_ *session.MergeRequest, p *session.PullRequest) { p.Reviews[0].Writes = false }, needs},
		{"by a contributor's account", func(_ *session.MergeRequest, p *session.PullRequest) {
			p.Reviews = []session.Review{approved(*ada.GitHub, commit, true)}
		}, needs},
		{"by a contributor under another login", func(_ *session.MergeRequest, p *session.PullRequest) {
			p.Reviews = []session.Review{approved(session.Identity{ID: ada.GitHub.ID, Login: "renamed"}, commit, true)}
		}, needs},
		{"by its author", func(_ *session.MergeRequest, p *session.PullRequest) { p.Author = cyd }, needs},
		{"a stranger's, while a contributor's account is not known", func(r *session.MergeRequest, _ *session.PullRequest) {
			r.Contributors = append(r.Contributors, unlinked)
		}, needs},
		{"somebody's of the thread, while a contributor's account is not known", func(r *session.MergeRequest, _ *session.PullRequest) {
			r.Contributors, r.Known = append(r.Contributors, unlinked), []session.Person{{Slack: "UCYD", GitHub: &cyd}}
		}, ""},
		{"a contributor's, who linked their account since", func(r *session.MergeRequest, _ *session.PullRequest) {
			r.Contributors, r.Known = append(r.Contributors, unlinked), []session.Person{{Slack: "UCYD", GitHub: &cyd}, {Slack: unlinked.Slack, GitHub: &cyd}}
		}, needs},
		{"one of two", func(r *session.MergeRequest, _ *session.PullRequest) { r.Quorum = 2 }, "It needs 2 approving reviews at this commit"},
		{"two of two", func(r *session.MergeRequest, p *session.PullRequest) {
			r.Quorum, p.Reviews = 2, append(p.Reviews, approved(session.Identity{ID: 901, Login: "eve"}, commit, true))
		}, ""},
		{"somebody asks for changes", func(_ *session.MergeRequest, p *session.PullRequest) {
			p.Reviews = append(p.Reviews, session.Review{By: session.Identity{ID: 901, Login: "eve"}, State: session.ReviewChanges, Commit: old, Writes: true})
		}, "eve asks for changes on GitHub."},
		{"a reader asks for changes", func(_ *session.MergeRequest, p *session.PullRequest) {
			p.Reviews = append(p.Reviews, session.Review{By: session.Identity{ID: 901, Login: "eve"}, State: session.ReviewChanges, Commit: commit})
		}, ""},
		{"no checks", func(_ *session.MergeRequest, p *session.PullRequest) { p.Checks = session.Checks{} }, ""},
		{"checks run", func(_ *session.MergeRequest, p *session.PullRequest) {
			p.Checks = session.Checks{State: session.ChecksPending, Total: 3, Pending: 2}
		}, "It cannot be merged yet: 2 of 3 checks are still running. React again when they are done."},
		{"checks fail", func(_ *session.MergeRequest, p *session.PullRequest) {
			p.Checks = session.Checks{State: session.ChecksFailed, Total: 2, Failed: []session.Check{{Name: "lint"}, {Name: "test"}}}
		}, "It cannot be merged while checks fail: `lint`, `test`."},
		{"checks are hidden", func(_ *session.MergeRequest, p *session.PullRequest) { p.Checks.State = session.ChecksHidden }, "The bot may not see this repository's checks"},
		{"a draft", func(_ *session.MergeRequest, p *session.PullRequest) { p.Draft = true }, "#12 is a draft."},
		{"closed", func(_ *session.MergeRequest, p *session.PullRequest) { p.State = session.PullClosed }, "#12 is closed."},
		{"merged", func(_ *session.MergeRequest, p *session.PullRequest) { p.State = session.PullMerged }, "#12 is merged already."},
		{"into another branch", func(_ *session.MergeRequest, p *session.PullRequest) { p.Base = "production" }, "#12 goes into `production` by now, and its card said `main`."},
		{"from before a card's base was kept", func(r *session.MergeRequest, _ *session.PullRequest) { r.Base = "" }, ""},
		{"moved", func(_ *session.MergeRequest, p *session.PullRequest) { p.Head = old }, "Somebody pushed 0f0f0f0 on GitHub after this card's 1a2b3c4."},
	} {
		r := session.MergeRequest{Number: 12, Commit: commit, Base: "main", By: bob, Quorum: 1, Contributors: []session.Person{ada, bob}, Known: []session.Person{ada, bob}}
		p := session.PullRequest{Number: 12, State: session.PullOpen, Base: "main", Head: commit, Author: *bob.GitHub, Checks: session.Checks{State: session.ChecksGreen, Total: 1},
			Reviews: []session.Review{approved(cyd, commit, true)}}
		tt.do(&r, &p)
		if got := r.Blocked(p); !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
