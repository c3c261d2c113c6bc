package bot

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"openinspect/session"
)

// Rules remembers which repositories are merged from Slack.
type Rules interface {
	// MergeRule returns a repository's rule; NotFound if it has none.
	MergeRule(ctx context.Context, repo session.Repo) (session.MergeRule, error)
	// MergeRules returns all rules by repository.
	MergeRules(ctx context.Context) ([]session.MergeRule, error)
	// PutMergeRule sets a repository's rule.
	PutMergeRule(ctx context.Context, r session.MergeRule) error
	// Followed returns the pull requests that are open, as far as is known.
	Followed(ctx context.Context) ([]session.Followed, error)
}

// merges reports whether people merge a repository's pull requests from Slack: as an admin of it said, else as the operator did.
func (b *Bot) merges(ctx context.Context, r session.Repo) (bool, error) {
	rule, err := b.store.MergeRule(ctx, r)
	switch {
	case err == nil:
		return rule.On, nil
	case session.CodeOf(err) == session.NotFound:
		return b.cfg.Merge, nil
	}
	return false, session.Wrap("bot.merges", err)
}

// mergeAsked is what a 🚢 on a card asks of its session.
func (b *Bot) mergeAsked(ctx context.Context, key string, by session.Person, m session.Message, put time.Time) (session.Input, error) {
	st, err := b.cfg.Sessions.Load(ctx, m.Session)
	if err != nil {
		return nil, session.Wrap("bot.mergeAsked", err)
	}
	on, err := b.merges(ctx, st.Session.Repo)
	return session.MergeAsked{ID: key, By: by, Card: m.Subject.Card, Emoji: b.cfg.MergeEmoji, Put: put, Allowed: on, Quorum: b.cfg.Approvals}, err
}

// MergeStands is asked last before a pull request is merged: whether whoever asked for it still has their 🚢 on the card, and people may still merge
// there. What was taken off while nobody listened is found here. session.ErrTakenBack if it is not there any more.
func (b *Bot) MergeStands(ctx context.Context, r session.MergeRequest) error {
	switch on, err := b.merges(ctx, r.Repo); {
	case err != nil:
		return err
	case !on:
		return session.Errorf(session.Conflict, "Merging from Slack was switched off for %s meanwhile, so nothing was merged.", r.Repo)
	}
	gone := session.Errorf(session.Conflict, "The card of #%d cannot be seen in Slack any more, so nothing was merged. Merge it on GitHub.", r.Number)
	m, err := b.store.Message(ctx, string(r.Session)+"/"+cardKey(r.Card))
	if session.CodeOf(err) == session.NotFound || err == nil && m.TS == "" {
		return gone
	}
	if err != nil {
		return session.Wrap("bot.MergeStands", err)
	}
	on, err := b.api.GetReactionsContext(ctx, slack.NewRefToMessage(m.Channel, m.TS), slack.GetReactionsParameters{Full: true})
	switch {
	case err != nil:
		if err = b.outside("reactions.get", err); session.CodeOf(err) == session.Unavailable {
			return err
		}
		gone.Err = err
		return gone
	case !reacted(on.Reactions, b.cfg.MergeEmoji, r.By.Slack):
		return session.ErrTakenBack
	}
	return nil
}

// reacted reports whether somebody's emoji is among a message's reactions.
func reacted(all []slack.ItemReaction, emoji, user string) bool {
	return slices.ContainsFunc(all, func(r slack.ItemReaction) bool { return emojiName(r.Name) == emoji && slices.Contains(r.Users, user) })
}

// conditions are what has to be so before a pull request is merged.
func conditions(approvals int) string {
	if approvals == 1 {
		return "once checks pass and somebody with write access who did not contribute approves this commit"
	}
	return fmt.Sprintf("once checks pass and %d people with write access who did not contribute approve this commit", approvals)
}

var mergeArgs = regexp.MustCompile(`(?is)^merge(?:\s+(on|off)(?:\s+(\S+))?)?$`)

// ruling is what follows /inspect when somebody asks about merging, or switches it.
type ruling struct {
	change string // on or off; empty: they ask
	repo   string // empty: they named none
}

// readMerge reads what follows /inspect. It is a task if it has another form: people also ask for things to be merged.
func readMerge(text string) (ruling, bool) {
	m := mergeArgs.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return ruling{}, false
	}
	return ruling{change: strings.ToLower(m[1]), repo: m[2]}, true
}

// commandMerge tells which repositories are merged from Slack, or lets an admin of one switch it.
func (b *Bot) commandMerge(ctx context.Context, by session.Person, at place, key string, r ruling) error {
	if r.repo == "" {
		return b.listRules(ctx, by, at, key)
	}
	nothing := func(why string) error { return b.whisper(ctx, key, at, by.Slack, "Nothing was changed. "+why) }
	pick, err := b.choose(ctx, "", options{repo: r.repo}, "", true)
	if err != nil {
		return err
	}
	if pick.problem != "" {
		return nothing(pick.notice())
	}
	if told, err := b.told(ctx, key); told || err != nil {
		return err
	}
	by = b.withAccount(ctx, by)
	if by.GitHub == nil {
		_, err := b.link(ctx, by, at, key, "Then give the command again: GitHub says who is an admin of "+code(pick.repo.String())+".")
		return err
	}
	admin, err := b.cfg.Repositories.Admin(ctx, by, pick.repo)
	switch {
	case refused(err):
		return nothing(prose(session.Sentence(err)))
	case err != nil:
		return session.Wrap("bot.Admin", err)
	case !admin:
		return nothing("Only an admin of " + code(pick.repo.String()) + " on GitHub can switch this, and your account " + escape(by.GitHub.Login) + " is none.")
	}
	on := r.change == "on"
	if err := b.store.PutMergeRule(ctx, session.MergeRule{Repo: pick.repo, On: on, By: by, At: b.clock.Now()}); err != nil {
		return session.Wrap("bot.PutMergeRule", err)
	}
	if err := b.relabel(ctx, pick.repo); err != nil {
		return err
	}
	said := "Pull requests of " + code(pick.repo.String()) + " are not merged from Slack any more."
	if on {
		said = "Pull requests of " + code(pick.repo.String()) + " can be merged from Slack from now on, by a :" + b.cfg.MergeEmoji + ": on their card, " + conditions(b.cfg.Approvals) + "."
	}
	return b.whisper(ctx, key, at, by.Slack, said)
}

func (b *Bot) listRules(ctx context.Context, by session.Person, at place, key string) error {
	all, err := b.store.MergeRules(ctx)
	if err != nil {
		return session.Wrap("bot.listRules", err)
	}
	word := map[bool]string{true: "on", false: "off"}
	lines := []string{"Merging from Slack is " + word[b.cfg.Merge] + " where no admin has said otherwise."}
	for _, r := range all {
		lines = append(lines, code(r.Repo.String())+": "+word[r.On]+", set by "+escape(r.By.Name))
	}
	return b.whisper(ctx, key, at, by.Slack, strings.Join(append(lines, "An admin of a repository switches it: `/inspect merge on owner/name`, `/inspect merge off owner/name`."), "\n"))
}

// relabel has the cards of a repository's open pull requests say what 🚢 does now.
func (b *Bot) relabel(ctx context.Context, r session.Repo) error {
	all, err := b.store.Followed(ctx)
	if err != nil {
		return session.Wrap("bot.relabel", err)
	}
	for _, f := range all {
		if !strings.EqualFold(f.Repo.String(), r.String()) {
			continue
		}
		if err := b.redraw(ctx, f.Session); err != nil {
			return session.Wrap("bot.relabel", err)
		}
	}
	return nil
}

// redraw shows the card of a session's open pull request as it is now. The presenter may be telling something newer meanwhile, so it is shown until
// nothing has happened since it was read.
func (b *Bot) redraw(ctx context.Context, id session.ID) error {
	for seq := int64(-1); ; {
		st, err := b.cfg.Sessions.Load(ctx, id)
		if err != nil {
			if session.CodeOf(err) == session.Unavailable {
				return err
			}
			return nil // it was removed, or nothing goes on in it
		}
		if st.Session.Seq == seq {
			return nil
		}
		seq = st.Session.Seq
		for _, c := range st.Cards {
			if c.Kind != session.CardPullRequest || c.State != session.CardOpen {
				continue
			}
			told, err := b.told(ctx, string(id)+"/"+cardKey(c.ID))
			if err == nil && told { // else it says so when it comes
				err = b.put(ctx, b.presenter.view(ctx, st.Session).pullRequest(&c))
			}
			if err != nil {
				return err
			}
		}
	}
}
