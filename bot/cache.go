package bot

import (
	"sync"
	"time"

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
	mu    sync.Mutex
	known map[string]cached[T]
}

type cached[T any] struct {
	value T
	until time.Time
}

// get returns what is known of id, asking ask if that is nothing or too old. Errors are not remembered.
func (c *cache[T]) get(id string, ask func() (T, error)) (T, error) {
	now := c.clock.Now()
	c.mu.Lock()
	hit, ok := c.known[id]
	c.mu.Unlock()
	if ok && now.Before(hit.until) {
		return hit.value, nil
	}
	v, err := ask()
	if err != nil {
		return v, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= cacheSize {
		c.known = map[string]cached[T]{}
	}
	c.known[id] = cached[T]{v, now.Add(cacheFor)}
	return v, nil
}
