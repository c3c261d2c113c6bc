package bot

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/slack-go/slack"

	"openinspect/session"
)

// While the disk refuses, the outbox takes nothing. What people have to know then goes past it: best effort, once, and never again after a
// crash. What it says stays true whatever becomes of it.

// errands are calls to Slack that nobody waits for.
type errands struct {
	wg sync.WaitGroup

	mu    sync.Mutex
	ended bool
	told  map[string]time.Time // by whom or where: when
}

// run does one beside everything else, unless it is too late.
func (r *errands) run(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ended {
		r.wg.Go(f)
	}
}

// end lets no more begin and waits for those under way.
func (r *errands) end() {
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	r.wg.Wait()
}

// tellEvery is how often somebody, or a thread, is told that the disk refuses.
const tellEvery = 15 * time.Minute

// once reports whether it is time to tell somebody, and counts it.
func (r *errands) once(key string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at, ok := r.told[key]; ok && now.Sub(at) < tellEvery {
		return false
	}
	if r.told == nil || len(r.told) > 1000 {
		r.told = map[string]time.Time{}
	}
	r.told[key] = now
	return true
}

// onceOnly is about commands and buttons, which Slack does not repeat.
const onceOnly = "Please try again later, and tell whoever runs me."

// untaken tells whoever addressed us that what they did could not be stored, and so not be acknowledged. Slack repeats messages and reactions
// some times within minutes, and they may be taken then.
func (b *Bot) untaken(ctx context.Context, f frame) {
	var user, channel, thread string
	then := "Slack repeats messages for a few minutes, and I take it if there is room by then. If it has no :eyes: in ten minutes, please send it again, and tell whoever runs me."
	switch f.Type {
	case slashCommands:
		var c command
		if lenient(f.Payload, &c) != nil {
			return
		}
		user, channel, then = c.User, c.Channel, onceOnly
	case interactive:
		var p press
		if lenient(f.Payload, &p) != nil {
			return
		}
		user, channel, thread, then = p.User.ID, p.Container.Channel, p.Container.Thread, onceOnly
	default:
		var p payload
		if lenient(f.Payload, &p) != nil {
			return
		}
		user, channel, thread = p.Event.User, cmp.Or(p.Event.Channel, p.Event.Item.Channel), p.Event.ThreadTS
		if p.Event.Type == "reaction_added" {
			then = "Slack repeats reactions for a few minutes, and I take it if there is room by then. If nothing comes of it in ten minutes, please take it off and react again, and tell whoever runs me."
		}
	}
	if user == "" || channel == "" || !b.errands.once(channel+"/"+user, b.clock.Now()) {
		return
	}
	m := session.Message{Op: session.MessageEphemeral, Channel: channel, Thread: thread, User: user,
		Text: "I cannot store anything just now, because my disk refuses, so I did not take that. " + then}
	b.errands.run(func() {
		if err := b.sender.whisper(ctx, m); err != nil && ctx.Err() == nil {
			b.logger.Warn("telling somebody that the disk refuses", "user", user, "error", err)
		}
	})
}

// DiskRefuses tells the threads in which something is going on that nothing can be stored just now. It returns at once and may be called
// before Run.
func (b *Bot) DiskRefuses() {
	ctx, ids := b.presenter.busy()
	if ctx == nil {
		return
	}
	for _, id := range ids {
		if !b.errands.once(string(id), b.clock.Now()) {
			continue
		}
		b.errands.run(func() {
			st, err := b.cfg.Sessions.Load(ctx, id)
			if err == nil {
				t := st.Session.Thread
				_, _, err = b.api.PostMessageContext(ctx, t.Channel, slack.MsgOptionTS(t.TS), slack.MsgOptionText(
					"I cannot store anything just now, because my disk refuses. The agent goes on with what it has, and I go on telling what it does once there is room. Whoever runs me has to make some.", false))
			}
			if err != nil && ctx.Err() == nil {
				b.logger.Warn("telling a thread that the disk refuses", "session", id, "error", err)
			}
		})
	}
}
