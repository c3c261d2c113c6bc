package bot

import (
	"cmp"
	"context"
	"slices"

	"openinspect/session"
)

// approves reports whether a reaction is an approval.
func (b *Bot) approves(e event) bool {
	emoji := emojiName(e.Reaction)
	return e.Type != taken && (emoji == b.cfg.ApproveEmoji || emoji == b.cfg.MergeEmoji)
}

// mayApprove is mayAct for a reaction on a message of ours, which is zero if it is not known any more. An approval by somebody who may not act is
// audited as often as they are told: once for each of them, thread and day.
func (b *Bot) mayApprove(ctx context.Context, e event, m session.Message, at place, root string) (by session.Person, ok bool, err error) {
	by, refusal, silent, err := b.who(ctx, e.User, at.channel)
	if err != nil || refusal == "" && !silent {
		return by, err == nil, err
	}
	reason := cmp.Or(refusal, "Bots, and people who left the workspace, do not approve.")
	if err := b.refusedApproval(ctx, "refused/"+at.channel+"/"+root+"/"+e.User+"/"+b.today(), e, m, by, reason); err != nil || silent {
		return by, false, err
	}
	return by, false, b.refuse(ctx, at, root, e.User, refusal)
}

// refusedApproval audits, once for a key, an approval that no session took: those that one takes it audits itself. Other reactions are none.
func (b *Bot) refusedApproval(ctx context.Context, key string, e event, m session.Message, by session.Person, reason string) error {
	if !b.approves(e) {
		return nil
	}
	known, err := b.store.User(ctx, by.Slack) // who may not act was not looked up
	if err != nil && session.CodeOf(err) != session.NotFound {
		return session.Wrap("bot.refusedApproval", err)
	}
	by.GitHub = known.GitHub
	r := session.AuditRecord{
		At: b.clock.Now(), Action: session.ApprovalOpen.Action(), By: by, Session: m.Session, Card: m.Subject.Card, Emoji: emojiName(e.Reaction),
		Result: string(session.ApprovalRefused) + ": " + reason,
	}
	if r.Emoji == b.cfg.MergeEmoji {
		r.Action = session.ApprovalMerge.Action()
	}
	if m.Session != "" {
		st, err := b.cfg.Sessions.Load(ctx, m.Session)
		if err != nil && !refused(err) {
			return session.Wrap("bot.refusedApproval", err)
		}
		if i := slices.IndexFunc(st.Cards, func(c session.Card) bool { return c.ID == m.Subject.Card }); i >= 0 {
			c := st.Cards[i]
			r.Commit = c.Commit
			if c.Kind == session.CardPullRequest && r.Action != session.ApprovalMerge.Action() {
				r.Action = session.ApprovalReview.Action()
			}
			if c.PullRequest != nil {
				r.Number = c.PullRequest.Number
			}
		}
	}
	return session.Wrap("bot.refusedApproval", b.store.AuditOnce(ctx, key, r))
}
