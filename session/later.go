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
		var h Handle
		err := a.try(ctx, e, startTries, func() (err error) { h, err = a.hub.sandboxes.Start(ctx, *e.Boot); return err })
		later, ok := errors.AsType[*Later](err)
		if !ok || ctx.Err() != nil {
			return outcome(ctx, err, Started{Effect: e.ID, Start: e.Start, Handle: h}, func(f Failure) Input {
				return StartFailed{Effect: e.ID, Start: e.Start, Err: f}
			})
		}
		if words := Sentence(err); words != told {
			if err := a.send(ctx, StartDelayed{Effect: e.ID, Start: e.Start, Reason: words}); err != nil {
				a.hub.report(a.id, "effect "+e.ID, err) // it is told with the next delay
			} else {
				told = words
			}
		}
		if !a.hub.pause(ctx, later.At.Sub(a.hub.clock.Now())) {
			return nil
		}
	}
}
