package bot

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// Many threads of one channel begin at once after a start: Slack is asked once.
func TestCacheJoinsRegression(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cache[string]{clock: newLeap()}
		var asked atomic.Int64
		answer := make(chan error)
		ask := func() (string, error) {
			asked.Add(1)
			return "general", <-answer
		}
		got := make(chan error, 50)
		call := func(ctx context.Context) {
			v, err := c.get(ctx, "C0GENERAL", ask)
			if err == nil && v != "general" {
				err = errors.New("got " + v)
			}
			got <- err
		}
		first, leave := context.WithCancel(t.Context())
		go call(first)
		synctest.Wait()
		for range 49 {
			go call(t.Context())
		}
		synctest.Wait()
		leave() // whoever asked first does not take the answer away from the others
		if err := <-got; !errors.Is(err, context.Canceled) {
			t.Errorf("who left got %v", err)
		}
		answer <- nil
		for range 49 {
			if err := <-got; err != nil {
				t.Error(err)
			}
		}
		go call(t.Context())
		if err := <-got; err != nil || asked.Load() != 1 {
			t.Errorf("asked %d times, %v", asked.Load(), err)
		}
		refused := errors.New("refused") // is not remembered
		for range 2 {
			if _, err := c.get(t.Context(), "other", func() (string, error) { asked.Add(1); return "", refused }); !errors.Is(err, refused) {
				t.Error(err)
			}
		}
		if asked.Load() != 3 {
			t.Errorf("asked %d times", asked.Load())
		}
	})
}
