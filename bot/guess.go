package bot

import (
	"context"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"openinspect/session"
)

// Classifier says which repository a request is about where words and rules do not. It is asked only then, and never before the requester sees
// that their message was taken.
type Classifier interface {
	// Classify returns one of the puzzle's candidates, or none of them. The guess's Call is what was asked of a model, also with an error.
	Classify(ctx context.Context, p session.Puzzle) (session.Guess, error)
}

// maxCandidates is how many repositories a classifier is shown: those that most speaks for.
const maxCandidates = 100

// maxHint is how much of a request is looked through for what speaks for a repository: what somebody pasted behind it says little.
const maxHint = 4_000

// otherwise is how to correct a guess.
const otherwise = "; if it is another, stop this and mention me with [repo=…]"

// guess settles what nobody said, if it is clear enough, and otherwise puts the likeliest first in what is asked. It returns the model call
// that it took, if any.
func (b *Bot) guess(ctx context.Context, e event, by session.Person, text string, c choice) (choice, session.ModelCall) {
	h := b.hints(ctx, e, by, text)
	ranked := rank(c.all, h)
	if c.unsaid && clear(ranked) {
		taken := chosen(ranked[0].info)
		taken.why = ranked[0].why + otherwise
		return taken, session.ModelCall{}
	}
	b.warm(ctx, warmHint{by, c.likeliest(ranked)}) // a model's or a person's answer takes its time
	c.all = c.all[:0:0]
	for _, r := range ranked {
		c.all = append(c.all, r.info)
	}
	if !c.unsaid || b.cfg.Classifier == nil || len(c.all) == 0 {
		return c, session.ModelCall{}
	}
	redacted := b.cfg.Redactor.String
	p := session.Puzzle{Words: redacted(h.words), Context: redacted(h.context), Channel: h.channel, Topic: redacted(h.topic), Recent: h.recent,
		Candidates: c.all[:min(maxCandidates, len(c.all))]}
	g, err := b.cfg.Classifier.Classify(ctx, p)
	if err != nil {
		b.logger.Warn("no model says which repository a request is about; asking", "error", err)
		return c, g.Call
	}
	info, known := find(p.Candidates, g.Repo.String())
	b.logger.Info("a model was asked which repository a request is about", "model", g.Call.Model, "repository", g.Repo.String(), "known", known,
		"sure", g.Sure, "input", g.Call.Usage.Input, "output", g.Call.Usage.Output, "cost", g.Call.Cost)
	switch {
	case !known:
	case g.Sure:
		taken := chosen(info)
		taken.why = "guessed by " + modelTitle(g.Call.Model)
		if g.Words != "" && strings.Contains(strings.ToLower(h.words), strings.ToLower(g.Words)) {
			taken.why += " from “" + short(session.OneLine(g.Words, 60), 40) + "”"
		}
		taken.why += otherwise
		return taken, g.Call
	default:
		c.all = append([]session.RepositoryInfo{info}, slices.DeleteFunc(c.all, func(r session.RepositoryInfo) bool { return r.Repo == info.Repo })...)
	}
	return c, g.Call
}

// hints gathers what may speak for a repository. What cannot be read is left out.
func (b *Bot) hints(ctx context.Context, e event, by session.Person, text string) hints {
	words, _ := cut(text, maxHint)
	h := hints{words: words, context: b.forwarded(ctx, e)}
	if e.inThread() {
		said, err := b.replies(ctx, e)
		if err == nil {
			said = slices.DeleteFunc(said, func(m slack.Message) bool { return m.Timestamp >= e.TS })
			var quoted string
			if quoted, err = b.quote(ctx, e.About, said); err == nil {
				h.context = strings.TrimSpace(h.context + "\n" + quoted)
			}
		}
		if err != nil {
			b.logger.Warn("reading a thread for its repository", "channel", e.Channel, "thread", e.root(), "error", err)
		}
	}
	if !e.direct() {
		if r, err := b.room(ctx, e.Channel); err == nil {
			h.channel, h.topic = r.name, r.topic
		}
	}
	if p, err := b.preferences(ctx, by.Slack); err == nil {
		for _, id := range p.Recent {
			st, err := b.cfg.Sessions.Load(ctx, id)
			if err == nil && st.Session.Repo != (session.Repo{}) && !slices.Contains(h.recent, st.Session.Repo) {
				if h.recent = append(h.recent, st.Session.Repo); len(h.recent) == maxRecent {
					break
				}
			}
		}
	}
	return h
}

// charge counts what choosing the repository cost, as a part of the session's cost. A bot that dies before it does has logged it.
func (b *Bot) charge(ctx context.Context, c conversation) error {
	if c.asked.Usage == (session.Usage{}) {
		return nil
	}
	err := b.cfg.Sessions.Send(ctx, c.id, session.ModelCalled{Call: c.asked})
	return session.Wrap("bot.charge", ignore(err, session.NotFound))
}
