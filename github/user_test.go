package github

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"
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
