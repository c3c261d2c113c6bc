package bot

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"openinspect/session"
)

// The pace of messages. What Slack allows is in pace.go; a message is edited no more often than people can follow.
const (
	editEvery     = 3200 * time.Millisecond // of one message
	editsSpared   = 3                       // that progress leaves to what is final
	maxRetryPause = time.Minute
	limitedFor    = 30 * time.Second // when Slack limits a call and does not say for how long
	widespread    = 3                // channels in which a method is limited at once, that it counts as limited everywhere
)

// sender brings the outbox to Slack. One goroutine decides what is due; each channel has at most one call under way, so that its
// messages keep their order.
//
// What is new to a thread, and answers and cards, go first, in the order they were stored; then the progress of turns, that longest
// ago first, so that fifty turns share what Slack allows; then the threads' own statuses.
type sender struct {
	bot   *Bot
	awake chan struct{}
	wg    sync.WaitGroup

	mu      sync.Mutex
	busy    map[string]chan struct{} // lanes with a call under way; closed when it is over
	paces   paces                    // of what Slack counts
	edited  map[string]time.Time     // by key of message: when it was last sent
	blocked map[string]time.Time     // by method, or method and lane: until when Slack wants no calls
	retries map[string]retry         // by key of message
	doubt   map[string]string        // by key: the lane of a post that may be in Slack already
	direct  map[string]string        // by user: the channel of the direct conversation
	closed  map[string]bool          // channels in which Slack refused something because they are
	gone    map[string]bool          // by key: messages that Slack has not any more, or not for us to edit
	pulses  pulses
	started bool
	changed chan struct{} // closed when a call was recorded, and made anew
}

type retry struct {
	tries int
	until time.Time
}

func (s *sender) init(b *Bot) {
	*s = sender{
		bot: b, awake: make(chan struct{}, 1), busy: map[string]chan struct{}{}, paces: paces{}, edited: map[string]time.Time{}, blocked: map[string]time.Time{},
		retries: map[string]retry{}, doubt: map[string]string{}, direct: map[string]string{}, closed: map[string]bool{}, gone: map[string]bool{}, changed: make(chan struct{}),
	}
}

// wake makes the sender look at the outbox. It returns at once.
func (s *sender) wake() {
	select {
	case s.awake <- struct{}{}:
	default:
	}
}

// run sends until ctx ends, and returns when no call is under way.
func (s *sender) run(ctx context.Context) {
	defer s.wg.Wait()
	stop := func() bool { return true } // the timer
	s.wake()
	for {
		select {
		case <-ctx.Done():
			stop()
			return
		case <-s.awake:
		}
		stop()
		next, err := s.schedule(ctx)
		if err != nil && ctx.Err() == nil {
			s.bot.logger.Error("reading the outbox", "error", err)
			next = time.Second
		}
		if next > 0 {
			stop = s.bot.clock.AfterFunc(next, s.wake)
		}
	}
}

// schedule starts the calls that are due and returns how long until the next one may be; 0: when something wakes it.
func (s *sender) schedule(ctx context.Context) (time.Duration, error) {
	// Lanes that were busy before the outbox was read may have sent what it says is pending.
	s.mu.Lock()
	held := map[string]bool{}
	for lane := range s.busy {
		held[lane] = true
	}
	s.mu.Unlock()
	pending, err := s.bot.store.Pending(ctx)
	if err != nil {
		return 0, session.Wrap("bot.Pending", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started {
		s.started = true
		for _, m := range pending {
			if findable(m) && m.TS == "" {
				s.doubt[m.Key] = laneOf(m) // an earlier run may have posted it and not lived to note it
			}
		}
	}
	now := s.bot.clock.Now()
	s.tidy(now)
	var next time.Duration
	behind := map[string]bool{} // threads in which something has to be said first
	for _, m := range s.ranked(pending) {
		lane, thread := laneOf(m), threadOf(m)
		later := held[lane] || behind[thread] && (first(m) || m.Op == session.MessageStatus)
		behind[thread] = behind[thread] || first(m) && m.Op != session.MessageFile // whose way is another: it may be shut for long
		if later {
			continue
		}
		d := s.delay(m, now)
		if d == 0 {
			s.begin(ctx, m, lane, now)
			held[lane] = true
		} else if next == 0 || d < next {
			next = d
		}
	}
	return next, nil
}

// ranked returns what is pending in the order in which it should go. s.mu is held.
func (s *sender) ranked(pending []session.Message) []session.Message {
	rank := func(m session.Message) int {
		switch {
		case m.Op == session.MessageStatus:
			return 2
		case method(m) == "chat.update" && !m.Urgent:
			return 1
		}
		return 0
	}
	slices.SortStableFunc(pending, func(a, b session.Message) int {
		if c := cmp.Compare(rank(a), rank(b)); c != 0 || rank(a) == 0 {
			return c
		}
		return s.edited[a.Key].Compare(s.edited[b.Key])
	})
	return pending
}

// threadOf is the thread that a message is in or is about: what is said there keeps its order.
func threadOf(m session.Message) string {
	if m.Op == session.MessageDirect {
		return "user:" + m.User
	}
	return m.Channel + ":" + m.Thread
}

// laneOf is the conversation a message goes to. A thread's status is no message: nothing waits for its call.
func laneOf(m session.Message) string {
	switch m.Op {
	case session.MessageDirect:
		return "user:" + m.User
	case session.MessageStatus:
		return "status:" + m.Channel
	case session.MessagePost, session.MessageEphemeral, session.MessageReact, session.MessageUnreact, session.MessageFile:
	}
	return m.Channel
}

// posted reports whether an operation leaves a message that can be edited.
func posted(op session.MessageOp) bool {
	return op == session.MessagePost || op == session.MessageDirect
}

// findable reports whether a message that may be in Slack already can be looked up: all but what one person alone sees in a channel.
func findable(m session.Message) bool {
	return posted(m.Op) || m.Op == session.MessageFile
}

// first reports whether sending m adds something to the conversation, rather than changing what is there.
func first(m session.Message) bool {
	switch m.Op {
	case session.MessagePost, session.MessageDirect:
		return m.TS == ""
	case session.MessageEphemeral, session.MessageFile:
		return true
	case session.MessageReact, session.MessageUnreact, session.MessageStatus:
	}
	return false
}

// method is the Web API method that sending m calls.
func method(m session.Message) string {
	switch m.Op {
	case session.MessagePost, session.MessageDirect:
		if m.TS != "" {
			return "chat.update"
		}
		return "chat.postMessage"
	case session.MessageEphemeral:
		return "chat.postEphemeral"
	case session.MessageReact:
		return "reactions.add"
	case session.MessageUnreact:
		return "reactions.remove"
	case session.MessageFile:
		return "files.completeUploadExternal" // which posts it
	case session.MessageStatus:
		return "assistant.threads.setStatus"
	}
	return string(m.Op)
}

// limit names what Slack counts a call against. That it limits what one person alone sees is a matter of the conversation, too.
func limit(m session.Message) string {
	of := method(m)
	if inEach(of) || of == "chat.postEphemeral" {
		return of + " " + laneOf(m)
	}
	return of
}

// limits are the paces that a call counts in. A file is a post, too. s.mu is held.
func (s *sender) limits(m session.Message) []*pace {
	if s.gone[m.Key] {
		return nil // no call is made
	}
	lane, of := laneOf(m), method(m)
	post := []*pace{s.paces.of("chat.postMessage " + lane), s.paces.of("chat.postMessage")}
	switch {
	case of == "chat.postMessage":
		return post
	case m.Op == session.MessageFile:
		return append(post, s.paces.of(of), s.paces.of("files.getUploadURLExternal"))
	case inEach(of):
		return []*pace{s.paces.of(of + " " + lane)}
	}
	return []*pace{s.paces.of(of)}
}

// delay returns how long a message has to wait. s.mu is held.
func (s *sender) delay(m session.Message, now time.Time) time.Duration {
	d := max(s.blocked[method(m)].Sub(now), s.blocked[limit(m)].Sub(now), s.retries[m.Key].until.Sub(now), 0)
	spare := 0
	if (method(m) == "chat.update" || m.Op == session.MessageStatus) && !m.Urgent {
		spare = editsSpared
		d = max(d, s.edited[m.Key].Add(editEvery).Sub(now))
	}
	for _, p := range s.limits(m) {
		d = max(d, p.delay(now, spare))
	}
	return d
}

// begin starts a call. s.mu is held.
func (s *sender) begin(ctx context.Context, m session.Message, lane string, now time.Time) {
	over := make(chan struct{})
	s.busy[lane] = over
	for _, p := range s.limits(m) {
		p.take(now)
	}
	if posted(m.Op) || m.Op == session.MessageStatus {
		s.edited[m.Key] = now
	}
	if m.Op == session.MessageStatus {
		s.carry(lane, over, func() { s.beat(ctx, m) })
		return
	}
	thread := threadOf(m)
	sets := s.pulses.sets(thread)
	_, doubt := s.doubt[m.Key]
	// These are named by their prompt, not by a place in the log, which a restored store fills anew.
	doubt = doubt || s.bot.cfg.Restored && (m.Subject.Kind == "status" || m.Subject.Kind == "result")
	s.carry(lane, over, func() {
		if s.send(ctx, m, doubt) && first(m) && m.Op != session.MessageEphemeral {
			s.mu.Lock()
			s.pulses.said(thread, sets)
			s.mu.Unlock()
		}
	})
}

// carry makes a call beside everything else, and lets its lane go on when that is over.
func (s *sender) carry(lane string, over chan struct{}, call func()) {
	s.wg.Go(func() {
		call()
		s.mu.Lock()
		delete(s.busy, lane)
		s.mu.Unlock()
		close(over)
		s.wake()
	})
}

// settle waits until what is being sent to a channel is recorded: somebody may react to a message before we know that it is there.
// It returns false while there may be posts in the channel that are not recorded yet.
func (s *sender) settle(ctx context.Context, channel string) bool {
	s.mu.Lock()
	over := s.busy[channel]
	s.mu.Unlock()
	if over != nil {
		select {
		case <-over:
		case <-ctx.Done():
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.started && !slices.Contains(slices.Collect(maps.Values(s.doubt)), channel)
}

// sent waits until Slack has a message of the outbox, or has refused it for good, and returns it.
func (s *sender) sent(ctx context.Context, key string) (session.Message, error) {
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		m, err := s.bot.store.Message(ctx, key)
		if err != nil || m.TS != "" || m.Failed != "" {
			return m, session.Wrap("bot.sent", err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return m, ctx.Err()
		}
	}
}

// tidy forgets what is long past, so that the maps do not grow with every message ever sent. s.mu is held.
func (s *sender) tidy(now time.Time) {
	if len(s.edited) < 1_000 {
		return
	}
	maps.DeleteFunc(s.edited, func(_ string, at time.Time) bool { return now.Sub(at) > time.Hour })
	maps.DeleteFunc(s.paces, func(_ string, p *pace) bool { return p.idle(now) })
	maps.DeleteFunc(s.blocked, func(_ string, until time.Time) bool { return now.After(until) })
}
