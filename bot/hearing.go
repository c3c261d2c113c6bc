package bot

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"openinspect/session"
)

// How what was heard is remembered.
const (
	flushEvery = 50 * time.Second // how much of it a crash may forget; what is read twice is taken once
	activeFor  = 72 * time.Hour   // how long a thread counts as one where something may still happen
)

// anywhere is the mark of all channels together: when the bot was first here.
const anywhere = "-"

// Watermarks remember up to when Slack was heard, by what; an empty one is forgotten.
type Watermarks interface {
	Watermarks(ctx context.Context) (map[string]string, error)
	PutWatermarks(ctx context.Context, marks map[string]string) error
}

// hearing knows up to when everything that was said has reached the bot: in each channel up to the newest message that came while there was a
// connection. After an absence a channel's mark stays until the channel was caught up with. Threads with a session have marks too, which only
// say that something went on there lately. All are Slack's times, so that the computer's clock does not matter; they are written down once a
// minute, not with every message.
type hearing struct {
	bot  *Bot
	wake chan struct{}

	mu     sync.Mutex
	at     map[string]string // by channel, or channel/root
	next   map[string]string // what came on channels that are not caught up with
	behind bool              // there was an absence, and not everything is caught up with
	caught map[string]bool   // what is, meanwhile
	floor  string            // the newest mark before the absence: for channels that have none
	gen    int               // counts absences
	dirty  map[string]bool
	armed  bool // something will write down what is dirty
}

func (h *hearing) init(b *Bot) {
	h.bot, h.wake = b, make(chan struct{}, 1)
	h.at, h.next, h.caught, h.dirty = map[string]string{}, map[string]string{}, map[string]bool{}, map[string]bool{}
}

// load reads what an earlier run heard. Nothing was said to a bot that was never here.
func (h *hearing) load(ctx context.Context) error {
	marks, err := h.bot.store.Watermarks(ctx)
	if err != nil {
		return session.Wrap("bot.hearing", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(marks) == 0 {
		h.at[anywhere] = slackTime(h.bot.clock.Now())
		return session.Wrap("bot.hearing", h.bot.store.PutWatermarks(ctx, h.at))
	}
	h.at = marks
	h.absent()
	return nil
}

// lost notes that Slack may have said something that did not come here.
func (h *hearing) lost() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.absent()
}

func (h *hearing) absent() {
	h.gen++
	h.caught = map[string]bool{}
	if h.behind {
		return
	}
	h.behind, h.floor = true, ""
	for k, ts := range h.at {
		if !strings.Contains(k, "/") {
			h.floor = max(h.floor, ts)
		}
	}
}

// back has what was missed caught up with, if anything was.
func (h *hearing) back() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.behind {
		return
	}
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// heard notes something that was said in a channel; root is empty unless it was in a thread with a session.
func (h *hearing) heard(channel, root, ts string) {
	if channel == "" || len(ts) < len("1700000000.000000") {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if root != "" {
		h.raise(channel+"/"+root, ts)
	}
	if h.behind && !h.caught[channel] {
		h.next[channel] = max(h.next[channel], ts)
		return
	}
	h.raise(channel, ts)
}

func (h *hearing) raise(what, ts string) {
	if h.at[what] < ts {
		h.at[what] = ts
		h.touch(what)
	}
}

func (h *hearing) touch(what string) {
	h.dirty[what] = true
	if !h.armed {
		h.armed = true
		h.bot.clock.AfterFunc(flushEvery, func() { h.flush(h.bot.running) })
	}
}

// since returns from when on something in a channel may have been missed; false if it is caught up with.
func (h *hearing) since(channel string) (ts string, missed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.at[channel] != "" {
		return h.at[channel], !h.caught[channel]
	}
	return h.floor, !h.caught[channel]
}

// last returns when somebody was last heard in a channel; empty if nobody was.
func (h *hearing) last(channel string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at[channel]
}

// absence names what is to be caught up with, and returns the threads where something went on lately, each with when.
func (h *hearing) absence() (gen int, active map[string]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	active = map[string]string{}
	for k, ts := range h.at {
		if strings.Contains(k, "/") {
			active[k] = ts
		}
	}
	return h.gen, active
}

// caughtUp notes that nothing is missed in a channel any more; of all of them if it is empty. It counts for the absence that was read about.
func (h *hearing) caughtUp(gen int, channel string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case gen != h.gen:
	case channel == "":
		h.behind = false
		for c, ts := range h.next {
			h.raise(c, ts)
		}
		h.next = map[string]string{}
	default:
		h.caught[channel] = true
		h.raise(channel, h.next[channel])
		delete(h.next, channel)
	}
}

// flush writes down what has changed.
func (h *hearing) flush(ctx context.Context) {
	h.mu.Lock()
	changed, old := map[string]string{}, slackTime(h.bot.clock.Now().Add(-activeFor))
	for k := range h.dirty {
		changed[k] = h.at[k]
	}
	maps.DeleteFunc(h.at, func(k, ts string) bool {
		over := strings.Contains(k, "/") && ts < old
		if over {
			changed[k] = ""
		}
		return over
	})
	h.dirty = map[string]bool{}
	h.armed = false
	h.mu.Unlock()
	if len(changed) == 0 || ctx.Err() != nil {
		return
	}
	if err := h.bot.store.PutWatermarks(ctx, changed); err != nil && ctx.Err() == nil {
		h.bot.logger.Warn("noting up to when Slack was heard; after a crash more is read again", "error", err)
		h.mu.Lock()
		defer h.mu.Unlock()
		for k := range changed {
			h.touch(k)
		}
	}
}

// slackTime is a time as Slack writes it, to the microsecond.
func slackTime(t time.Time) string { return fmt.Sprintf("%d.%06d", t.Unix(), t.Nanosecond()/1_000) }
