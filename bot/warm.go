package bot

import (
	"context"
	"sync"
	"time"

	"openinspect/session"
)

// Warmer starts sandboxes that nobody has asked for yet.
type Warmer interface {
	// Warm is told that somebody will probably want a sandbox soon, for a repository from a branch. It returns at once, and may do nothing.
	Warm(r session.Repo, base string)
}

// warmHint is a sign that somebody is about to ask for a sandbox. The zero warmHint is none.
type warmHint struct {
	by   session.Person // who may act
	repo session.Repo   // none: what they worked on last
}

// warmEvery is how often at most a sandbox is started ahead for a person: whoever opens and closes a tab starts no row of them.
const warmEvery = time.Minute

// maxWarmed bounds how many people are remembered; those of before the last minute are forgotten first.
const maxWarmed = 1_000

// warmLimiter remembers for whom a sandbox was started ahead of late. The zero value is ready.
type warmLimiter struct {
	mu   sync.Mutex
	last map[string]time.Time // by Slack id
}

// allow reports whether one may be started for a person now, which then counts.
func (l *warmLimiter) allow(user string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, ok := l.last[user]; ok && now.Sub(at) < warmEvery {
		return false
	}
	if l.last == nil {
		l.last = map[string]time.Time{}
	}
	if len(l.last) >= maxWarmed {
		for who, at := range l.last {
			if now.Sub(at) >= warmEvery {
				delete(l.last, who)
			}
		}
	}
	if len(l.last) >= maxWarmed {
		return false
	}
	l.last[user] = now
	return true
}

// warm has a sandbox started ahead for a hint, from the branch that the person's sessions start from. It is best effort, and is called once whoever
// waits for an answer has it.
func (b *Bot) warm(ctx context.Context, h warmHint) {
	if b.cfg.Warmer == nil || h.by.Slack == "" || !b.warmLimiter.allow(h.by.Slack, b.clock.Now()) {
		return
	}
	p, err := b.preferences(ctx, h.by.Slack)
	if h.repo == (session.Repo{}) {
		h.repo = b.lastRepository(ctx, p)
	}
	if h.repo == (session.Repo{}) {
		return
	}
	base := p.Branches[h.repo.String()]
	if err == nil && base == "" {
		var all []session.RepositoryInfo
		all, err = b.cfg.Repositories.Repositories(ctx)
		if info, ok := find(all, h.repo.String()); ok && !info.Archived {
			base = info.DefaultBranch
		}
	}
	if err != nil {
		b.logger.Warn("no sandbox is started ahead", "error", err)
		return
	}
	if base != "" {
		b.cfg.Warmer.Warm(h.repo, base)
	}
}

// lastRepository is the repository that a person worked on last, if there is one.
func (b *Bot) lastRepository(ctx context.Context, p session.Preferences) session.Repo {
	for _, id := range p.Recent {
		if st, err := b.cfg.Sessions.Load(ctx, id); err == nil && st.Session.Repo != (session.Repo{}) {
			return st.Session.Repo
		}
	}
	return session.Repo{}
}

// likeliest is the repository that a request is probably about, if anything speaks for one. ranked are all that there are.
func (c choice) likeliest(ranked []scored) session.Repo {
	for _, names := range [][]string{c.near, c.few()} {
		if len(names) > 0 {
			if r, ok := find(c.all, names[0]); ok {
				return r.Repo
			}
		}
	}
	if len(ranked) > 0 && ranked[0].score > 0 {
		return ranked[0].info.Repo
	}
	return session.Repo{}
}
