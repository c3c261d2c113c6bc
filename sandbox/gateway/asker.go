package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// asker is the session behind a handler: it says whether a call may be made, and hears what it cost.
type asker struct {
	g    *Gateway
	id   session.ID
	send session.Send
}

// begin asks for a call. Once it returns nil the session knows of the call, and a bot that is killed before it has counted it counts the
// estimate at its next start.
func (a *asker) begin(ctx context.Context, c *call) error {
	c.id = fmt.Sprintf("%s-%d", a.g.run, a.g.numbers.Add(1))
	return a.send(ctx, session.CallBegun{Call: session.OpenCall{ID: c.id, Call: c.estimate}})
}

// hold waits until it is worth asking for a call again: the thread has allowed more, the turn is over, the bot stops. Nothing is kept
// meanwhile but a place among those that wait; the runner has the request.
func (a *asker) hold(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(a.g.stopping, cancel)()
	if err := a.send(ctx, session.CallHeld{}); err != nil && ctx.Err() == nil && !errors.Is(err, session.ErrStopped) {
		a.g.report(a.id, "hold model call", err) // it is asked again after a pause of the runner's
	}
}

// countTries is how often, a second apart, a cost is offered to a store that refuses. After that it stays open, and an estimate counts for it
// at the next start of the bot.
const countTries = 30

// count tells the session what became of a call. The end of the answer, and the call's place, wait for it: no more calls than have a place
// are ever under way and not counted.
func (a *asker) count(ctx context.Context, id string, c session.ModelCall) {
	ctx = context.WithoutCancel(ctx)
	for try := 1; ; try++ {
		err := a.send(ctx, session.ModelCalled{ID: id, Call: c})
		if err == nil {
			return
		}
		if session.CodeOf(err) != session.Unavailable || errors.Is(err, session.ErrStopped) || try == countTries {
			a.g.report(a.id, "count model call", err)
			return
		}
		again := make(chan struct{})
		a.g.clock.AfterFunc(time.Second, func() { close(again) })
		<-again
	}
}

// askAgain refuses a call in a way that the runner does not pass on: it holds the call and asks again, over whichever link is up then.
func askAgain(w http.ResponseWriter, provider, message string) {
	w.Header().Set("Retry-After", retryAfter)
	w.Header().Set(link.HeaderRestarting, "1")
	refuse(w, provider, http.StatusServiceUnavailable, "overloaded_error", message)
}
