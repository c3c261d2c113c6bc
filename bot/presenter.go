package bot

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"openinspect/session"
)

// presenter follows the logs of sessions that have something to tell, one goroutine each, and commits what it makes of them to the outbox.
type presenter struct {
	bot   *Bot
	wg    sync.WaitGroup
	after func(d time.Duration, f func()) (stop func() bool) // the clock's

	mu      sync.Mutex
	ctx     context.Context // of Run; nil before
	tellers map[session.ID]*teller
}

// teller is a session's place in its log.
type teller struct {
	running bool
	again   bool // the log has grown since this was last looked at
	stale   bool // its status message is as an earlier run left it
	digest  *digest
	seq     int64  // of the newest event in digest
	log     string // link to it, and when it was made
	logAt   time.Time
}

// maxTellers is how many digests are kept of sessions where nothing happens; others are made again from the log.
const maxTellers = 1_000

func (p *presenter) init(b *Bot) {
	p.bot, p.after, p.tellers = b, b.clock.AfterFunc, map[session.ID]*teller{}
}

// start takes up every session that has events not told.
func (p *presenter) start(ctx context.Context) error {
	ids, err := p.bot.store.Unpresented(ctx)
	if err != nil {
		return session.Wrap("bot.presenter", err)
	}
	open, err := p.bot.store.Open(ctx)
	if err != nil {
		return session.Wrap("bot.presenter", err)
	}
	p.mu.Lock()
	p.ctx = ctx
	for _, id := range open { // what their threads show may not be true any more
		if p.tellers[id] == nil {
			p.tellers[id] = &teller{}
		}
		p.tellers[id].stale = true
	}
	for id := range p.tellers {
		ids = append(ids, id)
	}
	p.mu.Unlock()
	for _, id := range ids {
		p.notify(id)
	}
	return nil
}

// wait blocks until every session's goroutine has ended, which they do when the context of start has.
func (p *presenter) wait() {
	p.mu.Lock()
	p.ctx = nil
	p.mu.Unlock()
	p.wg.Wait()
}

func (p *presenter) notify(id session.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.tellers[id]
	if t == nil {
		p.forget()
		t = &teller{}
		p.tellers[id] = t
	}
	t.again = true
	if p.ctx == nil || p.ctx.Err() != nil || t.running {
		return
	}
	t.running = true
	ctx := p.ctx
	p.wg.Go(func() { p.follow(ctx, id, t) })
}

// busy returns the sessions in which something is going on, and the context of Run; nil before and after.
func (p *presenter) busy() (ctx context.Context, ids []session.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, t := range p.tellers {
		if t.running {
			ids = append(ids, id)
		}
	}
	return p.ctx, ids
}

// forget makes room for another session. p.mu is held.
func (p *presenter) forget() {
	if len(p.tellers) < maxTellers || p.ctx == nil {
		return
	}
	for id, t := range p.tellers {
		if !t.running {
			delete(p.tellers, id)
		}
	}
}

// retire lets a session's goroutine go, unless its log has grown meanwhile.
func (p *presenter) retire(t *teller) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	t.running, t.again = t.again, false
	return !t.running
}

// follow tells what a session's log says until nothing is going on in it.
func (p *presenter) follow(ctx context.Context, id session.ID, t *teller) {
	pause := time.Second
	for {
		err := p.tell(ctx, id, t)
		switch {
		case err == nil: // retired
			return
		case ctx.Err() != nil || errors.Is(err, session.ErrStopped):
			return // what is not told is told after the next start
		case errors.Is(err, session.ErrSlow):
			continue
		}
		if d, ok := errors.AsType[*session.Damaged](err); ok {
			if err = p.damaged(ctx, id, d, t); err == nil {
				return
			}
		}
		p.bot.logger.Error("telling a thread what happens; trying again", "session", id, "error", err)
		t.digest = nil
		if !wait(ctx, p.bot.clock, pause) {
			return
		}
		pause = min(2*pause, 30*time.Second)
	}
}

// damaged tells a thread, once, that nothing goes on in it, and lets its goroutine go.
func (p *presenter) damaged(ctx context.Context, id session.ID, d *session.Damaged, t *teller) error {
	key := "damaged/" + string(id)
	told, err := p.bot.told(ctx, key)
	if err != nil {
		return err
	}
	if !told && d.Thread.Channel != "" {
		err := p.bot.put(ctx, session.Message{Key: key, Op: session.MessagePost, Channel: d.Thread.Channel, Thread: d.Thread.TS, Text: escape(session.DamagedWords)})
		if err != nil {
			return err
		}
	}
	p.bot.logger.Error("a session cannot be read", "session", id, "error", d)
	p.mu.Lock()
	defer p.mu.Unlock()
	t.running = false
	return nil
}

func (p *presenter) tell(ctx context.Context, id session.ID, t *teller) error {
	st, err := p.bot.cfg.Sessions.Load(ctx, id)
	if err != nil {
		return session.Wrap("bot.tell", err)
	}
	told, err := p.bot.store.Presented(ctx, id)
	if err != nil {
		return session.Wrap("bot.tell", err)
	}
	if t.digest == nil {
		t.digest, t.seq = newDigest(), 0
	}
	feed, err := p.bot.cfg.Sessions.Feed(ctx, id, t.seq)
	if err != nil {
		return session.Wrap("bot.tell", err)
	}
	defer feed.Close()
	for {
		if t.digest.turn == nil && len(t.digest.queue) == 0 {
			if st, err = p.bot.cfg.Sessions.Load(ctx, id); err != nil {
				return session.Wrap("bot.tell", err)
			}
			if st.Session.Seq <= t.seq {
				if p.retire(t) {
					return nil
				}
				continue
			}
		}
		item, err := p.next(ctx, feed, t.digest)
		if err != nil {
			return err
		}
		if len(item.Events) == 0 && (item.Delta != nil || t.digest.turn == nil || t.seq < told) {
			continue
		}
		if st.Session.Repo == (session.Repo{}) { // named since
			if st, err = p.bot.cfg.Sessions.Load(ctx, id); err != nil {
				return session.Wrap("bot.tell", err)
			}
		}
		var v view // asking Slack about a channel is worth it only if there is something to tell
		if n := len(item.Events); n == 0 || item.Events[n-1].Seq > told {
			v = t.steady(p.view(ctx, st.Session), p.bot.clock.Now())
		}
		messages := newBatch()
		for _, e := range item.Events {
			said := t.digest.apply(e)
			t.seq = e.Seq
			if e.Seq > told {
				made := render(v, t.digest, e, said)
				if t.digest.turn != nil && slices.ContainsFunc(made, first) {
					t.digest.spoke = e.Seq
				}
				messages.add(made...)
			}
		}
		if t.seq <= told && len(item.Events) > 0 {
			if t.seq < told || !t.stale || t.digest.turn == nil {
				continue
			}
			v = p.view(ctx, st.Session)
		}
		if t.stale && t.digest.turn != nil {
			t.digest.see(p.bot.clock.Now())
		}
		t.stale = false
		if t.digest.turn != nil {
			messages.add(v.status(t.digest), v.pulse(t.digest))
		}
		if err := p.bot.store.Present(ctx, id, t.seq, messages.list()); err != nil {
			return session.Wrap("bot.Present", err)
		}
		told = t.seq
		p.bot.sender.wake()
	}
}

// next waits for what comes in a session's log. While a turn goes on it does not wait for longer than people should read the same: then the
// item is empty.
func (p *presenter) next(ctx context.Context, feed *session.Feed, d *digest) (session.Item, error) {
	if d.turn == nil {
		return feed.Next(ctx)
	}
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := p.after(d.patience(p.bot.clock.Now()), cancel)
	defer stop()
	item, err := feed.Next(within)
	if err == nil || ctx.Err() != nil || within.Err() == nil {
		return item, err
	}
	d.see(p.bot.clock.Now())
	return session.Item{}, nil
}

// sameLink is how long a link is used again. Each one is signed anew, and a message that is the same but for that would be edited for nothing.
const sameLink = time.Hour

// steady gives a view the link to the log that the one before had.
func (t *teller) steady(v view, now time.Time) view {
	if v.logURL != "" {
		if t.log == "" || now.Sub(t.logAt) > sameLink {
			t.log, t.logAt = v.logURL, now
		}
		v.logURL = t.log
	}
	return v
}

func (p *presenter) view(ctx context.Context, s session.Session) view {
	v := view{id: s.ID, thread: s.Thread, rooted: s.Rooted, approve: p.bot.cfg.ApproveEmoji, stop: p.bot.cfg.StopEmoji, quorum: p.bot.cfg.Approvals}
	if s.Repo != (session.Repo{}) {
		if on, err := p.bot.merges(ctx, s.Repo); err == nil && on {
			v.merge = p.bot.cfg.MergeEmoji
		}
		v.repo = code(s.Repo.String()) + " " + code(short(s.Base, 60))
		if s.Why != "" && s.Ended.PromptID == "" { // while it may still be news
			v.repo += " (" + escape(s.Why) + ")"
		}
	}
	if p.bot.cfg.Log == nil {
		return v
	}
	// A link opens the whole log to whoever has it, so it is not posted where people of other organisations read.
	if r, err := p.bot.room(ctx, s.Thread.Channel); err == nil && !r.external {
		v.logURL = escape(p.bot.cfg.Log(s.ID))
	}
	return v
}

// render makes messages of what an event has to say.
func render(v view, d *digest, e session.Event, said told) []session.Message {
	var settled []session.Message
	if said.settled != nil {
		settled = append(settled, v.ask(said.settled))
	}
	switch {
	case e.Turn != nil && e.Turn.State == session.TurnStarted && d.turn != nil:
		return []session.Message{v.status(d)} // now, because its place is above what the turn says, however late all of it is told
	case said.ended != nil:
		r := said.ended
		var card *session.Card
		if c, ok := d.cards[r.card]; ok {
			card = &c
		}
		return append([]session.Message{v.closed(r), v.still(r.prompt)}, v.outcome(r, card)...)
	case said.card != "":
		c := d.cards[said.card]
		if c.Kind == session.CardPullRequest {
			if c.PullRequest == nil {
				return nil
			}
			return []session.Message{v.pullRequest(&c)}
		}
		if r := d.results[c.PromptID]; r != nil && r.card == c.ID {
			if m, ok := v.result(r, &c); ok {
				return []session.Message{m}
			}
		}
	case said.offer != nil:
		return append(settled, v.offered(said.offer)...)
	case said.dropped:
		return []session.Message{v.notice(e.Seq, "", "<@"+said.author.Slack+"> Your queued message was not run. "+prose(said.reason))}
	case said.approval != nil:
		var all []session.Message
		a := said.approval
		if c, ok := d.cards[a.Card]; ok && a.Names {
			all = append(all, v.confirm(a, &c))
		}
		switch a.State {
		case session.ApprovalRefused, session.ApprovalFailed, session.ApprovalDone:
			if a.Reason != "" {
				all = append(all, v.private(e.Seq, a.By.Slack, prose(a.Reason)))
			}
		case session.ApprovalLinking, session.ApprovalNaming, session.ApprovalMerging, session.ApprovalAccepted, session.ApprovalWithdrawn:
			// The direct message, the card and the pull request tell it.
		}
		return all
	case said.note != nil:
		switch n := said.note; {
		case n.To != "":
			return []session.Message{v.private(e.Seq, n.To, prose(n.Text))}
		case n.Kind == session.NoteQuestion:
			return append(settled, v.ask(d.asked))
		case n.Kind == session.NoteClosed:
			return append(settled, v.shut(e.Seq, e.PromptID, n)...)
		case n.Kind == session.NoteNotice, n.Kind == session.NoteMuted, n.Kind == session.NoteUnmuted:
			return []session.Message{v.notice(e.Seq, e.PromptID, prose(n.Text))}
		}
	case said.budget != nil:
		return []session.Message{v.budget(e.Seq, e.PromptID, said.budget)}
	case said.repo != nil:
		return []session.Message{v.chose(said.repo)}
	case said.failure != "":
		return []session.Message{v.notice(e.Seq, "", prose(said.failure))}
	}
	return settled
}

// batch collects messages: of each key the newest, at the place where it first came.
type batch struct {
	order []string
	byKey map[string]session.Message
}

func newBatch() *batch { return &batch{byKey: map[string]session.Message{}} }

func (b *batch) add(messages ...session.Message) {
	for _, m := range messages {
		if _, known := b.byKey[m.Key]; !known {
			b.order = append(b.order, m.Key)
		}
		b.byKey[m.Key] = m
	}
}

func (b *batch) list() []session.Message {
	var all []session.Message
	for _, key := range b.order {
		all = append(all, b.byKey[key])
	}
	return all
}
