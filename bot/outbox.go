package bot

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"openinspect/session"
)

// The pace of messages: Slack allows about one post a second in a channel, with small bursts, and about 50 edits a minute in the whole
// workspace; a message is edited no more often than people can follow.
const (
	editEvery      = 3 * time.Second // of one message
	postEvery      = time.Second     // in one channel
	postBurst      = 10
	workspaceEdits = 1300 * time.Millisecond
	editBurst      = 15
	maxRetryPause  = time.Minute
	limitedFor     = 30 * time.Second // when Slack limits a call and does not say for how long
	widespread     = 3                // channels in which a method is limited at once, that it counts as limited everywhere
)

// sender brings the outbox to Slack. One goroutine decides what is due; each channel has at most one call under way, so that its
// messages keep their order.
type sender struct {
	bot   *Bot
	awake chan struct{}
	wg    sync.WaitGroup

	mu      sync.Mutex
	busy    map[string]chan struct{} // lanes with a call under way; closed when it is over
	posts   map[string]*pace         // by lane
	edits   pace                     // of the workspace
	edited  map[string]time.Time     // by key of message: when it was last sent
	blocked map[string]time.Time     // by method, or method and lane: until when Slack wants no calls
	retries map[string]retry         // by key of message
	doubt   map[string]string        // by key: the lane of a post that may be in Slack already
	direct  map[string]string        // by user: the channel of the direct conversation
	started bool
	changed chan struct{} // closed when a call was recorded, and made anew
}

type retry struct {
	tries int
	until time.Time
}

func (s *sender) init(b *Bot) {
	*s = sender{
		bot: b, awake: make(chan struct{}, 1), busy: map[string]chan struct{}{}, posts: map[string]*pace{},
		edits: pace{every: workspaceEdits, burst: editBurst}, edited: map[string]time.Time{}, blocked: map[string]time.Time{},
		retries: map[string]retry{}, doubt: map[string]string{}, direct: map[string]string{}, changed: make(chan struct{}),
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
	behind := map[string]bool{} // lanes in which something has to be said first
	for _, m := range pending {
		lane := laneOf(m)
		if held[lane] || behind[lane] && first(m) {
			continue
		}
		d := s.delay(m, lane, now)
		if d == 0 {
			s.begin(ctx, m, lane, now)
			held[lane] = true
			continue
		}
		if next == 0 || d < next {
			next = d
		}
		if first(m) {
			behind[lane] = true
		}
	}
	return next, nil
}

// laneOf is the conversation a message goes to.
func laneOf(m session.Message) string {
	if m.Op == session.MessageDirect {
		return "user:" + m.User
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
	case session.MessageReact, session.MessageUnreact:
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
		return "files.upload"
	}
	return string(m.Op)
}

// limit names what Slack counts a call against: posts in each conversation, everything else in the whole workspace.
func limit(m session.Message) string {
	switch of := method(m); of {
	case "chat.postMessage", "chat.postEphemeral":
		return of + " " + laneOf(m)
	default:
		return of
	}
}

// delay returns how long a message has to wait. s.mu is held.
func (s *sender) delay(m session.Message, lane string, now time.Time) time.Duration {
	d := max(s.blocked[method(m)].Sub(now), s.blocked[limit(m)].Sub(now), s.retries[m.Key].until.Sub(now), 0)
	switch {
	case method(m) == "chat.update" && m.Urgent:
	case method(m) == "chat.update":
		d = max(d, s.edited[m.Key].Add(editEvery).Sub(now), s.edits.delay(now))
	case first(m) && m.Op != session.MessageEphemeral:
		d = max(d, s.post(lane).delay(now))
	}
	return d
}

func (s *sender) post(lane string) *pace {
	p := s.posts[lane]
	if p == nil {
		p = &pace{every: postEvery, burst: postBurst}
		s.posts[lane] = p
	}
	return p
}

// begin starts a call. s.mu is held.
func (s *sender) begin(ctx context.Context, m session.Message, lane string, now time.Time) {
	over := make(chan struct{})
	s.busy[lane] = over
	switch {
	case method(m) == "chat.update":
		s.edits.take(now)
	case first(m) && m.Op != session.MessageEphemeral:
		s.post(lane).take(now)
	}
	if posted(m.Op) {
		s.edited[m.Key] = now
	}
	_, doubt := s.doubt[m.Key]
	// These are named by their prompt, not by a place in the log, which a restored store fills anew.
	doubt = doubt || s.bot.cfg.Restored && (m.Subject.Kind == "status" || m.Subject.Kind == "result")
	s.wg.Go(func() {
		s.send(ctx, m, doubt)
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
	maps.DeleteFunc(s.edited, func(_ string, at time.Time) bool { return now.Sub(at) > editEvery })
	maps.DeleteFunc(s.posts, func(_ string, p *pace) bool { return p.delay(now) == 0 && now.After(p.full) })
	maps.DeleteFunc(s.blocked, func(_ string, until time.Time) bool { return now.After(until) })
}

// pace spaces things out: one each so often, with a burst after a pause.
type pace struct {
	every time.Duration
	burst int
	full  time.Time // when the whole burst is there again
}

// delay returns how long until the next may go.
func (p *pace) delay(now time.Time) time.Duration {
	return max(0, p.full.Add(-time.Duration(p.burst-1)*p.every).Sub(now))
}

// take counts one that goes now.
func (p *pace) take(now time.Time) {
	if p.full.Before(now) {
		p.full = now
	}
	p.full = p.full.Add(p.every)
}
