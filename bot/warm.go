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

// hunch is what somebody will probably ask for. The zero hunch is none.
type hunch struct {
	by   session.Person // who may act
	repo session.Repo   // none: what they worked on last
}

// hunchEvery is how often a person's doings may lead to a hunch: whoever opens and closes a tab starts no row of sandboxes.
const hunchEvery = time.Minute

// maxHunches bounds how many people are remembered; those of before the last minute are forgotten first.
const maxHunches = 1_000

// hunches remembers who had one.
type hunches struct {
	mu   sync.Mutex
	last map[string]time.Time // by Slack id
}

// take reports whether a person may have one now, which then counts.
func (h *hunches) take(user string, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if at, ok := h.last[user]; ok && now.Sub(at) < hunchEvery {
		return false
	}
	if h.last == nil {
		h.last = map[string]time.Time{}
	}
	if len(h.last) >= maxHunches {
		for who, at := range h.last {
			if now.Sub(at) >= hunchEvery {
				delete(h.last, who)
			}
		}
	}
	if len(h.last) >= maxHunches {
		return false
	}
	h.last[user] = now
	return true
}

// foresee has a sandbox started for a hunch, from the branch that the person's sessions start from. It is best effort, and is called once whoever
// waits for an answer has it.
func (b *Bot) foresee(ctx context.Context, h hunch) {
	if b.cfg.Warmer == nil || h.by.Slack == "" || !b.hunches.take(h.by.Slack, b.clock.Now()) {
		return
	}
	p, err := b.preferences(ctx, h.by.Slack)
	if h.repo == (session.Repo{}) {
		h.repo = b.last(ctx, p)
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

// last is the repository that a person worked on last, if there is one.
func (b *Bot) last(ctx context.Context, p session.Preferences) session.Repo {
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
