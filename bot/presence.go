package bot

import (
	"sync"
	"time"
)

// presence knows which connections to Slack there are.
type presence struct {
	bot *Bot

	mu     sync.Mutex
	open   int                  // connections of ours that Slack may count
	live   map[*connection]bool // those that Slack sends events on
	parted time.Time            // when one of ours ended last; zero: none has, but one of an earlier run's may have
	began  time.Time
	others int // connections that are not ours, as Slack counted last
}

func (p *presence) opened() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open++
	if p.began.IsZero() {
		p.began = p.bot.clock.Now()
	}
}

func (p *presence) ended() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open--
	p.parted = p.bot.clock.Now()
}

// greeted takes a hello, which counts the app's connections. More than ours means that another program listens with the same token, and
// gets a part of the events. Slack may count some that have ended a moment ago, of this run or of the one before: then it is left to the
// next hello.
func (p *presence) greeted(c *connection, connections int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.live == nil {
		p.live = map[*connection]bool{}
	}
	p.live[c] = true
	p.bot.hearing.back()
	now, others := p.bot.clock.Now(), max(0, connections-p.open)
	if others > 0 && (now.Sub(p.parted) < haunts || now.Sub(p.began) < haunts) {
		return
	}
	if others > 0 && p.others == 0 {
		p.bot.logger.Error("Slack counts more connections than the bot has: another program listens with SLACK_APP_TOKEN, and what Slack sends to it never comes here. Stop it, or give it an app of its own",
			"connections", connections, "ours", p.open)
	}
	p.others = others
}

// left notes that a connection gets no events any more.
func (p *presence) left(c *connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.live[c]
	delete(p.live, c)
	if was && len(p.live) == 0 {
		p.bot.hearing.lost()
	}
}

// deaf notes that a connection was silent: Slack may have sent to it what never came.
func (p *presence) deaf(c *connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.live, c)
	p.bot.hearing.lost()
	if len(p.live) > 0 {
		p.bot.hearing.back()
	}
}
