package bot

import (
	"context"
	"fmt"

	"openinspect/session"
)

// noThread is Slack's code for a thread that was deleted.
const noThread = "thread_not_found"

// unsaid tells the session's log that something cannot be said in its thread, once for each reason.
func (s *sender) unsaid(ctx context.Context, m session.Message, refusal error) {
	code := refusalOf(refusal)
	if m.Session == "" || code == "" || m.Op == session.MessageReact || m.Op == session.MessageUnreact {
		return
	}
	in := session.Unsaid{ID: "unsaid/" + code, Reason: "Slack does not take what is to be said in this thread (" + code + ")" + advice(refusal) + "."}
	s.bot.errands.run(func() {
		if err := s.bot.cfg.Sessions.Send(ctx, m.Session, in); err != nil && ctx.Err() == nil && session.CodeOf(err) != session.NotFound {
			s.bot.logger.Warn("noting what cannot be said in a session's log", "session", m.Session, "error", err)
		}
	})
}

// detour tells the participants of a session by direct message, each once, that its thread cannot be written to any more. Messages for it
// are lost to them; the session goes on.
func (s *sender) detour(ctx context.Context, m session.Message, refusal error) error {
	if m.Session == "" || m.Op != session.MessagePost || isDirect(m.Channel) || !closed(refusal) && refusalOf(refusal) != noThread {
		return nil
	}
	st, err := s.bot.cfg.Sessions.Load(ctx, m.Session)
	if err != nil {
		return session.Wrap("bot.detour", err)
	}
	why, mend := "I was removed from the channel, or may not post there any more", "Invite me again and write in the thread: the session goes on there."
	if code := refusalOf(refusal); code == "is_archived" || code == "is_inactive" {
		why, mend = "the channel is archived", "Unarchive it and write in the thread, or start over in another channel."
	}
	switch code := refusalOf(refusal); {
	case code == noThread:
		why, mend = "the thread is not there any more", "Mention me in a new message to start over; what was done is kept in the log."
	case st.Session.Closed && code != "is_archived" && code != "is_inactive":
		mend = "So I ended what went on there; what there is of it is kept. Invite me again and mention me in the thread to go on."
	}
	text := fmt.Sprintf("What I have to say in <#%s> about %s does not reach you there: %s. %s", m.Channel, code(short(st.Session.Title, 80)), why, mend)
	told := map[string]bool{}
	var messages []session.Message
	for _, p := range append([]session.Person{st.Session.Requester}, st.Session.Participants...) {
		if p.Slack == "" || told[p.Slack] {
			continue
		}
		told[p.Slack] = true
		messages = append(messages, session.Message{Key: "detour/" + string(m.Session) + "/" + p.Slack, Op: session.MessageDirect, User: p.Slack, Text: text, Urgent: true})
	}
	return s.bot.put(ctx, messages...)
}
