package bot

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"openinspect/session"
)

// Slack's facts about people and channels are asked for again after a while; at most so many are remembered.
const (
	cacheFor  = 10 * time.Minute
	cacheSize = 5_000
)

// cache remembers answers of Slack's.
type cache[T any] struct {
	clock session.Clock
	asked singleflight.Group // what is asked at the moment

	mu    sync.Mutex
	known map[string]cached[T]
}

type cached[T any] struct {
	value T
	until time.Time
}

// get returns what is known of id, asking ask if that is nothing or too old: once, whoever else wants to know it meanwhile. The answer is for all of
// them, so ask goes on when ctx ends, which ends this wait alone. Errors are not remembered.
func (c *cache[T]) get(ctx context.Context, id string, ask func() (T, error)) (T, error) {
	if v, ok := c.remembered(id); ok {
		return v, nil
	}
	answer := c.asked.DoChan(id, func() (any, error) {
		if v, ok := c.remembered(id); ok { // answered since we looked
			return v, nil
		}
		v, err := ask()
		if err == nil {
			c.remember(id, v)
		}
		return v, err
	})
	select {
	case a := <-answer:
		v, _ := a.Val.(T)
		return v, a.Err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

func (c *cache[T]) remembered(id string) (T, bool) {
	now := c.clock.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	hit, ok := c.known[id]
	return hit.value, ok && now.Before(hit.until)
}

func (c *cache[T]) remember(id string, v T) {
	until := c.clock.Now().Add(cacheFor)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= cacheSize {
		c.known = map[string]cached[T]{}
	}
	c.known[id] = cached[T]{v, until}
}
