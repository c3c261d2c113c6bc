package session

import (
	"context"
	"errors"
	"time"
)

// Later is an error of Sandboxes.Start: not now, for a reason that is not this request's. It is no failed try. Whoever gets it waits until At
// and asks again; the sentence of Err tells people so.
type Later struct {
	At  time.Time
	Err error
}

func (l *Later) Error() string { return l.Err.Error() }
func (l *Later) Unwrap() error { return l.Err }

// startSandbox carries a start out: as many tries as any effect has, and between them as long a wait as it takes until one may be made.
func (a *actor) startSandbox(ctx context.Context, e Effect) Input {
	told := ""
	for {
		var b Begun
		err := a.try(ctx, e, startTries, func() (err error) { b, err = a.hub.sandboxes.Start(ctx, *e.Boot); return err })
		later, ok := errors.AsType[*Later](err)
		if !ok || ctx.Err() != nil {
			return outcome(ctx, err, Started{Effect: e.ID, Start: e.Start, Begun: b}, func(f Failure) Input {
				return StartFailed{Effect: e.ID, Start: e.Start, Err: f}
			})
		}
		delayed := StartDelayed{Effect: e.ID, Start: e.Start}
		words := Sentence(err)
		if words != told {
			delayed.Reason = words
		}
		if err := a.send(ctx, delayed); err != nil {
			a.hub.report(a.id, "effect "+e.ID, err) // it is told with the next delay
		} else {
			told = words
		}
		if !a.hub.pause(ctx, later.At.Sub(a.hub.clock.Now())) {
			return nil
		}
		// Nobody may give the start up from here on: it would not be known what came of it.
		for {
			err := a.send(ctx, StartTried{Effect: e.ID, Start: e.Start})
			if err == nil {
				break
			}
			a.hub.report(a.id, "effect "+e.ID, err)
			if !a.hub.pause(ctx, time.Second) {
				return nil
			}
		}
	}
}
