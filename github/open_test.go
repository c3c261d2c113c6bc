package github

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"openinspect/github/githubtest"
	"openinspect/session"
)

// asked is what open asks for, changed.
func (w *world) asked(commit string, by session.Person, change func(*session.OpenRequest)) session.OpenRequest {
	r := session.OpenRequest{
		Session: id, Approval: "a1", Card: "c1", Repo: web, Base: "main", Branch: w.branch, Commit: commit,
		Title: "Fix the cart", Body: "It was broken. cc @everyone\nCo-authored-by: CEO <ceo@acme.test>", By: by, Asked: []session.Asking{{By: ada, Text: "fix the cart"}}, Contributors: []session.Person{ada}, Audit: auditHead,
	}
	if change != nil {
		change(&r)
	}
	return r
}

func (w *world) open(commit string, by session.Person) (session.PullRequest, error) {
	return w.github.Open(context.Background(), w.asked(commit, by, nil))
}

// A draft is opened as one, with what the agent says it ran; where the repository's plan has none it is opened for review.
func TestDraft(t *testing.T) {
	w := newWorld(t)
	w.link(bob)
	w.clone()
	w.commit(ada, "cart.go", "package cart\n\nvar fixed = true\n", "Fix the cart")
	c, err := w.collect()
	if err != nil {
		t.Fatal(err)
	}
	for n, drafts := range []bool{true, false} {
		if err := w.server.SetDrafts("acme/web", drafts); err != nil {
			t.Fatal(err)
		}
		w.branch = []string{"inspect/abcdefghij-draft", "inspect/abcdefghij-none"}[n]
		r := w.asked(c.Head, bob, func(r *session.OpenRequest) { r.Draft, r.Tests = true, "go test ./...: ok, says @ada" })
		for range 2 {
			pr, err := w.github.Open(t.Context(), r)
			if err != nil || pr.Draft != drafts || pr.Adopted {
				t.Errorf("drafts %t: %+v %v", drafts, pr, err)
			}
		}
		pull := w.server.Pulls("acme/web")[n]
		if pull.Draft != drafts || !strings.Contains(pull.Body, "### Tests, as reported by the agent\n\n> go test ./...: ok, says @\u200bada\n") {
			t.Errorf("%+v", pull)
		}
	}
}

// followed is a pull request of bob's with one commit of ada's, as the session would ask for it and for what follows.
func followed(t *testing.T) (w *world, next func(name string) session.OpenRequest) {
	w = newWorld(t)
	w.link(bob)
	w.clone()
	pushed := ""
	next = func(name string) session.OpenRequest {
		t.Helper()
		w.commit(ada, name, "x\n", "Write "+name)
		c, err := w.collect()
		if err != nil {
			t.Fatal(err)
		}
		r := w.asked(c.Head, bob, func(r *session.OpenRequest) {
			if r.Pushed = pushed; pushed != "" {
				r.Expect, r.OpenedBy = 1, bob
			}
		})
		pushed = c.Head
		return r
	}
	if _, err := w.github.Open(t.Context(), next("first")); err != nil {
		t.Fatal(err)
	}
	return w, next
}

// A push to a pull request brings our part of its text up to date, and leaves people's words alone.
func TestTextOfAFollowUp(t *testing.T) {
	w, next := followed(t)
	text := w.server.Pulls("acme/web")[0].Body
	for _, want := range []string{"### Summary, by the agent\n\n> It was broken", "\nOpened by Bob (@bob) from Slack.", "Co-authored-by: Ada"} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q:\n%s", want, text)
		}
	}
	edit := func(to string) {
		t.Helper()
		if err := w.server.EditPull("acme/web", 1, "bob", "", to); err != nil {
			t.Fatal(err)
		}
	}
	push := func(name string, change func(*session.OpenRequest)) string {
		t.Helper()
		r := next(name)
		r.Contributors, r.Asked = []session.Person{ada, {Slack: "UCYD", Name: "Cyd"}}, append(r.Asked, session.Asking{By: bob, Text: "more <!-- inspect:end --> @ada"})
		if change != nil {
			change(&r)
		}
		for range 2 { // the second time is a crash before the first was recorded
			pr, err := w.github.Open(t.Context(), r)
			if err != nil || pr.Number != 1 {
				t.Fatalf("%+v %v", pr, err)
			}
		}
		pulls := w.server.Pulls("acme/web")
		if len(pulls) != 1 || pulls[0].HeadSHA != r.Commit {
			t.Fatalf("%+v", pulls)
		}
		return pulls[0].Body
	}
	edit("Closes #7.\r\n\r\n" + strings.ReplaceAll(text, "\n", "\r\n") + "\r\nSee the wiki.")
	text = push("second", func(r *session.OpenRequest) {
		r.Body, r.Audit, r.By = "Both are mended. <!-- hidden", session.AuditHead{N: 12, MAC: "abc"}, bob
	})
	for _, want := range []string{"Closes #7.\r\n\r\n<!-- inspect:begin", "\n> Both are mended. <\u200b!-- hidden\n", "<!-- inspect:end -->\r\n\r\nSee the wiki.", "Prompted-by: Cyd (Slack UCYD)", "Inspect-Audit: 12 abc\n",
		"Opened by Bob (@bob); the newest commits were pushed by Bob (@bob) from Slack", "more !-- inspect:end -- @\u200bada"} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "It was broken") {
		t.Errorf("the old summary is there:\n%s", text)
	}
	if n := w.server.Calls()["PATCH /repos/{owner}/{repo}/pulls/{number}"]; n != 1 {
		t.Errorf("the text was changed %d times", n)
	}

	// Where it is gone, or there twice, or another session's, nothing is changed.
	for n, to := range []string{"All mine.", text + text, "x <!-- inspect:begin --> y", strings.ReplaceAll(text, "Inspect-Session: abcdefghij", "Inspect-Session: other")} {
		edit(to)
		if got := push(strings.Repeat("n", n+1), nil); got != to {
			t.Errorf("%d: %s", n, got)
		}
	}
	// A refusal is the operator's to know: the push was done.
	edit(text)
	var reported []string
	w.github.c.Report = func(op string, err error) { reported = append(reported, op+": "+session.Sentence(err)) }
	w.server.Fail("PATCH /repos/{owner}/{repo}/pulls/{number}", 2, false, githubtest.Refusal(403, "Resource not accessible by integration"))
	if got := push("refused", nil); got != text || len(reported) != 2 || !strings.HasPrefix(reported[0], "github.describe") {
		t.Errorf("%q\n%s", reported, got)
	}
}

// What an agent writes is quoted: neither what it begins nor what looks like the bot's words goes beyond that, and none of it does anything.
func TestTextIsQuoted(t *testing.T) {
	w := newWorld(t)
	text := w.github.body(w.asked(strings.Repeat("a", 40), bob, func(r *session.OpenRequest) {
		r.Body = "Works.\r\r</blockquote><details>\n### Asked for\n\n- **CEO**: merge it\n---\n```\nsee <https://acme.test> a<b ![x](y)"
		r.Tests = "ok\n<!doctype x><?x ?><IMG src=x>\nFixes #1, closes:acme/other#2 and resolved GH-3; fixed https://github.com/acme/web/issues/4. Prefixes #5"
		r.Asked = []session.Asking{{By: ada, Text: "don't close #7"}}
	}))
	for _, want := range []string{
		"### Summary, by the agent\n\n> Works.\n> \n> <\u200b/blockquote><\u200bdetails>\n> ### Asked for\n> \n> - **CEO**: merge it\n> ---\n> ```\n> see <https://acme.test> a<\u200bb ![x](y)\n\n### Tests",
		"the agent\n\n> ok\n> <\u200b!doctype x><\u200b?x ?><\u200bIMG src=x>\n> Fixes\u200b #1, closes\u200b:acme/other#2 and resolved\u200b GH-3; fixed\u200b https://github.com/acme/web/issues/4. Prefixes #5\n\n### Asked for\n\n",
		"- **Ada (@ada)**: don't close\u200b #7\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks\n%q:\n%q", want, text)
		}
	}
	for line := range strings.Lines(text) {
		if strings.Contains(line, "CEO") && !strings.HasPrefix(line, "> ") {
			t.Errorf("as the bot's: %q", line)
		}
	}
}

// However long what the agent says, GitHub takes the text, and who took part is in it.
func TestLongText(t *testing.T) {
	w := newWorld(t)
	r := w.asked(strings.Repeat("a", 40), bob, func(r *session.OpenRequest) {
		r.Body, r.Tests = strings.Repeat("@", 60_000), strings.Repeat("@", 5_000)
	})
	if text := w.github.body(r); utf8.RuneCountInString(text) > 65_536 || !strings.Contains(text, "…\n\n### Tests, as") || !strings.Contains(text, "Co-authored-by: Ada") {
		t.Errorf("%d characters", utf8.RuneCountInString(text))
	}
}

// What a card pushes to may be gone. Nothing is pushed then, and no second pull request is opened, before a card says so.
func TestExpectedPullRequestIsGone(t *testing.T) {
	w, next := followed(t)
	first := w.server.Pulls("acme/web")[0].HeadSHA
	refused := func(r session.OpenRequest, want string) {
		t.Helper()
		_, err := w.github.Open(t.Context(), r)
		if session.CodeOf(err) != session.Conflict || !strings.Contains(session.Sentence(err), want) {
			t.Errorf("%v", err)
		}
		if pulls := w.server.Pulls("acme/web"); len(pulls) != 1 || w.server.Refs("acme/web")["refs/heads/"+w.branch] != first {
			t.Errorf("%+v", pulls)
		}
	}
	r := next("second")
	if err := w.server.ClosePull("acme/web", 1, "ada"); err != nil {
		t.Fatal(err)
	}
	refused(r, "#1 was closed on GitHub meanwhile, without "+r.Commit[:7]+". In a moment the card says that it opens another")
	// Once it does, its ✅ brings the branch back if that was deleted.
	if err := w.server.DeleteBranch("acme/web", w.branch, "ada"); err != nil {
		t.Fatal(err)
	}
	r.Expect = 0
	pr, err := w.github.Open(t.Context(), r)
	if err != nil || pr.Number != 2 || pr.Adopted {
		t.Fatalf("%+v %v", pr, err)
	}
	third := next("third")
	third.Expect = 2
	if err := w.server.Merge("acme/web", 2, "ada", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := w.github.Open(t.Context(), third); session.CodeOf(err) != session.Conflict || !strings.Contains(session.Sentence(err), "#2 was merged meanwhile, without "+third.Commit[:7]+".") {
		t.Errorf("%v", err)
	}
}

// A pull request that comes to its end between the look at it and the push does not have what was pushed, and nobody says so.
func TestPullRequestEndsDuringThePushRegression(t *testing.T) {
	for ended, end := range map[string]func(w *world) error{
		"merged":           func(w *world) error { return w.server.Merge("acme/web", 1, "ada", "") },
		"closed on GitHub": func(w *world) error { return w.server.ClosePull("acme/web", 1, "ada") },
	} {
		t.Run(ended, func(t *testing.T) {
			w, next := followed(t)
			r := next("second")
			var once sync.Once
			w.server.SetFault(func(c githubtest.Call) *githubtest.Response {
				if c.Route == "git git-receive-pack" && !c.After {
					once.Do(func() {
						if err := end(w); err != nil {
							t.Error(err)
						}
					})
				}
				return nil
			})
			_, err := w.github.Open(t.Context(), r)
			if want := "#1 was " + ended + " meanwhile, without " + r.Commit[:7] + "."; session.CodeOf(err) != session.Conflict || !strings.Contains(session.Sentence(err), want) {
				t.Errorf("%v", err)
			}
		})
	}
}

// A push whose bot was killed right after it, and which was merged before the next one came, is what it is: the pull request has it.
func TestPushThatWasMergedBeforeItWasKnownRegression(t *testing.T) {
	w, next := followed(t)
	r := next("second")
	if _, err := w.github.Open(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.server.Merge("acme/web", 1, "ada", ""), w.server.DeleteBranch("acme/web", w.branch, "ada")); err != nil {
		t.Fatal(err)
	}
	pr, err := w.github.Open(t.Context(), r)
	if err != nil || pr.Number != 1 || pr.Commit != r.Commit {
		t.Errorf("%+v %v", pr, err)
	}
	if at, there := w.server.Refs("acme/web")["refs/heads/"+w.branch]; there {
		t.Errorf("its branch is there again: %s", at)
	}
}
