package bot

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/slack-go/slack"

	"openinspect/session"
)

// How connections to Slack are kept.
const (
	lines        = 2                // connections that are kept at once
	stagger      = 75 * time.Second // between the first and the second: Slack renews each some hours after it was opened, and not both at once then
	haunts       = 45 * time.Second // how long Slack may count a connection that has ended
	shortLived   = 10 * time.Second // the next connection waits if the last one was opened less than this before
	maxPause     = time.Minute
	silentFor    = 35 * time.Second // Slack pings every few seconds; its own clients give up after 30
	answerWithin = 5 * time.Second  // of real time: a computer that slept must not take that for Slack's silence
	dialWithin   = 30 * time.Second
	writeWithin  = 10 * time.Second
	drainWithin  = 15 * time.Second // what a connection that Slack is about to close may still bring
	maxFrame     = 4 << 20          // the largest event that is read
)

// listen keeps connections to Slack until ctx ends, the first one at url. There are two, so that nothing falls into the hole while one is
// renewed; Slack sends each event to either. It returns an error when Slack refuses the app for good.
func (b *Bot) listen(ctx context.Context, url string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel(nil)
	arrivals := make(chan arrival)
	next := &redial{clock: b.clock}
	for n := range lines {
		all.Go(func() {
			if n > 0 && !wait(ctx, b.clock, time.Duration(n)*stagger) {
				return
			}
			first := ""
			if n == 0 {
				first = url
			}
			if err := b.line(ctx, next, arrivals, first); err != nil {
				cancel(err)
			}
		})
	}
	for { // one after the other: what is said on two connections keeps its order as far as Slack does
		select {
		case a := <-arrivals:
			if err := b.take(ctx, a.on, a.frame); err != nil && ctx.Err() == nil {
				b.logger.Error("a Slack event was not taken; Slack will send it again", "error", err)
			}
		case <-ctx.Done():
			if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
				return err
			}
			return nil
		}
	}
}

// arrival is an envelope on its way to the inbox.
type arrival struct {
	on    *connection
	frame frame
}

// line keeps one connection until ctx ends, the first one at url if that is known.
func (b *Bot) line(ctx context.Context, next *redial, arrivals chan<- arrival, url string) error {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		if !wait(ctx, b.clock, next.delay()) {
			return nil
		}
		ws, heard, err := b.dial(ctx, url)
		url = "" // good for one connection
		switch {
		case ctx.Err() != nil:
			return nil
		case revoked(err):
			return refusedToken("SLACK_APP_TOKEN", err)
		case err != nil:
			next.failed(err)
			b.logger.Warn("no connection to Slack; trying again"+advice(err), "error", err)
			continue
		}
		c := &connection{bot: b, ws: ws, heard: heard, arrivals: arrivals, over: make(chan struct{})}
		ctx, cancel := context.WithCancel(ctx)
		c.end = cancel
		b.presence.opened()
		all.Go(func() { c.read(ctx) })
		all.Go(func() { c.watch(ctx) })
		<-c.over
	}
}

// dial opens a connection, at an address that Slack gives if there is none yet. heard counts what comes from Slack, pings too.
func (b *Bot) dial(ctx context.Context, url string) (ws *websocket.Conn, heard *atomic.Int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	if url == "" {
		if _, url, err = b.api.StartSocketModeContext(ctx); err != nil {
			return nil, nil, err
		}
	}
	heard = new(atomic.Int64)
	ws, _, err = websocket.Dial(ctx, url, &websocket.DialOptions{
		HTTPHeader:     http.Header{"Origin": {"https://api.slack.com"}},
		OnPingReceived: func(context.Context, []byte) bool { heard.Add(1); return true },
	})
	if err != nil {
		return nil, nil, session.Wrap("slack socket", withoutAddress(err)) // the address is as good as a token
	}
	ws.SetReadLimit(-1) // read bounds what it takes
	return ws, heard, nil
}

// withoutAddress is an error of a dial without the address, which admits whoever has it.
func withoutAddress(err error) error {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return &session.Error{Code: session.Unavailable, Message: "The connection to Slack could not be opened.", Err: err}
}

// connection is one WebSocket to Slack.
type connection struct {
	bot   *Bot
	ws    *websocket.Conn
	heard *atomic.Int64
	end   context.CancelFunc

	arrivals chan<- arrival

	left sync.Once
	over chan struct{} // closed when another connection is needed
}

// leave lets the line open another connection. Slack sends nothing new on this one.
func (c *connection) leave() {
	c.left.Do(func() {
		c.bot.presence.left(c)
		close(c.over)
	})
}

// read takes what comes until the connection ends. It waits for nothing but the store.
func (c *connection) read(ctx context.Context) {
	defer c.bot.presence.ended()
	defer c.leave()
	defer c.end()
	defer func() { _ = c.ws.CloseNow() }()
	for {
		raw, whole, err := c.frame(ctx)
		if err != nil {
			if ctx.Err() == nil {
				c.bot.logger.Info("the connection to Slack ended; connecting again", "error", err)
			}
			return
		}
		c.heard.Add(1)
		f := parseFrame(raw, whole)
		switch {
		case f.Type == "hello":
			c.bot.logger.Info("listening to slack", "connections", f.Connections)
			c.bot.presence.greeted(c, f.Connections)
		case f.Type == "disconnect":
			c.bot.disconnected(f.Reason)
			c.bot.clock.AfterFunc(drainWithin, c.end) // envelopes that were under way still come; the next connection does not wait for them
			c.leave()
		case f.ID == "":
			c.bot.odd("no event: " + f.Type)
		default:
			if !whole {
				c.bot.logger.Error("a Slack event was too large and was left unread", "limit", maxFrame, "type", session.OneLine(f.Type, 40))
			}
			select {
			case c.arrivals <- arrival{c, f}:
			case <-ctx.Done(): // Slack sends again what is not acknowledged
			}
		}
	}
}

// frame reads one message; of one that is larger than maxFrame, the beginning.
func (c *connection) frame(ctx context.Context) (raw []byte, whole bool, err error) {
	_, r, err := c.ws.Reader(ctx)
	if err != nil {
		return nil, false, err
	}
	if raw, err = io.ReadAll(io.LimitReader(r, maxFrame+1)); err != nil || len(raw) <= maxFrame {
		return raw, true, err
	}
	_, err = io.Copy(io.Discard, r)
	return raw[:maxFrame], false, err
}

// acknowledge tells Slack that an event is stored, or is none of ours.
func (c *connection) acknowledge(ctx context.Context, envelope string) error {
	ctx, cancel := context.WithTimeout(ctx, writeWithin)
	defer cancel()
	return c.ws.Write(ctx, websocket.MessageText, marshal(map[string]string{"envelope_id": envelope}))
}

// watch ends the connection when nothing comes from Slack any more: its end may never be told, and nothing fails when it is written to.
func (c *connection) watch(ctx context.Context) {
	for {
		before := c.heard.Load()
		if !wait(ctx, c.bot.clock, silentFor) {
			return
		}
		if c.heard.Load() != before {
			continue
		}
		asked, cancel := context.WithTimeout(ctx, answerWithin)
		err := c.ws.Ping(asked)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err != nil && c.heard.Load() == before {
			c.bot.logger.Warn("Slack is silent; connecting again", "after", silentFor.String(), "error", err)
			c.bot.presence.deaf(c)
			c.end()
			return
		}
	}
}

// disconnected says what it means that Slack ends a connection.
func (b *Bot) disconnected(reason string) {
	switch reason {
	case "warning", "refresh_requested": // every few hours
		b.logger.Info("Slack renews the connection", "reason", reason)
	case "link_disabled":
		b.logger.Error("Slack closed the connection: Socket Mode is switched off for the app. Switch it on, on the app's page Socket Mode; the bot goes on trying", "reason", reason)
	case "too_many_websockets":
		b.logger.Error("Slack closed the connection: the app has too many. Another program uses SLACK_APP_TOKEN, and takes a part of what people write; stop it", "reason", reason)
	default:
		b.logger.Warn("Slack closed the connection", "reason", session.OneLine(reason, 80))
	}
}

// redial spaces out connections, of all lines together, whatever Slack answers: it may accept one and end it at once.
type redial struct {
	clock session.Clock

	mu    sync.Mutex
	last  time.Time     // when the last one was due
	pause time.Duration // before it
	until time.Time     // Slack wants none before
}

// delay returns how long the next connection has to wait: nothing, unless the one before was opened a moment ago.
func (r *redial) delay() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock.Now()
	switch {
	case r.last.IsZero() || now.Sub(r.last) >= shortLived:
		r.pause = 0
	case r.pause == 0:
		r.pause = time.Second
	default:
		r.pause = min(2*r.pause, maxPause)
	}
	d := max(r.pause, r.until.Sub(now))
	r.last = now.Add(d)
	return d
}

// failed takes why a connection was refused.
func (r *redial) failed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if limited, ok := errors.AsType[*slack.RateLimitedError](err); ok {
		r.until = r.clock.Now().Add(limited.RetryAfter)
	}
}
