package runner

import (
	"context"
	"regexp"
	"sync"
	"time"

	"openinspect/session"
)

// A transfer from the remote may take as long as it takes, up to transferLimit, while git tells that something comes: a large repository over a slow
// connection is not ended in the middle. transferSilence is how long it may tell nothing.
const (
	transferLimit   = 45 * time.Minute
	transferSilence = 5 * time.Minute
)

// pulse ends a transfer that has been silent for too long. It is written what git says of its progress.
type pulse struct {
	clock session.Clock
	end   context.CancelCauseFunc

	mu   sync.Mutex
	stop func() bool
	over bool
}

func newPulse(clock session.Clock, end context.CancelCauseFunc) *pulse {
	p := &pulse{clock: clock, end: end, stop: func() bool { return true }}
	p.beat()
	return p
}

func (p *pulse) beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop()
	if !p.over {
		p.stop = p.clock.AfterFunc(transferSilence, func() { p.end(errSilent) })
	}
}

// Write implements io.Writer.
func (p *pulse) Write(b []byte) (int, error) {
	p.beat()
	return len(b), nil
}

// close ends the watch.
func (p *pulse) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	p.stop()
}

// progressLine is what git tells while all is well; of a line that was drawn over and over, each drawing.
var progressLine = regexp.MustCompile(`(?m)(^|\r)(remote: )?(Cloning into|Enumerating|Counting|Compressing|Receiving|Resolving|Updating|Filtering|Unpacking|Total) [^\r\n]*`)
