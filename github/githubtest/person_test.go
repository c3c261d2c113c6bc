package githubtest_test

import (
	"strings"
	"testing"

	"github.com/google/go-github/v66/github"

	"openinspect/github/githubtest"
)

const web = "acme/web"

// told checks the words of a refusal to a person.
func told(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
}

func (w *world) done(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// pull is the first pull request as the API tells of it.
func (w *world) pull() *github.PullRequest {
	w.t.Helper()
	p, _, err := w.as("ada").PullRequests.Get(w.t.Context(), "acme", "web", 1)
	w.done(err)
	return p
}

func TestPeopleReview(t *testing.T) {
	w := newWorld(t)
	sha := w.branch("topic")
	w.open(w.as("ada"), "topic")
	told(t, w.Review(web, 1, "ada", "APPROVE", ""), "422 Unprocessable Entity Can not approve your own pull request")
	told(t, w.Review(web, 1, "bob", "REQUEST_CHANGES", ""), "You need to leave a comment")
	told(t, w.Review(web, 1, "eve", "APPROVE", ""), "404")
	told(t, w.Review(web, 2, "bob", "APPROVE", ""), "404")
	told(t, w.Review(web, 1, "nobody", "APPROVE", ""), `no user "nobody"`)
	before := w.pull().GetUpdatedAt()
	w.clock.advance(60e9)
	w.done(w.Review(web, 1, "bob", "REQUEST_CHANGES", "Not so."))
	w.done(w.Review(web, 1, "ron", "APPROVE", ""))
	w.done(w.Comment(web, 1, "ron", "Nice."))
	equal(t, "updated", w.pull().GetUpdatedAt().After(before.Time), true)
	got := w.Pulls(web)[0]
	if r := got.Reviews[0]; len(got.Reviews) != 2 || r.Author != "bob" || r.State != "CHANGES_REQUESTED" || r.Commit != sha || r.Body != "Not so." {
		t.Errorf("reviews are %+v", got.Reviews)
	}
	equal(t, "comment", got.Comments[0].Body, "Nice.")
	w.done(w.Dismiss(web, 1, "ada", "bob"))
	equal(t, "dismissed", w.Pulls(web)[0].Reviews[0].State, "DISMISSED")
	told(t, w.Dismiss(web, 1, "ada", "bob"), "422")
	told(t, w.Dismiss(web, 1, "ron", "ron"), "404")
}

func TestPeopleOpen(t *testing.T) {
	w := newWorld(t)
	sha := w.branch("topic")
	told(t, w.CreateBranch(web, "one", sha, "ron"), "404")
	told(t, w.CreateBranch(web, "topic", sha, "ada"), "422 Reference already exists")
	for n, branch := range []string{"one", "two"} {
		w.done(w.CreateBranch(web, branch, "topic", "ada"))
		number, err := w.Open(web, "ada", branch, "Title")
		w.done(err)
		equal(t, "number", number, n+1)
		if p := w.Pulls(web)[n]; p.HeadSHA != sha || p.Author != "ada" || p.Head != branch || p.Base != "main" {
			t.Errorf("pull request is %+v", p)
		}
	}
	_, err := w.Open(web, "ada", "one", "Title")
	told(t, err, "A pull request already exists for acme:one.")
	_, err = w.Open(web, "ron", "topic", "Title")
	told(t, err, "must be a collaborator")
}

func TestPeopleClose(t *testing.T) {
	w := newWorld(t)
	w.branch("topic")
	w.open(w.as("ada"), "topic")
	told(t, w.ClosePull(web, 1, "ron"), "404")
	w.done(w.ClosePull(web, 1, "bob"))
	p := w.pull()
	if p.GetState() != "closed" || p.GetMerged() || p.GetMergedBy() != nil || p.ClosedAt == nil {
		t.Errorf("closed pull request is %+v", p)
	}
	w.done(w.ReopenPull(web, 1, "ada"))
	if p = w.pull(); p.GetState() != "open" || p.ClosedAt != nil {
		t.Errorf("opened again it is %+v", p)
	}
	equal(t, "mergeable", w.pull().GetMergeable(), true)
	w.done(w.EditPull(web, 1, "ada", "New", ""))
	w.done(w.SetDraft(web, 1, "ada", true))
	if p = w.pull(); p.GetTitle() != "New" || p.GetBody() != "b" || !p.GetDraft() {
		t.Errorf("edited it is %+v", p)
	}
	told(t, w.Merge(web, 1, "bob", ""), "405 Pull Request is still a draft")
	w.done(w.ClosePull(web, 1, "ada"))
	_, err := w.Push(web, 1, "bob", map[string]string{"more.txt": "more\n"})
	w.done(err)
	w.done(w.ReopenPull(web, 1, "ada")) // commits on top do not forbid that
	w.done(w.ClosePull(web, 1, "ada"))
	_, err = w.ForcePush(web, 1, "bob", map[string]string{"other.txt": "other\n"})
	w.done(err)
	told(t, w.ReopenPull(web, 1, "ada"), "The topic branch was force-pushed or recreated.")
	w.done(w.SetArchived(web, true))
	told(t, w.Comment(web, 1, "ada", "x"), "403 Repository was archived so is read-only.")
}

func TestLockedAndBlocked(t *testing.T) {
	w := newWorld(t)
	w.branch("topic")
	token := must(w.Authorize("ada")).AccessToken
	ada := w.with(token)
	w.open(ada, "topic")
	told(t, w.Lock(web, 1, "ron", true), "404")
	w.done(w.Lock(web, 1, "ada", true))
	equal(t, "locked", w.pull().GetLocked(), true)
	told(t, w.Comment(web, 1, "ron", "x"), "403 Unable to create comment because issue is locked.")
	w.done(w.Comment(web, 1, "bob", "x"))
	w.done(w.Lock(web, 1, "ada", false))
	w.done(w.Comment(web, 1, "ron", "x"))

	dir := w.clone(token, "mine", "mine.txt", "mine\n")
	w.done(w.SetBlocked(web, true))
	_, _, err := ada.PullRequests.Get(t.Context(), "acme", "web", 1)
	refused(t, err, 403, "Repository access blocked")
	_, _, err = w.as("eve").PullRequests.Get(t.Context(), "acme", "web", 1)
	refused(t, err, 404, "Not Found")
	if out, err := w.git(dir, token, "push", "origin", "mine"); err == nil || !strings.Contains(out, "remote: Repository 'acme/web' is disabled.") {
		t.Errorf("git says %q, %v", out, err)
	}
	w.done(w.SetBlocked(web, false))
	w.mustGit(dir, token, "push", "--quiet", "origin", "mine")
}

func TestPeopleMerge(t *testing.T) {
	for method, parents := range map[string]int{"merge": 2, "squash": 1, "rebase": 1} {
		w := newWorld(t)
		sha := w.branch("topic")
		w.open(w.as("ada"), "topic")
		told(t, w.Merge(web, 1, "ron", ""), "404")
		w.done(w.SetMergeMethods(web, method))
		for _, other := range []string{"merge", "squash", "rebase"} {
			if other != method {
				told(t, w.Merge(web, 1, "bob", other), "405 "+strings.ToUpper(other[:1])+other[1:])
			}
		}
		repo, _, err := w.as("ada").Repositories.Get(t.Context(), "acme", "web")
		w.done(err)
		equal(t, "merge commits allowed", repo.GetAllowMergeCommit(), method == "merge")
		equal(t, "squash merges allowed", repo.GetAllowSquashMerge(), method == "squash")
		equal(t, "rebase merges allowed", repo.GetAllowRebaseMerge(), method == "rebase")
		w.done(w.Merge(web, 1, "bob", ""))
		tip := must(w.Log(web, "main"))[0]
		equal(t, method+": parents", len(tip.Parents), parents)
		p := w.pull()
		if !p.GetMerged() || p.GetState() != "closed" || p.GetMergedBy().GetLogin() != "bob" || p.GetMergeCommitSHA() != tip.SHA || p.ClosedAt == nil || p.GetHead().GetSHA() != sha {
			t.Errorf("%s: pull request is %+v", method, p)
		}
		w.done(w.DeleteBranch(web, "topic", "ada"))
		equal(t, "still merged", w.pull().GetMerged(), true)
		told(t, w.ReopenPull(web, 1, "ada"), "The pull request has been merged.")
	}
}

// What protects the default branch keeps people from merging, and says what is missing.
func TestProtection(t *testing.T) {
	w := newWorld(t)
	sha := w.branch("topic")
	w.open(w.as("ada"), "topic")
	w.done(w.Protect(web, 2, "test", "ci"))
	check := func(status, conclusion string) {
		w.done(w.SetCheckRun(web, sha, githubtest.CheckRun{Name: "test", Status: status, Conclusion: conclusion}))
	}
	told(t, w.Merge(web, 1, "ada", ""), "405 At least 2 approving reviews are required by reviewers with write access.")
	w.AddUser(githubtest.User{Login: "cyd", Access: map[string]string{web: "maintain"}})
	w.AddUser(githubtest.User{Login: "tri", Access: map[string]string{web: "triage"}})
	for _, who := range []string{"bob", "tri"} {
		w.done(w.Review(web, 1, who, "APPROVE", ""))
	}
	told(t, w.Merge(web, 1, "ada", ""), "405 At least 2 approving reviews")
	w.done(w.Review(web, 1, "cyd", "REQUEST_CHANGES", "No."))
	told(t, w.Merge(web, 1, "ada", ""), "405 Changes have been requested by a reviewer with write access.")
	w.done(w.Review(web, 1, "cyd", "APPROVE", ""))
	told(t, w.Merge(web, 1, "ada", ""), `405 Required status check "test" is expected.`)
	check("in_progress", "")
	told(t, w.Merge(web, 1, "ada", ""), `405 Required status check "test" is in progress.`)
	check("", "failure")
	told(t, w.Merge(web, 1, "ada", ""), `405 Required status check "test" is failing.`)
	check("", "skipped")
	told(t, w.Merge(web, 1, "ada", ""), `405 Required status check "ci" is expected.`)
	for _, state := range []string{"pending", "failure"} {
		w.done(w.SetStatus(web, sha, githubtest.Status{Context: "ci", State: state}))
		told(t, w.Merge(web, 1, "ada", ""), `405 Required status check "ci" is `+map[string]string{"pending": "pending", "failure": "failing"}[state])
	}
	w.done(w.SetStatus(web, sha, githubtest.Status{Context: "ci", State: "success"}))
	w.done(w.Merge(web, 1, "ada", ""))
}

// Roles are five, of which what is older than they are knows three.
func TestRoles(t *testing.T) {
	w := newWorld(t)
	for role, want := range map[string]string{"read": "read", "triage": "read", "write": "write", "maintain": "write", "admin": "admin"} {
		w.AddUser(githubtest.User{Login: "zoe", Access: map[string]string{web: role}})
		level, _, err := w.as("ada").Repositories.GetPermissionLevel(t.Context(), "acme", "web", "zoe")
		w.done(err)
		equal(t, role, level.GetPermission(), want)
		equal(t, role+": may push", level.GetUser().Permissions["push"], want != "read")
		equal(t, role+": role", level.GetUser().GetRoleName(), role)
	}
	w.AddUser(githubtest.User{Login: "mem", Member: []string{"Acme"}, Access: map[string]string{web: "read"}})
	w.branch("topic")
	w.open(w.as("ada"), "topic")
	for who, want := range map[string]string{"mem": "MEMBER", "ron": "COLLABORATOR", "ada": "MEMBER"} {
		m, _, err := w.as(who).Issues.CreateComment(t.Context(), "acme", "web", 1, &github.IssueComment{Body: github.String("x")})
		w.done(err)
		equal(t, who, m.GetAuthorAssociation(), want)
	}
	w.done(w.AddRepository(githubtest.Repository{Name: "acme/new", Private: true}))
	for name, size := range map[string]int{"new": 0, "web": 1} {
		repo, _, err := w.as("bob").Repositories.Get(t.Context(), "acme", name)
		w.done(err)
		equal(t, name+": size", repo.GetSize(), size)
	}
}

func TestPeoplePush(t *testing.T) {
	w := newWorld(t)
	first := w.branch("topic")
	w.open(w.as("ada"), "topic")
	_, err := w.Push(web, 1, "ron", map[string]string{"a": "a\n"})
	told(t, err, "404")
	second := must(w.Push(web, 1, "bob", map[string]string{"a": "a\n"}))
	equal(t, "head", w.pull().GetHead().GetSHA(), second)
	log := must(w.Log(web, "main..topic"))
	if len(log) != 2 || log[1].SHA != first || log[0].Author.Email != "102+bob@users.noreply.github.com" {
		t.Errorf("commits are %+v", log)
	}
	base := must(w.Commit(web, githubtest.Change{Files: map[string]string{"base": "b\n"}}))
	told(t, w.UpdateBranch(web, 1, "ron"), "404")
	w.done(w.UpdateBranch(web, 1, "ada"))
	log = must(w.Log(web, "topic"))
	equal(t, "parents of the update", strings.Join(log[0].Parents, " "), second+" "+base)
	told(t, w.UpdateBranch(web, 1, "ada"), "There are no new commits on the base branch.")
	forced := must(w.ForcePush(web, 1, "bob", map[string]string{"c": "c\n"}))
	equal(t, "head", w.pull().GetHead().GetSHA(), forced)
	log = must(w.Log(web, "main..topic"))
	if len(log) != 1 || log[0].Parents[0] != base {
		t.Errorf("commits after the push by force are %+v", log)
	}
	told(t, w.DeleteBranch(web, "topic", "ron"), "404")
	w.done(w.DeleteBranch(web, "topic", "bob"))
	p := w.pull()
	if p.GetState() != "closed" || p.GetMerged() {
		t.Errorf("without its branch the pull request is %+v", p)
	}
	told(t, w.ReopenPull(web, 1, "ada"), "The topic branch has been deleted.")
	told(t, w.DeleteBranch(web, "topic", "bob"), "422 Reference does not exist")
}
