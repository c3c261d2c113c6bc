package github

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"openinspect/github/githubtest"
	"openinspect/session"
	"openinspect/session/sessiontest"
)

const hush = "a secret that GitHub knows"

func signature(algorithm func() hash.Hash, secret, body string) string {
	mac := hmac.New(algorithm, []byte(secret))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

// TestHookRefuses: what is not signed with the secret, too large or broken is refused, and nothing is looked at.
func TestHookRefuses(t *testing.T) {
	w := newWorld(t)
	var said atomic.Int32
	w.github.c.Report = func(string, error) { said.Add(1) }
	w.github.c.Clock = &sessiontest.Clock{}
	const body = `{"repository":{"full_name":"acme/web"},"pull_request":{"number":1}}`
	good := "sha256=" + signature(sha256.New, hush, body)
	for _, tt := range []struct {
		name, secret, kind, body string
		headers                  map[string]string
		status                   int
	}{
		{"good", hush, "application/json", body, map[string]string{"X-Hub-Signature-256": good}, 202},
		{"with a charset", hush, "application/json; charset=utf-8", body, map[string]string{"X-Hub-Signature-256": good}, 202},
		{"broken but signed", hush, "application/json", "{", map[string]string{"X-Hub-Signature-256": "sha256=" + signature(sha256.New, hush, "{")}, 202},
		{"unsigned", hush, "application/json", body, nil, 401},
		{"another secret", hush, "application/json", body, map[string]string{"X-Hub-Signature-256": "sha256=" + signature(sha256.New, "", body)}, 401},
		{"another body", hush, "application/json", body + " ", map[string]string{"X-Hub-Signature-256": good}, 401},
		{"only the old signature", hush, "application/json", body, map[string]string{"X-Hub-Signature": "sha1=" + signature(sha1.New, hush, body)}, 401},
		{"no hex", hush, "application/json", body, map[string]string{"X-Hub-Signature-256": "sha256=zz"}, 401},
		{"another kind", hush, "text/plain", body, map[string]string{"X-Hub-Signature-256": good}, 415},
		{"of no kind", hush, "", body, map[string]string{"X-Hub-Signature-256": good}, 415},
		{"too large", hush, "application/json", strings.Repeat("x", maxHook+1), map[string]string{"X-Hub-Signature-256": good}, 413},
		{"no secret, unsigned", "", "application/json", body, nil, 404},
		{"no secret, signed with none", "", "application/json", body, map[string]string{"X-Hub-Signature-256": "sha256=" + signature(sha256.New, "", body)}, 404},
	} {
		w.github.c.WebhookSecret = tt.secret
		r := httptest.NewRequest(http.MethodPost, WebhookPath, strings.NewReader(tt.body))
		r.Header.Set("Content-Type", tt.kind)
		r.Header.Set("X-GitHub-Event", "pull_request")
		for name, value := range tt.headers {
			r.Header.Set(name, value)
		}
		got := httptest.NewRecorder()
		w.github.Hook().ServeHTTP(got, r)
		if got.Code != tt.status {
			t.Errorf("%s: %d %s", tt.name, got.Code, got.Body)
		}
	}
	if said.Load() != 1 {
		t.Errorf("the operator was told %d times", said.Load())
	}
}

// TestReadHook: what a webhook is about, and that one with nothing in it is about all of its repository's pull requests.
func TestReadHook(t *testing.T) {
	p := &watched{Followed: session.Followed{Repo: web, Number: 7}, head: "aaa", branch: "inspect/x"}
	for payload, want := range map[string]bool{
		`pull_request {"repository":{"full_name":"Acme/Web"},"pull_request":{"number":7}}`:                             true,
		`pull_request {"repository":{"full_name":"acme/web"},"pull_request":{"number":8}}`:                             false,
		`pull_request {"repository":{"full_name":"acme/other"},"pull_request":{"number":7}}`:                           false,
		`issue_comment {"repository":{"full_name":"acme/web"},"issue":{"number":7}}`:                                   true,
		`check_run {"repository":{"full_name":"acme/web"},"check_run":{"head_sha":"bbb","pull_requests":[]}}`:          false,
		`check_run {"repository":{"full_name":"acme/web"},"check_run":{"head_sha":"aaa","pull_requests":null}}`:        true,
		`check_suite {"repository":{"full_name":"acme/web"},"check_suite":{"pull_requests":[{"number":7}]}}`:           true,
		`status {"repository":{"full_name":"acme/web"},"sha":"aaa"}`:                                                   true,
		`push {"repository":{"full_name":"acme/web"},"ref":"refs/heads/inspect/x"}`:                                    true,
		`push {"repository":{"full_name":"acme/web"},"ref":"refs/heads/main"}`:                                         false,
		`push {"repository":{"full_name":"acme/web"},"ref":"refs/tags/inspect/x"}`:                                     false,
		`repository {"repository":{"full_name":"acme/web"}}`:                                                           true,
		`ping {"zen":"Keep it logically awesome."}`:                                                                    false,
		`pull_request {"repository":"acme/web","pull_request":{"number":7}}`:                                           false,
		`pull_request {"repository":{"full_name":"acme/web"},"pull_request":{"number":"7"},"check_run":{"number":[]}}`: false,
		`pull_request [[[`: false,
	} {
		event, body, _ := strings.Cut(payload, " ")
		if got := readHook(event, []byte(body)).of(p); got != want {
			t.Errorf("%s: %v", payload, got)
		}
	}
}

// TestHint: a webhook, of which nothing is believed, has its pull request looked at without waiting, and however many come, once a second.
func TestHint(t *testing.T) {
	w, commit := pulled(t)
	clock := &sessiontest.Clock{}
	w.github.c.Clock, w.github.c.WebhookSecret = clock, hush
	seen := make(chan session.PullRequestSeen, 10)
	w.github.c.Seen = func(_ context.Context, _ session.ID, in session.PullRequestSeen) error { seen <- in; return nil }
	w.github.c.Followed = func(context.Context) ([]session.Followed, error) { return nil, nil }
	watch := newWatch(w.github)
	w.github.watch = watch
	listener := httptest.NewServer(w.github.Hook())
	defer listener.Close()
	running(t, watch)
	watch.Follow(session.Followed{Session: id, Repo: web, Number: 1})
	clock.Wait(1)
	clock.Advance(soonEvery)
	<-seen
	clock.Wait(1)
	clock.Advance(2 * time.Second)
	w.server.SetWebhook(listener.URL+WebhookPath, hush)
	must(t, w.server.SetCheckRun("acme/web", commit, githubtest.CheckRun{Name: "unit", Conclusion: "failure"}))
	if in := <-seen; in.PullRequest.Checks.State != session.ChecksFailed {
		t.Errorf("after the first: %+v", in)
	}
	must(t, w.server.SetCheckRun("acme/web", commit, githubtest.CheckRun{Name: "unit", Conclusion: "success"}))
	answered := func() {
		t.Helper()
		if err := w.server.Wait(t.Context(), func() bool {
			for _, d := range w.server.Deliveries() {
				if d.Status == 0 && d.Err == nil {
					return false
				}
			}
			return true
		}); err != nil {
			t.Fatal(err)
		}
	}
	answered()
	clock.Wait(1)
	looks := w.server.Calls()[routePull]
	for _, d := range w.server.Deliveries() {
		for range 10 {
			must(t, w.server.Redeliver(d.ID))
		}
	}
	answered()
	clock.Wait(1)
	if n := w.server.Calls()[routePull] - looks; n != 0 || len(seen) != 0 {
		t.Errorf("%d looks within a second", n)
	}
	clock.Advance(hintEvery)
	if in := <-seen; in.PullRequest.Checks.State != session.ChecksGreen {
		t.Errorf("a second later: %+v", in)
	}
	clock.Wait(1)
	if n := w.server.Calls()[routePull] - looks; n != 1 {
		t.Errorf("%d looks for %d webhooks", n, len(w.server.Deliveries()))
	}
	// One that says what is not so changes nothing.
	clock.Advance(2 * time.Second)
	looks = w.server.Calls()[routePull]
	lie := `{"action":"closed","repository":{"full_name":"acme/web"},"pull_request":{"number":1,"state":"closed","merged":true}}`
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, listener.URL+WebhookPath, bytes.NewReader([]byte(lie)))
	must(t, err)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Hub-Signature-256", "sha256="+signature(sha256.New, hush, lie))
	resp, err := http.DefaultClient.Do(r)
	must(t, err)
	resp.Body.Close()
	for w.server.Calls()[routePull] == looks {
		runtime.Gosched()
	}
	clock.Wait(1) // it is over
	if len(seen) != 0 || resp.StatusCode != 202 {
		t.Errorf("%d, told %d", resp.StatusCode, len(seen))
	}
}
