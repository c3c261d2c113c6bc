package githubtest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-github/v66/github"

	"openinspect/github/githubtest"
)

// inbox takes webhooks as an App would.
type inbox struct {
	mu    sync.Mutex
	heard []string
}

// ServeHTTP checks the signature, lets the client's library parse the payload, and notes what it says in one line.
func (i *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	payload, err := github.ValidatePayload(r, []byte("hush"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	event, err := github.ParseWebHook(github.WebHookType(r), payload)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.heard = append(i.heard, line(event))
	w.WriteHeader(http.StatusAccepted)
}

func line(event any) string {
	switch e := event.(type) {
	case *github.PullRequestEvent:
		return fmt.Sprintf("pull_request %s #%d by %s merged=%v", e.GetAction(), e.GetNumber(), e.GetSender().GetLogin(), e.GetPullRequest().GetMerged())
	case *github.PullRequestReviewEvent:
		return fmt.Sprintf("review %s #%d %s by %s", e.GetAction(), e.GetPullRequest().GetNumber(), e.GetReview().GetState(), e.GetReview().GetUser().GetLogin())
	case *github.PullRequestReviewCommentEvent:
		return fmt.Sprintf("line %s #%d %s:%d", e.GetAction(), e.GetPullRequest().GetNumber(), e.GetComment().GetPath(), e.GetComment().GetLine())
	case *github.IssueCommentEvent:
		return fmt.Sprintf("comment %s #%d %v %s", e.GetAction(), e.GetIssue().GetNumber(), e.GetIssue().IsPullRequest(), e.GetComment().GetBody())
	case *github.CheckRunEvent:
		return fmt.Sprintf("check %s %s %s #%d", e.GetAction(), e.GetCheckRun().GetName(), e.GetCheckRun().GetConclusion(), e.GetCheckRun().PullRequests[0].GetNumber())
	case *github.StatusEvent:
		return fmt.Sprintf("status %s %s", e.GetContext(), e.GetState())
	case *github.PushEvent:
		return fmt.Sprintf("push %s created=%v deleted=%v forced=%v", e.GetRef(), e.GetCreated(), e.GetDeleted(), e.GetForced())
	case *github.InstallationEvent:
		return fmt.Sprintf("installation %s on %s", e.GetAction(), e.GetInstallation().GetAccount().GetLogin())
	case *github.InstallationRepositoriesEvent:
		return fmt.Sprintf("repositories %s: %d added, %d removed", e.GetAction(), len(e.RepositoriesAdded), len(e.RepositoriesRemoved))
	case *github.RepositoryEvent:
		return fmt.Sprintf("repository %s, now %s", e.GetAction(), e.GetRepo().GetFullName())
	case *github.GitHubAppAuthorizationEvent:
		return fmt.Sprintf("authorization %s by %s", e.GetAction(), e.GetSender().GetLogin())
	}
	return fmt.Sprintf("%T", event)
}

// hooked is a world whose webhooks come into an inbox.
func hooked(t *testing.T, secret string) (*world, *inbox) {
	w, in := newWorld(t), &inbox{}
	receiver := httptest.NewServer(in)
	t.Cleanup(receiver.Close)
	w.SetWebhook(receiver.URL+"/webhooks/github", secret)
	return w, in
}

// delivered waits until everything has been sent.
func (w *world) delivered() []githubtest.Delivery {
	w.t.Helper()
	w.done(w.Wait(soon(w.t), func() bool {
		list := w.Deliveries()
		return len(list) > 0 && (list[len(list)-1].Status != 0 || list[len(list)-1].Err != nil)
	}))
	return w.Deliveries()
}

func TestWebhooks(t *testing.T) {
	w, in := hooked(t, "hush")
	sha := w.branch("topic")
	w.open(w.as("ada"), "topic")
	check := func(status, conclusion string) {
		w.done(w.SetCheckRun(web, sha, githubtest.CheckRun{Name: "test", Status: status, Conclusion: conclusion}))
	}
	check("queued", "")
	check("", "failure")
	w.done(w.SetStatus(web, sha, githubtest.Status{Context: "ci", State: "success"}))
	w.done(w.Review(web, 1, "bob", "REQUEST_CHANGES", "No.", githubtest.LineComment{Path: "topic.txt", Line: 1, Body: "?"}))
	w.done(w.Dismiss(web, 1, "ada", "bob"))
	w.done(w.Comment(web, 1, "ron", "Hello."))
	w.done(w.ClosePull(web, 1, "ada"))
	w.done(w.ReopenPull(web, 1, "ada"))
	must(w.ForcePush(web, 1, "bob", map[string]string{"x": "x\n"}))
	w.done(w.Merge(web, 1, "bob", "squash"))
	w.done(w.DeleteBranch(web, "topic", "bob"))
	w.done(w.Rename(web, "acme/shop"))
	w.done(w.SetArchived("acme/shop", true))
	w.done(w.SetInstalled("acme/shop", false))
	w.done(w.SetArchived("acme/shop", false)) // which the App does not learn of
	w.done(w.Suspend("acme", true))
	w.RevokeAuthorization("ada")
	for _, d := range w.delivered() {
		if d.Status != http.StatusAccepted || d.Err != nil || d.ID == "" {
			t.Errorf("%s %s was answered %d, %v", d.Event, d.Action, d.Status, d.Err)
		}
	}
	const want = `push refs/heads/topic created=true deleted=false forced=false
pull_request opened #1 by ada merged=false
check created test  #1
check completed test failure #1
status ci success
review submitted #1 changes_requested by bob
line created #1 topic.txt:1
review dismissed #1 dismissed by bob
comment created #1 true Hello.
pull_request closed #1 by ada merged=false
pull_request reopened #1 by ada merged=false
push refs/heads/topic created=false deleted=false forced=true
pull_request synchronize #1 by bob merged=false
pull_request closed #1 by bob merged=true
push refs/heads/main created=false deleted=false forced=false
push refs/heads/topic created=false deleted=true forced=false
repository renamed, now acme/shop
repository archived, now acme/shop
repositories removed: 0 added, 1 removed
installation suspend on acme
authorization revoked by ada`
	if got := strings.Join(in.heard, "\n"); got != want {
		t.Errorf("heard:\n%s\nwant:\n%s", got, want)
	}
}

func TestWebhookDelivery(t *testing.T) {
	w, in := hooked(t, "another")
	w.branch("one")
	equal(t, "status with a wrong signature", w.delivered()[0].Status, http.StatusForbidden)
	w.SetWebhook("", "")
	w.branch("two")
	equal(t, "deliveries while there is no webhook", len(w.Deliveries()), 1)

	receiver := httptest.NewServer(in)
	w.SetWebhook(receiver.URL, "hush")
	w.done(w.Redeliver(w.Deliveries()[0].ID))
	list := w.delivered()
	equal(t, "status of the second try", list[1].Status, http.StatusAccepted)
	equal(t, "id of the second try", list[1].ID, list[0].ID)
	equal(t, "heard", strings.Join(in.heard, "\n"), "push refs/heads/one created=true deleted=false forced=false")
	told(t, w.Redeliver("x"), `no delivery "x"`)

	// Nobody listens any more, and nobody is waited for.
	receiver.Close()
	w.branch("three")
	last := w.delivered()[2]
	if last.Status != 0 || last.Err == nil {
		t.Errorf("delivery to nobody: %d, %v", last.Status, last.Err)
	}
	// One that never answers does not hold up what happens, nor the end.
	stalled := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // a server only notices that its client is gone once it has read what came
		<-r.Context().Done()
	}))
	t.Cleanup(stalled.Close)
	w.SetWebhook(stalled.URL, "hush")
	w.branch("four")
	equal(t, "branches", len(w.Branches(web)), 5)
	w.done(w.Close())
	if w.Deliveries()[3].Err == nil {
		t.Error("the one that was not answered ended well")
	}
}
