package modaltest

import (
	"context"
	"io"
	"sync"
)

// output is all that a process has written to one of its streams, to be read from any offset. The zero value is ready.
type output struct {
	mu     sync.Mutex
	bytes  []byte
	closed bool
	more   chan struct{} // closed with the next change
}

func (o *output) Write(p []byte) (int, error) {
	o.change(func() { o.bytes = append(o.bytes, p...) })
	return len(p), nil
}

// close tells that nothing will follow.
func (o *output) close() { o.change(func() { o.closed = true }) }

func (o *output) change(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f()
	if o.more != nil {
		close(o.more)
		o.more = nil
	}
}

func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.bytes)
}

// chunk is how much is read at once.
const chunk = 64 << 10

// next returns what follows an offset, once there is something; io.EOF at the end.
func (o *output) next(ctx context.Context, offset int) ([]byte, error) {
	for {
		o.mu.Lock()
		if offset < len(o.bytes) {
			b := append([]byte(nil), o.bytes[offset:min(len(o.bytes), offset+chunk)]...)
			o.mu.Unlock()
			return b, nil
		}
		closed := o.closed
		if o.more == nil {
			o.more = make(chan struct{})
		}
		more := o.more
		o.mu.Unlock()
		if closed {
			return nil, io.EOF
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
