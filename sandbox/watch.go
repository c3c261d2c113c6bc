package sandbox

import (
	"context"
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

// progressed notes that something came of the agent's work.
func (a *attachment) progressed() {
	now := a.m.c.Clock.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.progress = now
}

// still returns how much longer nothing may come.
func (a *attachment) still() time.Duration {
	now := a.m.c.Clock.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	return stallAfter - now.Sub(a.progress)
}

// watchTurn tells the session when nothing comes of the agent's work and the runner, asked twice, shows no reason to wait or does not answer.
// Whether there is a turn at all the session knows. Of a link that is silent altogether watch decides.
func (a *attachment) watchTurn(ctx context.Context, l *link.Link) {
	suspect := false
	var look func()
	look = func() {
		if ctx.Err() != nil {
			return
		}
		rest := a.still()
		if rest <= 0 {
			rest = stallAfter
			st, err := a.status(ctx, l)
			switch moves := err == nil && (st.Tools > 0 || st.Models > 0 || st.Settling || st.Phase != session.PhaseReady); {
			case ctx.Err() != nil:
				return
			case moves:
				suspect = false
				a.progressed()
			case !suspect:
				suspect, rest = true, stallAgain
			default:
				suspect = false
				a.progressed()
				a.stalled(st)
			}
		} else {
			suspect = false
		}
		a.m.c.Clock.AfterFunc(rest, look)
	}
	a.m.c.Clock.AfterFunc(a.still(), look)
}

// maxWords is how many characters of an agent's log are shown.
const maxWords = 500

func (a *attachment) stalled(st link.Status) {
	in := session.Stalled{Start: a.req.Start, Words: session.OneLine(a.clean(st.Words, maxWords), maxWords)}
	if err := a.send(a.ctx, in); err != nil {
		a.m.c.Report(a.req.Session, "no progress", err) // it is told again when nothing has come by then
	}
}
