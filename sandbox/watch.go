package sandbox

import (
	"context"
	"sync"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// A runner ends a turn that makes no progress for ten minutes; it alone knows which tools run. stallAfter is for one that does not: it is asked,
// and once more after stallAgain, which leaves an honest one the time to do so, and a computer that slept the time to wake up.
const (
	stallAfter = 10 * time.Minute
	stallAgain = 2 * time.Minute
)

// noteProgress notes that something came of the agent's work.
func (a *attachment) noteProgress() {
	now := a.m.c.Clock.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.progressAt = now
}

// notePrompt notes that the runner is given a prompt. To be given it once more is no progress: a runner that never takes it would not be judged.
func (a *attachment) notePrompt(prompt string) {
	now := a.m.c.Clock.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.prompt != prompt || !a.turn {
		a.progressAt = now
	}
	a.prompt, a.turn = prompt, true
}

// noteEvent notes an event of the runner's.
func (a *attachment) noteEvent(e *session.Event) {
	a.noteProgress()
	a.mu.Lock()
	defer a.mu.Unlock()
	if e.PromptID != "" {
		a.turn = e.Turn == nil || e.Turn.State != session.TurnAnswered
	}
}

// turnRuns reports whether a turn goes on, as far as the bot has heard.
func (a *attachment) turnRuns() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.turn
}

// stallLeft returns how much longer nothing may come, and since when nothing has.
func (a *attachment) stallLeft() (left time.Duration, since time.Time) {
	now := a.m.c.Clock.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	return stallAfter - now.Sub(a.progressAt), a.progressAt
}

// watchTurn tells the session when nothing comes of a turn and the runner, asked twice, shows no reason to wait or does not answer. Of a link
// that is silent altogether watch decides.
func (a *attachment) watchTurn(ctx context.Context, l *link.Link) {
	after := a.timer(ctx)
	var suspect time.Time // since when nothing had come at the first look; whatever comes later makes the next look a first one
	var look func()
	look = func() {
		if ctx.Err() != nil {
			return
		}
		left, since := a.stallLeft()
		if left <= 0 {
			left = stallAfter
			st, err := a.status(ctx, l)
			switch moves := err == nil && (st.Tools > 0 || st.Models > 0 || st.Settling || st.Phase != session.PhaseReady); {
			case ctx.Err() != nil, err != nil && ended(l):
				return
			case moves, !a.turnRuns() && st.PromptID == "":
				a.noteProgress()
			case !suspect.Equal(since):
				suspect, left = since, stallAgain
			default:
				a.noteProgress()
				a.stalled(st)
			}
		}
		after(left, look)
	}
	first, _ := a.stallLeft()
	after(first, look)
}

// ended reports whether a link is known to be lost. What is asked over it tells nothing of its runner any more.
func ended(l *link.Link) bool {
	select {
	case <-l.Done():
		return true
	default:
		return false
	}
}

// bootPatience is how much longer than its scripts may run a sandbox may take to become ready: to clone, and to start the agent.
const bootPatience = time.Hour

// watchBoot gives a runner up that tells and answers without end, and never becomes ready.
func (a *attachment) watchBoot(ctx context.Context, l *link.Link, now session.Phase) {
	if now == session.PhaseReady {
		return
	}
	after := a.timer(ctx)
	var look func()
	look = func() {
		switch st, err := a.status(ctx, l); {
		case err != nil:
			after(time.Minute, look) // of one that does not answer watch decides
		case st.Phase != session.PhaseReady && ctx.Err() == nil:
			a.overdue.Store(true)
			_ = l.Close()
		}
	}
	limit := a.m.c.SetupTimeout + a.m.c.StartTimeout + bootPatience
	after(limit-a.m.c.Clock.Now().Sub(a.begunAt), look)
}

// timer returns what calls a function later, in the place of the one that it was told before; none once ctx, a link's, has ended.
func (a *attachment) timer(ctx context.Context) (after func(time.Duration, func())) {
	var mu sync.Mutex
	stop := func() bool { return true }
	context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		stop()
	})
	return func(d time.Duration, f func()) {
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() == nil {
			stop = a.m.c.Clock.AfterFunc(d, f)
		}
	}
}

// maxWords is how many characters of an agent's log are shown.
const maxWords = 500

func (a *attachment) stalled(st link.Status) {
	in := session.Stalled{Start: a.req.Start, Words: session.OneLine(a.clean(st.Words, maxWords), maxWords)}
	if err := a.send(a.ctx, in); err != nil {
		a.m.c.Report(a.req.Session, "no progress", err) // it is told again when nothing has come by then
	}
}
