package bot

import (
	"context"

	"openinspect/session"
	"openinspect/session/model"
)

// preferences returns what a person wants unless they say otherwise.
func (b *Bot) preferences(ctx context.Context, user string) (session.Preferences, error) {
	p, err := b.store.Preferences(ctx, user)
	if session.CodeOf(err) == session.NotFound {
		return session.Preferences{Slack: user}, nil
	}
	return p, session.Wrap("bot.preferences", err)
}

// prefer changes what a person wants. change reports whether there is anything to store.
func (b *Bot) prefer(ctx context.Context, user string, change func(*session.Preferences) bool) error {
	b.preferring.Lock() // one change at a time: a lane is a thread's, and people write in several
	defer b.preferring.Unlock()
	p, err := b.preferences(ctx, user)
	if err != nil || !change(&p) {
		return err
	}
	return session.Wrap("bot.prefer", b.store.PutPreferences(ctx, p))
}

// usual returns the model and effort of a person's prompt that names none: the session's, or for its first prompt theirs.
func (b *Bot) usual(ctx context.Context, by session.Person, c conversation) (id, effort string, err error) {
	if !c.fresh() {
		return c.state.Session.Model, c.state.Session.Effort, nil
	}
	p, err := b.preferences(ctx, by.Slack)
	if err != nil {
		return "", "", err
	}
	id = b.cfg.DefaultModel
	if m, ok := model.Find(p.Model); ok && b.cfg.ModelAvailable(m.ID) {
		id = m.ID
	}
	if m, ok := model.Find(id); ok && m.HasEffort(p.Effort) {
		effort = p.Effort
	}
	return id, effort, nil
}

// branch returns the branch that a session starts from: the one that was asked for, else the person's, else the repository's. A branch in
// brackets that is not there is a refusal; for one that was read out of words, or that the person preferred once, the next takes its
// place, and said tells them.
func (b *Bot) branch(ctx context.Context, by session.Person, repo session.Repo, base string, o options) (branch, said, refusal string, err error) {
	info, err := b.cfg.Repositories.Repository(ctx, repo)
	if err == nil && info.Bare {
		err = b.cfg.Repositories.CheckBranch(ctx, repo, base)
	}
	switch {
	case session.CodeOf(err) == session.NotFound && info.Bare:
		return "", "", session.Sentence(err), nil
	case err != nil && session.CodeOf(err) != session.NotFound: // one that went away a moment ago says so when it starts
		return "", "", "", session.Wrap("bot.branch", err)
	}
	if o.branch == "" {
		p, err := b.preferences(ctx, by.Slack)
		if err != nil {
			return "", "", "", err
		}
		usual := p.Branches[repo.String()]
		if usual == "" || usual == base {
			return base, "", "", nil
		}
		err = b.cfg.Repositories.CheckBranch(ctx, repo, usual)
		switch {
		case err == nil:
			return usual, "", "", nil
		case session.CodeOf(err) == session.NotFound:
			return base, "Your branch for this repository is not there any more: " + session.Sentence(err) + " I start from `" + base + "`. The app's home tab has your branches.", "", nil
		}
		return "", "", "", session.Wrap("bot.branch", err)
	}
	err = b.cfg.Repositories.CheckBranch(ctx, repo, o.branch)
	switch {
	case err == nil:
		return o.branch, "", "", nil
	case session.CodeOf(err) != session.NotFound:
		return "", "", "", session.Wrap("bot.branch", err)
	case o.branchInWords:
		return base, session.Sentence(err) + " I start from `" + base + "`; to start elsewhere, mention me anew with `[branch=…]`.", "", nil
	}
	return "", "", session.Sentence(err), nil
}
