package sandbox

import (
	"context"
	"sync"

	"openinspect/session"
)

// A batch is what is committed at once; it is also how far reading may run ahead of the commits.
const (
	batchEvents = 500
	batchBytes  = 256 << 10
)

// intake is what was read of a journal and is not committed yet. One goroutine reads, decodes and redacts while another commits: what comes
// during a commit is the next batch, and a session that takes its time slows its runner down.
type intake struct {
	mu     sync.Mutex
	next   []told
	events int
	size   int
	err    error         // why nothing more comes
	filled chan struct{} // has room for one signal: there is something to take
	taken  chan struct{} // has room for one signal: there is room again
}

// told is one thing a runner told: an event with its number, or a delta.
type told struct {
	n     int64
	event session.Event
	delta *session.Delta
}

func newIntake() *intake {
	return &intake{filled: make(chan struct{}, 1), taken: make(chan struct{}, 1)}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// put adds one thing of some size; it waits while there is a whole batch already.
func (i *intake) put(ctx context.Context, t told, size int) error {
	for {
		i.mu.Lock()
		full := i.events >= batchEvents || i.size > 0 && i.size+size > batchBytes
		if !full {
			i.next = append(i.next, t)
			i.size += size
			if t.delta == nil {
				i.events++
			}
		}
		i.mu.Unlock()
		if !full {
			signal(i.filled)
			return nil
		}
		select {
		case <-i.taken:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// end tells that nothing more comes, and why.
func (i *intake) end(err error) {
	i.mu.Lock()
	i.err = err
	i.mu.Unlock()
	signal(i.filled)
}

// take waits for something and takes all of it. The error of end comes when everything before it was taken.
func (i *intake) take() ([]told, error) {
	for {
		i.mu.Lock()
		all, err := i.next, i.err
		i.next, i.events, i.size = nil, 0, 0
		i.mu.Unlock()
		if len(all) > 0 {
			signal(i.taken)
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		<-i.filled
	}
}
