package github

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"openinspect/github/githubtest"
	"openinspect/session"
	"openinspect/session/boltdb"
)

// asked is a store that tells what is stored, in order.
type asked struct {
	Store
	mu     sync.Mutex
	stored []userToken
}

func (s *asked) PutSecret(ctx context.Context, key string, value []byte) error {
	var t userToken
	if key == userKey("UBOB") && json.Unmarshal(value, &t) == nil {
		s.mu.Lock()
		s.stored = append(s.stored, t)
		s.mu.Unlock()
	}
	return s.Store.PutSecret(ctx, key, value)
}

// TestRefreshOnce: many who need a person's token at once, when it has ended or GitHub takes it no more, renew it once between them: a refresh token is
// good for one use, and a second would end the link. What came of it is stored before anybody has it.
func TestRefreshOnce(t *testing.T) {
	const route = "POST /login/oauth/access_token"
	for name, stale := range map[string]bool{"over": false, "refused": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.link(bob)
			c := w.github.c
			store := &asked{Store: c.Store}
			c.Store = store
			g, err := New(c)
			must(t, err)
			old, err := g.token(t.Context(), "UBOB", "")
			must(t, err)
			dead := old.Access
			if !stale {
				dead = ""
				old.Expires = c.Clock.Now().Add(-time.Hour)
				must(t, g.storeToken(t.Context(), "UBOB", old))
			}
			before, was := w.server.Calls()[route], len(store.stored)
			got := make([]userToken, 8)
			kept := make([]bool, len(got))
			var all sync.WaitGroup
			begin := make(chan struct{})
			for i := range got {
				all.Go(func() {
					<-begin
					token, err := g.token(t.Context(), "UBOB", dead)
					if err != nil {
						t.Error(err)
						return
					}
					got[i] = token
					store.mu.Lock()
					defer store.mu.Unlock()
					kept[i] = len(store.stored) > was && store.stored[len(store.stored)-1].Access == token.Access
				})
			}
			close(begin)
			all.Wait()
			if n := w.server.Calls()[route] - before; n != 1 {
				t.Errorf("renewed %d times", n)
			}
			for i, token := range got {
				if token.Access == old.Access || token.Access != got[0].Access || !kept[i] {
					t.Errorf("the %dth has %+v, stored before: %v", i, token, kept[i])
				}
			}
			if n := len(store.stored) - was; n != 1 {
				t.Errorf("stored %d times", n)
			}
			client, err := g.userClient(got[0])
			must(t, err)
			if u, _, err := client.Users.Get(t.Context(), ""); err != nil || account(u) != *bob.GitHub {
				t.Errorf("GitHub takes it for %v: %v", account(u), err)
			}
		})
	}
}

// TestLoginChanges: with each new token it is asked how its person is called by now.
func TestLoginChanges(t *testing.T) {
	w := newWorld(t)
	w.link(bob)
	db := w.github.c.Store.(*boltdb.DB)
	for _, tt := range []struct {
		answer *githubtest.Response
		want   session.Identity
	}{
		{user(102, "robert"), session.Identity{ID: 102, Login: "robert"}},
		{githubtest.Busy(502), session.Identity{ID: 102, Login: "robert"}},
		{user(103, "eve"), session.Identity{ID: 102, Login: "robert"}}, // of another account nothing is believed
		{user(102, "robert"), session.Identity{ID: 102, Login: "robert"}},
	} {
		was, err := w.github.token(t.Context(), "UBOB", "")
		must(t, err)
		w.server.Fail("GET /user", 1, false, tt.answer)
		token, err := w.github.token(t.Context(), "UBOB", was.Access)
		must(t, err)
		kept, err := w.github.token(t.Context(), "UBOB", "")
		must(t, err)
		u, err := db.User(t.Context(), "UBOB")
		must(t, err)
		if token.Access == was.Access || token.Identity != tt.want || kept.Access != token.Access || kept.Identity != tt.want || *u.GitHub != tt.want {
			t.Errorf("%+v, kept %+v, known as %+v", token.Identity, kept.Identity, u.GitHub)
		}
	}
	log, err := db.AuditLog(t.Context(), session.AuditQuery{})
	must(t, err)
	if len(log) != 2 || log[1].Action != "link" || log[1].By.GitHub.Login != "robert" {
		t.Errorf("audited is %+v", log)
	}
}

func user(id int64, login string) *githubtest.Response {
	return &githubtest.Response{Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: fmt.Appendf(nil, `{"id":%d,"login":%q}`, id, login)}
}

// TestUnlinkWhileRenewed: who unlinks while their token is being renewed is unlinked.
func TestUnlinkWhileRenewed(t *testing.T) {
	w := newWorld(t)
	w.link(bob)
	token, err := w.github.token(t.Context(), "UBOB", "")
	must(t, err)
	renewed := w.github.users.lock("UBOB")
	done := make(chan error)
	go func() { done <- w.github.Unlink(context.Background(), "UBOB") }()
	for range 300_000 { // time enough for one that does not wait
		runtime.Gosched()
	}
	must(t, w.github.storeToken(t.Context(), "UBOB", token))
	renewed()
	must(t, <-done)
	if _, err := w.github.token(t.Context(), "UBOB", ""); !errors.Is(err, errUnlinked) {
		t.Errorf("their token is kept: %v", err)
	}
}
