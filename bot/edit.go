package bot

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strings"

	"openinspect/session"
)

// tombstone is the subtype of what stands where a message with replies was deleted.
const tombstone = "tombstone"

// change is what became of a person's message after they sent it.
type change struct {
	now     event  // as it reads now, or read until it was deleted
	before  string // its text before an edit
	edit    string // Slack's time of the edit before that one, if there was any
	deleted bool
}

// change reads a message_changed or message_deleted. ok is false for what no person did to their message: link previews also come as changes.
func (e event) change() (c change, ok bool) {
	switch {
	case e.Type != "message":
		return c, false
	case e.Subtype == "message_deleted" && e.Previous != nil:
		c.now, c.deleted = *e.Previous, true
		c.now.TS = e.DeletedTS
	case e.Subtype == "message_changed" && e.Message != nil && e.Message.Subtype == tombstone:
		if e.Previous == nil {
			return c, false
		}
		c.now, c.deleted = *e.Previous, true
	case e.Subtype == "message_changed" && e.Message != nil && e.Message.Edited != nil:
		c.now = *e.Message
		c.now.edit, c.now.Edited = e.Message.Edited.TS, nil
		if e.Previous != nil {
			c.before = e.Previous.Text
			if e.Previous.Edited != nil {
				c.edit = e.Previous.Edited.TS
			}
			if e.Previous.Text == c.now.Text {
				return c, false
			}
		}
	default:
		return c, false
	}
	c.now.Type, c.now.Channel, c.now.ChannelType, c.now.redacted = "message", e.Channel, e.ChannelType, e.redacted
	if c.deleted {
		c.now.Edited = nil
	}
	return c, c.now.spoken()
}

// identity names a change, however it is learnt of.
func (c change) identity() string {
	if c.deleted {
		return c.now.Channel + ":" + c.now.TS + "~deleted"
	}
	return c.now.Channel + ":" + c.now.TS + "~" + c.now.edit
}

// mayMatter is the quick look of the socket loop at a change.
func (b *Bot) mayMatter(ctx context.Context, c change) (bool, error) {
	if c.now.User == b.self.user {
		return false, nil
	}
	_, err := b.cfg.Sessions.Find(ctx, b.thread(c.now))
	if session.CodeOf(err) == session.NotFound {
		if c.now.direct() || mentions(c.now.Text, b.self.user) {
			return true, nil
		}
		_, err = b.store.Seen(ctx, c.now.Channel+":"+c.now.TS) // then its session may be about to open
		return err == nil, session.Wrap("bot.Seen", ignore(err, session.NotFound))
	}
	return err == nil, session.Wrap("bot.Find", err)
}

// changed brings what somebody did to a message of theirs to its outcome.
func (b *Bot) changed(ctx context.Context, ch change) error {
	e := ch.now
	c, err := b.conversation(ctx, e)
	if err != nil || c.gone != nil {
		return err
	}
	var past []session.Prompt
	if c.id != "" {
		if past, err = b.store.Prompts(ctx, c.id); err != nil {
			return session.Wrap("bot.changed", err)
		}
	}
	said := slices.DeleteFunc(slices.Clone(past), func(p session.Prompt) bool { return !p.Of(e.TS) })
	switch {
	case ch.deleted:
		return b.deleted(ctx, e, c, len(said) > 0)
	case len(said) == 0:
		if _, err := b.store.Seen(ctx, goneKey(e)); session.CodeOf(err) != session.NotFound {
			return session.Wrap("bot.changed", err)
		}
		return b.notTaken(ctx, ch, c, past)
	}
	return b.edited(ctx, ch, c, said)
}

// deleted withdraws the prompt of a message that is gone.
func (b *Bot) deleted(ctx context.Context, e event, c conversation, known bool) error {
	if c.id == "" {
		return b.deletedFirst(ctx, e)
	}
	if !known {
		_, err := b.store.Seen(ctx, e.Channel+":"+e.TS)
		if session.CodeOf(err) != session.NotFound || b.passedBy(e, c) != "" {
			return session.Wrap("bot.deleted", ignore(err, session.NotFound)) // it led to nothing
		}
	}
	by := session.Person{Slack: e.User, Name: b.nameOf(ctx, e.User)}
	err := b.cfg.Sessions.Send(ctx, c.id, session.Withdrawn{By: by, PromptID: e.TS})
	if refused(err) {
		return nil // there is nobody to tell: the message is gone
	}
	return session.Wrap("bot.deleted", err)
}

// deletedFirst takes a deletion in a thread without a session. A message that has not come yet is not taken when it does; behind one that waits for
// its turn the deletion comes once more.
func (b *Bot) deletedFirst(ctx context.Context, e event) error {
	identity := e.Channel + ":" + e.TS
	gone := session.Received{Key: goneKey(e), Also: identity, Kind: eventsAPI, Payload: marshal(payload{})}
	fresh, err := b.store.Receive(ctx, gone)
	if err != nil {
		return session.Wrap("bot.deleted", err)
	}
	if fresh {
		return session.Wrap("bot.deleted", b.store.Handled(ctx, gone.Key))
	}
	left, err := b.store.Inbox(ctx)
	if err != nil {
		return session.Wrap("bot.deleted", err)
	}
	if !slices.ContainsFunc(left, func(r session.Received) bool { return r.Also == identity && r.Key != gone.Key }) {
		return nil // it led to nothing
	}
	again := event{Type: "message", Subtype: "message_deleted", Channel: e.Channel, ChannelType: e.ChannelType, TS: e.TS, DeletedTS: e.TS, Previous: &e}
	return b.keep(ctx, session.Received{Key: "again/" + identity + "~deleted", Kind: eventsAPI, Payload: marshal(payload{Event: again})}, e.Channel+":"+e.root())
}

// goneKey is the key of what stands in the inbox for a message that was deleted before it came.
func goneKey(e event) string { return "gone/" + e.Channel + ":" + e.TS }

func ignore(err error, code session.Code) error {
	if session.CodeOf(err) == code {
		return nil
	}
	return err
}

// notTaken takes an edit of a message that led to no prompt, if it counts now. One that was carried out as it was, because it steered a session or
// answered our question, is not undone.
func (b *Bot) notTaken(ctx context.Context, ch change, c conversation, past []session.Prompt) error {
	e, us := ch.now, b.self.user
	was, slip := readControl(withoutUs(ch.before, us), mentions(ch.before, us))
	now, _ := readControl(withoutUs(e.Text, us), mentions(e.Text, us))
	done := ""
	switch before := (event{Text: ch.before, TS: e.TS, ThreadTS: e.ThreadTS, Channel: e.Channel, ChannelType: e.ChannelType, User: e.User}); {
	case b.passedBy(e, c) != "" && (now == controlNone || !b.listens(e, c, now, "")):
		return nil
	case slices.Contains(c.state.Session.Seen, answerID(e.TS)):
		done = "Your answer was taken as it was, so your edit changes nothing: this thread works on " + cmp.Or(code(c.state.Session.Repo.String()), "no repository") +
			". Send what else is to be done as a new message."
	case was != controlNone && now != controlNone && slip == "" && b.listens(before, c, was, ""):
		done = noSteering(now)
	case was != controlNone && b.listens(before, c, was, ""):
		return b.message(ctx, e)
	default:
		taken, err := b.countsNow(ctx, ch, c, past)
		if err != nil || !taken {
			return err
		}
		return b.message(ctx, e)
	}
	at, key := b.placeOf(e), "edit/"+e.key()
	if _, ok, err := b.mayAct(ctx, e.User, at, e.root()); !ok {
		return err
	}
	if told, err := b.told(ctx, key); told || err != nil {
		return err
	}
	return b.whisper(ctx, key, at, e.User, done)
}

// noSteering refuses a control that somebody made of another message.
func noSteering(word control) string {
	return "An edit does not steer me, so your message counts as it was. Send " + word.written() + " as a new message."
}

// countsNow decides whether a message that led to no prompt is to be taken as it reads now: it mentions us since, or is no aside any more, or
// it was refused before. That somebody mends a slip in what they once said to others is no reason.
func (b *Bot) countsNow(ctx context.Context, ch change, c conversation, past []session.Prompt) (bool, error) {
	e, us := ch.now, b.self.user
	if mentions(e.Text, us) && !mentions(ch.before, us) {
		return true, nil
	}
	was := e
	was.Text = ch.before
	if len(past) > 0 && past[0].ID < e.TS && b.passedBy(was, c) != "" {
		return true, nil
	}
	if s := c.state.Session; s.Await == session.AwaitRepository && s.Requester.Slack == e.User {
		if asked, err := b.told(ctx, askKey(e)); asked || err != nil { // its answer was none
			return asked, err
		}
	}
	was.edit = ""
	for range 2 {
		for _, refusal := range []string{"refused/", "empty/", "files/"} {
			if told, err := b.told(ctx, refusal+was.key()); told || err != nil {
				return told, err
			}
		}
		was.edit = ch.edit
	}
	return false, nil
}

// edited hands on what a prompt's message reads now. said are the prompts of that message.
func (b *Bot) edited(ctx context.Context, ch change, c conversation, said []session.Prompt) error {
	e, us, last := ch.now, b.self.user, said[len(said)-1]
	text := b.words(ctx, e)
	was := e
	was.Text = ch.before
	if ch.before != "" && b.words(ctx, was) == text {
		return nil // only a mention came or went
	}
	at := b.placeOf(e)
	by, ok, err := b.mayAct(ctx, e.User, at, e.root())
	if !ok {
		return err
	}
	key := "edit/" + e.key()
	if told, err := b.told(ctx, key); told || err != nil {
		return err
	}
	if slices.ContainsFunc(said, func(p session.Prompt) bool { return p.ID == e.TS && p.Retries != "" }) {
		return b.whisper(ctx, key, at, e.User, "That message had another one run again, and an edit does not steer me, so it counts as it was. Send what you want as a new message.")
	}
	if last.State == session.PromptWithdrawn && last.Retries == "" {
		if b.passedBy(e, c) != "" {
			return nil
		}
		return b.whisper(ctx, key, at, e.User, "That message was taken back before the agent had it, so your edit changes nothing. Send it again as a new one.")
	}
	if aside(withoutUs(e.Text, us)) || (e.inThread() || !e.direct()) && toOthers(e.Text, us) {
		return b.unsaid(ctx, e, c, at, by, key)
	}
	switch word, slip := readControl(withoutUs(e.Text, us), mentions(e.Text, us)); {
	case word != controlNone:
		return b.whisper(ctx, key, at, e.User, noSteering(word))
	case slip != "":
		return b.whisper(ctx, key, at, e.User, slip+" Your message counts as it was.")
	}
	usual, _, err := b.usual(ctx, by, c)
	if err != nil {
		return err
	}
	text, o, refusal := readOptions(text, usual, b.cfg.ModelAvailable)
	if refusal == "" {
		refusal = settled(c, o)
	}
	if refusal != "" {
		return b.whisper(ctx, key, at, e.User, escape(refusal)+" Your edit was not taken; the message counts as it was.")
	}
	p := session.Prompt{ID: e.TS, Author: by, Text: text + unreadNotes(last.Text), Context: last.Context, Redacted: e.redacted, Model: o.model, Effort: o.effort}
	if p.Model == "" && p.Effort != "" {
		p.Model = c.state.Session.Model
	}
	if p.Text == last.Text && runsWith(p, c) == runsWith(last, c) {
		return b.nameRepository(ctx, e, c, by, text, o)
	}
	err = b.cfg.Sessions.Send(ctx, c.id, session.Edited{ID: e.TS + "~" + e.edit, Prompt: p})
	switch {
	case refused(err):
		return b.whisper(ctx, key, at, e.User, escape(session.Sentence(err))+" Your edit was not taken.")
	case err != nil:
		return session.Wrap("bot.edited", err)
	}
	return b.nameRepository(ctx, e, c, by, text, o)
}

// runsWith is the model and effort that a prompt runs with.
func runsWith(p session.Prompt, c conversation) [2]string {
	if p.Model == "" {
		return [2]string{c.state.Session.Model, cmp.Or(p.Effort, c.state.Session.Effort)}
	}
	return [2]string{p.Model, p.Effort}
}

// nameRepository takes the answer to our question out of an edit, if that is how the requester gives it.
func (b *Bot) nameRepository(ctx context.Context, e event, c conversation, by session.Person, text string, o options) error {
	if c.state.Session.Await != session.AwaitRepository || by.Slack != c.state.Session.Requester.Slack {
		return nil
	}
	pick, err := b.choose(ctx, text, o, e.Channel, false)
	if err != nil {
		return err
	}
	if pick.problem != "" || !pick.named {
		if o.branch == "" || o.branchInWords || o.branch == c.state.Session.Base {
			return nil
		}
		return b.whisper(ctx, "branch/"+e.key(), b.placeOf(e), by.Slack, "I take the branch with the repository: reply with both, as in "+code("[repo=owner/name branch="+short(o.branch, 60)+"]")+". The request waits.")
	}
	refusal, err := b.chooseFor(ctx, c, b.placeOf(e), by, pick, o, e.TS+"~"+e.edit)
	if refusal != "" {
		return b.whisper(ctx, "branch/"+e.key(), b.placeOf(e), by.Slack, escape(refusal))
	}
	return err
}

// unsaid withdraws a prompt whose message is still there, but not for the agent any more.
func (b *Bot) unsaid(ctx context.Context, e event, c conversation, at place, by session.Person, key string) error {
	err := b.cfg.Sessions.Send(ctx, c.id, session.Withdrawn{By: by, PromptID: e.TS, Kept: true})
	switch {
	case refused(err):
		return b.whisper(ctx, key, at, e.User, escape(session.Sentence(err)))
	case err != nil:
		return session.Wrap("bot.unsaid", err)
	}
	return b.put(ctx, b.eyes(e, false))
}

// words are what a message says to the agent, as plain text.
func (b *Bot) words(ctx context.Context, e event) string {
	return plain(withoutUs(e.Text, b.self.user), func(user string) string { return b.nameOf(ctx, user) })
}

// aside reports whether a message says that it is not for us.
func aside(words string) bool {
	words, marked := strings.CutPrefix(strings.TrimLeft(asMeant(words), "`*_~"), "!")
	return marked && asideWord.MatchString(words)
}

var asideWord = regexp.MustCompile(`(?i)^\s*aside\b`)
