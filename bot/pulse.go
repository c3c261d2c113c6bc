package bot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/slack-go/slack"

	"openinspect/session"
)

// A pulse is what Slack itself says of us below a thread while a turn goes on: "inspect is working…". Slack takes it away with our next message
// in the thread, or after two minutes without a new one; docs.slack.dev, "assistant.threads.setStatus", and docs/adr/0018. It is an ornament: nothing
// waits for it, and a Slack that does not take it hurts nobody. It is stored in the outbox like a message, so that one that was set is taken away in
// the end, whatever happens in between.
const (
	pulseEvery  = 90 * time.Second
	pulseWithin = 10 * time.Second // for an answer
)

// pulse is the thread's status while a turn goes on.
func (v view) pulse(d *digest) session.Message {
	m := v.message("pulse/"+d.turn.prompt, session.MessageStatus, "", "")
	switch t := d.turn; {
	case t.state == session.TurnStarted && d.sandbox == session.SandboxPending:
		m.Text = "is waiting for room…"
	case t.state == session.TurnStarted:
		m.Text = "is getting ready…"
	case t.paused:
		m.Text = "is waiting for an answer…"
	default:
		m.Text = "is working…"
	}
	m.Title = fmt.Sprintf("%d.%d", d.spoke, d.now.Unix()/int64(pulseEvery/time.Second)) // what makes it due again
	return m
}

// still takes the status of a turn that is over away.
func (v view) still(promptID string) session.Message {
	return v.message("pulse/"+promptID, session.MessageStatus, "", "")
}

// pulses is what is known of the threads' statuses in this run. The sender's lock guards it.
type pulses struct {
	threads map[string]*lit
	off     map[string]bool // channels and threads in which Slack takes none; "": nowhere
}

// lit is a thread whose status was set.
type lit struct {
	on     bool
	sets   int // how often it was set
	flying int // calls under way
}

// sets returns how often a thread's status was set before what is posted now; -1: that cannot be told. s.mu is held.
func (p *pulses) sets(thread string) int {
	if l := p.threads[thread]; l != nil && l.flying == 0 {
		return l.sets
	}
	return -1
}

// said notes that something was posted in a thread, which takes its status away unless that was set since. s.mu is held.
func (p *pulses) said(thread string, sets int) {
	if l := p.threads[thread]; l != nil && l.sets == sets {
		l.on = false
	}
}

// dark reports whether a status need not be taken away: a message of ours did, or Slack never took it. s.mu is held.
func (p *pulses) dark(m session.Message) bool {
	l := p.threads[threadOf(m)]
	return p.off[""] || p.off[m.Channel] || p.off[threadOf(m)] || m.Text == "" && l != nil && !l.on
}

// beat sets or takes away a thread's status and records that.
func (s *sender) beat(ctx context.Context, m session.Message) {
	thread := threadOf(m)
	s.mu.Lock()
	dark := s.pulses.dark(m)
	if !dark {
		if s.pulses.threads == nil {
			s.pulses.threads = map[string]*lit{}
		}
		if s.pulses.threads[thread] == nil {
			s.pulses.threads[thread] = &lit{}
		}
		s.pulses.threads[thread].flying++
	}
	s.mu.Unlock()
	if !dark {
		within, cancel := context.WithTimeout(ctx, pulseWithin)
		err := s.bot.api.SetAssistantThreadsStatusContext(within, slack.AssistantThreadsSetStatusParameters{ChannelID: m.Channel, ThreadTS: m.Thread, Status: m.Text})
		cancel()
		s.mu.Lock()
		l := s.pulses.threads[thread]
		l.flying--
		l.sets++
		l.on = l.on || m.Text != "" // also after an error: Slack may have done it
		s.mu.Unlock()
		if ctx.Err() != nil || err != nil && s.unmoved(m, err) {
			return
		}
	}
	if err := s.record(ctx, m, "", ""); err != nil {
		if ctx.Err() == nil {
			s.bot.logger.Error("recording a thread's status", "key", m.Key, "error", err)
			s.again(m, time.Second, false)
		}
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.retries, m.Key)
	if m.Text == "" {
		delete(s.pulses.threads, thread)
	}
}

// unmoved reports whether a status is to be tried again later. What Slack refuses is given up, in its channel or altogether, and said once.
func (s *sender) unmoved(m session.Message, err error) bool {
	code := refusalOf(err)
	limited, ok := errors.AsType[*slack.RateLimitedError](err)
	switch {
	case ok:
		s.limited(m, max(limited.RetryAfter, time.Second))
		return true
	case code == "" || passing(code):
		s.again(m, 0, false)
		return true
	}
	where := "" // scopes and the like are the same everywhere
	switch {
	case absent(err):
		where = m.Channel
	case code == noThread, code == "invalid_thread_ts", code == "message_not_found":
		where = threadOf(m)
	}
	s.mu.Lock()
	known := s.pulses.off[where]
	if s.pulses.off == nil || len(s.pulses.off) > 1_000 {
		s.pulses.off = map[string]bool{}
	}
	s.pulses.off[where] = true
	s.mu.Unlock()
	if !known {
		s.bot.logger.Warn("slack does not show that the bot is working; the threads' messages do"+advice(err), "channel", where, "error", err)
	}
	return false
}
