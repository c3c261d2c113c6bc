package bot

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"openinspect/session"
)

// linkFor starts the linking that an approval waits for.
func (b *Bot) linkFor(ctx context.Context, id session.ID, by session.Person, at place, key string) error {
	linked, err := b.link(ctx, by, at, key, "Once it is linked, your approval goes on by itself.")
	if err == nil && linked {
		// They linked it between their reaction and now.
		return b.cfg.Sessions.Send(ctx, id, session.Linked{By: b.withAccount(ctx, by)})
	}
	if err != nil && session.CodeOf(err) != session.Unavailable && ctx.Err() == nil {
		b.logger.Error("linking an account", "slack", by.Slack, "error", err)
		return b.cfg.Sessions.Send(ctx, id, session.LinkFailed{By: by, Reason: session.Sentence(err)})
	}
	return err
}

// link sends a person the code for linking their GitHub account, by direct message, and says so where they are.
func (b *Bot) link(ctx context.Context, by session.Person, at place, key, then string) (linked bool, err error) {
	if b.withAccount(ctx, by).GitHub != nil {
		return true, nil
	}
	c, err := b.cfg.Linking.Link(ctx, by.Slack)
	if err != nil {
		return false, session.Wrap("bot.link", err)
	}
	minutes := max(1, int(c.Expires.Sub(b.clock.Now()).Minutes()))
	text := fmt.Sprintf("*Link your GitHub account to <@%s>*\nOpen %s and enter the code `%s` within %d minutes. %s\nEnter it only if you asked for this just now; whoever enters it lets the bot open pull requests under their name.",
		by.Slack, escape(c.URL), escape(c.UserCode), minutes, then)
	direct := session.Message{Key: key + "/code", Op: session.MessageDirect, User: by.Slack, Text: text, Urgent: true}
	if at.channel == "" || isDirect(at.channel) {
		return false, b.put(ctx, direct)
	}
	return false, b.put(ctx, direct, b.private(key+"/told", at, by.Slack, "I sent you a direct message with a code to link your GitHub account. "+then))
}

// withAccount returns a person with the account they have linked by now.
func (b *Bot) withAccount(ctx context.Context, p session.Person) session.Person {
	if u, err := b.store.User(ctx, p.Slack); err == nil {
		p.GitHub = u.GitHub
	}
	return p
}

// LinkDone tells how the linking of a Slack user's account ended: with the account, or with an error that has a sentence for them.
// Approvals that wait for it go on. Before Run has connected to Slack it waits for that. It may be called again for the same flow, until it
// returns nil: the person is told once.
func (b *Bot) LinkDone(ctx context.Context, slack, flow string, account *session.Identity, cause error) error {
	select {
	case <-b.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	by := session.Person{Slack: slack, Name: b.nameOf(ctx, slack), GitHub: account}
	text := "Your GitHub account was not linked. " + escape(session.Sentence(cause))
	var in session.Input = session.LinkFailed{By: by, Reason: session.Sentence(cause)}
	if cause == nil && account != nil {
		text = "Linked: you are " + escape(account.Login) + " on GitHub. `/inspect unlink` undoes it."
		in = session.Linked{By: by}
	}
	err := b.toWaiting(ctx, slack, in) // first: whoever reads that it failed approves again, which means nothing while an approval of theirs waits
	return session.Wrap("bot.LinkDone", errors.Join(err,
		b.put(ctx, session.Message{Key: "linked/" + slack + "/" + flow, Op: session.MessageDirect, User: slack, Text: text, Urgent: true})))
}

// toWaiting sends an input to every session in which an approval of the person's waits for their linking.
func (b *Bot) toWaiting(ctx context.Context, slack string, in session.Input) error {
	ids, err := b.store.Open(ctx)
	if err != nil {
		return session.Wrap("bot.toWaiting", err)
	}
	var failed []error
	for _, id := range ids {
		st, err := b.cfg.Sessions.Load(ctx, id)
		if err == nil && linking(st, slack) {
			err = b.cfg.Sessions.Send(ctx, id, in)
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// linking reports whether an approval of a person's waits for their linking.
func linking(st session.State, slack string) bool {
	return slices.ContainsFunc(st.Approvals, func(a session.Approval) bool {
		return a.State == session.ApprovalLinking && a.By.Slack == slack
	})
}
