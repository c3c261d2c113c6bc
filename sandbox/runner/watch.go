package runner

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"openinspect/session"
)

// A turn without any progress for stallAfter is ended; that is looked at every stallLook.
const (
	stallAfter = 10 * time.Minute
	stallLook  = time.Minute
)

// errStalled cancels a turn that made no progress.
var errStalled = errors.New("no progress")

// progress is what a turn moves on by: something the agent tells, a tool that runs, a model call under way.
type progress struct {
	clock    session.Clock
	inFlight func() int

	mu    sync.Mutex
	last  time.Time
	tools map[string]bool // calls that run
}

func newProgress(c Config) *progress {
	return &progress{clock: c.Clock, inFlight: c.InFlight, last: c.Clock.Now(), tools: map[string]bool{}}
}

// told notes that the agent told something: an event, or a delta.
func (p *progress) told(e *session.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = p.clock.Now()
	switch {
	case e == nil || e.Tool == nil:
	case e.Tool.State == session.StepRunning:
		p.tools[e.Tool.Call] = true
	default:
		delete(p.tools, e.Tool.Call)
	}
}

// busy returns how many tools run and how many model calls are under way.
func (p *progress) busy() (tools, models int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.tools), p.inFlight()
}

// stalled reports whether there was no progress for too long.
func (p *progress) stalled() bool {
	tools, models := p.busy()
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	if tools+models > 0 {
		p.last = now
	}
	return now.Sub(p.last) >= stallAfter
}

// watch ends a turn that stalls; it returns what ends the watching.
func (r *runner) watch(t *turn) (stop func()) {
	watching, stop := context.WithCancel(context.Background())
	var look func()
	look = func() {
		switch {
		case watching.Err() != nil:
		case t.progress.stalled():
			t.stop(errStalled)
		default:
			r.cfg.Clock.AfterFunc(stallLook, look)
		}
	}
	r.cfg.Clock.AfterFunc(stallLook, look)
	return stop
}

// stalledWords tells people about a turn that was ended for want of progress.
func (r *runner) stalledWords() string {
	return strings.TrimSpace(fmt.Sprintf("The agent made no progress for %d minutes and was stopped. Please send your message again. %s",
		int(stallAfter.Minutes()), r.cfg.Agent.Words()))
}
