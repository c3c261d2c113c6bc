package runner

import (
	"context"
	"net/http"
	"sync"

	"openinspect/session"
)

// Bot is the runner's way to the bot: the link that is up, whichever that is.
type Bot struct {
	mu      sync.Mutex
	rt      http.RoundTripper
	changed chan struct{} // closed when rt is set
}

// Link blocks until a link is up and returns it. A request on a link that was lost meanwhile fails at once. Requests go to any
// host, such as http://bot/tools/ask. It returns an Unavailable error when ctx ends first.
func (b *Bot) Link(ctx context.Context) (http.RoundTripper, error) {
	for {
		b.mu.Lock()
		rt, changed := b.rt, b.wait()
		b.mu.Unlock()
		if rt != nil {
			return rt, nil
		}
		select {
		case <-ctx.Done():
			return nil, &session.Error{Code: session.Unavailable, Op: "runner.Link", Message: "The bot is not connected to this sandbox right now; try again in a minute.", Err: ctx.Err()}
		case <-changed:
		}
	}
}

func (b *Bot) wait() chan struct{} {
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return b.changed
}

// set makes rt the link, or none.
func (b *Bot) set(rt http.RoundTripper) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rt = rt
	if rt != nil {
		close(b.wait())
		b.changed = nil
	}
}
