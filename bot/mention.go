package bot

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"openinspect/session"
)

// help is what to do with the bot, in Slack's markup.
func (b *Bot) help() string {
	return "Mention me with a task, such as `fix the flaky checkout test in acme/web`: I work on it in a sandbox and report in the thread. " +
		"Replies in the thread are further prompts; begin one with `!aside` to talk past me. `stop`, or :" + b.cfg.StopEmoji + ": on one of my messages, ends what runs. " +
		"When there are changes, :" + b.cfg.ApproveEmoji + ": on their card opens the pull request as you; on the pull request’s own card it approves that, and :" +
		b.cfg.MergeEmoji + ": merges it, where that is switched on. `/inspect help` lists the commands."
}

// spoken reports whether an event is a new message that a person wrote, or one that mentions us since it was edited: the inbox knows
// whether it was taken before.
func (e event) spoken() bool {
	switch e.Subtype {
	case "", "file_share", "thread_broadcast":
		return e.BotID == "" && e.User != "" && (e.Edited == nil || e.Type == "app_mention") && e.TS != "" && e.Channel != ""
	}
	return false
}

func (b *Bot) thread(e event) session.Thread {
	return session.Thread{Team: b.self.team, Channel: e.Channel, TS: e.root()}
}

// mayBeAddressed is the quick look of the socket loop: true for whatever the lane has to look at.
func (b *Bot) mayBeAddressed(ctx context.Context, e event) (bool, error) {
	switch {
	case !e.spoken() || e.User == b.self.user:
		return false, nil
	case e.Type == "app_mention", e.direct(), mentions(e.Text, b.self.user):
		return true, nil
	case e.ThreadTS == "":
		return false, nil
	}
	_, err := b.cfg.Sessions.Find(ctx, b.thread(e))
	if session.CodeOf(err) == session.NotFound {
		gone, ok := errors.AsType[*session.Removed](err)
		return ok && gone.Rooted, nil
	}
	return err == nil, session.Wrap("bot.Find", err)
}

// conversation is what the bot knows when it looks at a message.
type conversation struct {
	id    session.ID // empty: no session yet
	state session.State
	gone  *session.Removed  // the session that was here, if there is none now
	asked session.ModelCall // what was asked of a model for it, to be charged to it
}

// fresh reports whether the session has not had its first prompt.
func (c conversation) fresh() bool { return c.id == "" || c.state.Session.Seq == 0 }

// message brings a message to its one visible outcome, if it is addressed to us.
func (b *Bot) message(ctx context.Context, e event) error {
	if !e.spoken() || e.User == b.self.user {
		return nil
	}
	c, err := b.conversation(ctx, e)
	if err != nil {
		return err
	}
	words, named := withoutUs(e.Text, b.self.user), mentions(e.Text, b.self.user)
	word, slip := readControl(words, named)
	if !b.listens(e, c, word, slip) {
		return nil
	}
	at := b.placeOf(e)
	author, ok, err := b.mayAct(ctx, e.User, at, e.root())
	if !ok {
		return err
	}
	text := plain(words, func(user string) string { return b.nameOf(ctx, user) })
	switch {
	case word == controlNone && e.direct() && c.fresh() && strings.EqualFold(strings.TrimRight(text, ".! "), "help"):
		word = controlHelp
	case word == controlNone && slip != "":
		return b.whisper(ctx, "refused/"+e.key(), at, e.User, slip)
	}
	if word != controlNone {
		return b.steer(ctx, word, steering{e: e, c: c, at: at, by: author})
	}
	if c.gone != nil {
		key := "removed/" + e.key()
		if !e.direct() && !mentions(e.Text, b.self.user) {
			return b.whisper(ctx, key, at, e.User, c.gone.Error()+" So your message was not taken. Mention me in it, and I start a new one here.")
		}
		if err := b.whisper(ctx, key, at, e.User, c.gone.Error()+anew); err != nil {
			return err
		}
	}
	return b.prompt(ctx, e, c, at, author, text)
}

// listens decides whether a message is for us. What steers a session counts wherever there is one, but for a bare stop, which people also say to
// each other; muting it does not make it deaf to that. A slip is told where the control would count.
func (b *Bot) listens(e event, c conversation, word control, slip string) bool {
	switch word {
	case controlNone:
		if slip == "" || aside(withoutUs(e.Text, b.self.user)) || e.inThread() && toOthers(e.Text, b.self.user) {
			return b.passedBy(e, c) == ""
		}
	case controlStop:
		c.state.Session.Muted, c.state.Session.Closed = false, false
		return b.passedBy(e, c) == ""
	case controlStatus, controlRetry, controlMute, controlUnmute, controlClose, controlHelp, controlWhy:
	}
	return e.inThread() && c.id != "" || b.passedBy(e, c) == ""
}

// passedBy says why a message is not for us, in a sentence about it; "" if it is.
func (b *Bot) passedBy(e event, c conversation) string {
	st := c.state.Session
	switch {
	case aside(withoutUs(e.Text, b.self.user)):
		return "It begins with `!aside`, so it was not for me."
	case e.inThread() && toOthers(e.Text, b.self.user):
		return "It begins by mentioning somebody else, so it was not for me."
	case mentions(e.Text, b.self.user), e.direct():
		return ""
	case c.gone != nil && e.inThread() && c.gone.Rooted:
		return ""
	case c.id == "" || !e.inThread():
		return "It does not mention me, and is no reply in a thread where I work, so it was not for me."
	case st.Closed:
		return "The session of this thread is closed, and only a mention opens it again."
	case st.Muted:
		return "This thread is muted, so only replies that mention me are for me. `!unmute` ends that."
	case st.Rooted, prompted(c.state, e.User):
		return ""
	}
	return "I was called into this thread, so a reply is for me if it mentions me, or if its author has prompted here before."
}

// prompted reports whether a user has prompted in a session.
func prompted(st session.State, user string) bool {
	is := func(p session.Person) bool { return p.Slack == user }
	return slices.Contains(st.Session.Prompters, user) || is(st.Session.Requester) || slices.ContainsFunc(st.Session.Contributors, is) ||
		slices.ContainsFunc(st.Prompts, func(p session.Prompt) bool { return is(p.Author) })
}

// prompt hands a message to its session, which it opens if need be.
func (b *Bot) prompt(ctx context.Context, e event, c conversation, at place, author session.Person, text string) error {
	usual, effort, err := b.usual(ctx, author, c)
	if err != nil {
		return err
	}
	text, o, refusal := readOptions(text, usual, b.cfg.ModelAvailable)
	if !c.fresh() || text == "" { // else the whole thread is read
		if e, err = b.whole(ctx, e); err != nil {
			return err
		}
	}
	forwarded := b.forwarded(ctx, e)
	if text == "" && forwarded != "" {
		text = "Do what the forwarded message asks for."
	}
	if refusal == "" {
		refusal = settled(c, o)
	}
	answering := !c.fresh() && c.state.Session.Await == session.AwaitRepository && !slices.Contains(c.state.Session.Seen, e.TS) // else it asked
	key := e.key()
	if told, err := b.told(ctx, "refused/"+key); told || err != nil {
		return err
	}
	if slices.Contains(c.state.Session.Seen, answerID(e.TS)) && forwarded == "" && len(e.all()) == 0 && nothingElse(text, choice{repo: c.state.Session.Repo}) {
		return nil // it was the answer to our question, and the bot died before it noted that
	}
	switch {
	case refusal != "":
		return b.whisper(ctx, "refused/"+key, at, e.User, escape(refusal+" Nothing was started; please send your message again."))
	case text == "" && len(e.all()) == 0 && !(answering && o.repo != ""):
		return b.whisper(ctx, "empty/"+key, at, e.User, "Your message has no task in it. "+b.help())
	case text == "" && len(e.all()) > 0 && !readable(e.all()):
		return b.whisper(ctx, "files/"+key, at, e.User, "I cannot read what you attached ("+fileNames(e.all())+"), and there is no text. Write what I should do, and paste what matters.")
	case text == "" && len(e.all()) > 0:
		text = "Look at the attached files."
	}
	if err := b.put(ctx, b.eyes(e, true)); err != nil { // what follows may be slow
		return err
	}
	if o.note != "" {
		if err := b.whisper(ctx, "model/"+key, at, e.User, escape(o.note)); err != nil {
			return err
		}
	}
	p := session.Prompt{ID: e.TS, Author: author, Text: text, Redacted: e.redacted, Model: o.model, Effort: o.effort}
	if !c.fresh() && e.About != "" {
		quoted, files, err := b.pointedAt(ctx, e)
		if err != nil {
			return err
		}
		p.Context, e.Files = quoted, files
	}
	if answering {
		return b.answer(ctx, e, c, at, about(p, forwarded), o)
	}
	bare := p.Context == "" && forwarded == "" && len(e.all()) == 0
	if !c.fresh() && p.Model == "" && p.Effort != "" {
		p.Model = c.state.Session.Model // an effort belongs to a model
	}
	if bare && !c.fresh() && answeredTwice(c.state.Session, author, text) {
		return nil
	}
	if c.fresh() {
		if o.model == "" {
			o.model = usual
			if o.effort == "" {
				o.effort = effort
			}
		}
		refusal, err := b.open(ctx, e, &c, at, author, text, o)
		switch {
		case err != nil:
			return err
		case refusal != "":
			return b.put(ctx, b.eyes(e, false), b.private("refused/"+key, at, e.User, escape(refusal+" Nothing was started; please send your message again.")))
		}
		quoted, files, err := b.readThread(ctx, e)
		if err != nil {
			return err
		}
		p.Context = quoted
		if len(e.Files) == 0 {
			e.Files = files
		}
	}
	if err := b.send(ctx, e, c.id, at, about(p, forwarded)); err != nil {
		return err
	}
	return b.charge(ctx, c)
}

// answeredTwice reports whether the requester only names what the thread is about, and that is known: they have pressed a button, too. Later on, or
// where the agent asked something, a name is a word like others.
func answeredTwice(s session.Session, author session.Person, text string) bool {
	return s.Repo != (session.Repo{}) && s.Question == "" && s.Ended.PromptID == "" && author.Slack == s.Requester.Slack &&
		(strings.EqualFold(text, s.Repo.String()) || strings.EqualFold(text, s.Repo.Name))
}

// about is a prompt with the messages that were forwarded with it, as far as there is room: the request itself comes first.
func about(p session.Prompt, forwarded string) session.Prompt {
	p.Context = strings.TrimSpace(p.Context + "\n" + forwarded)
	if room := session.MaxPromptText - utf8.RuneCountInString(p.Text); room > 0 {
		p.Context, _ = cut(p.Context, room)
	} else {
		p.Context = ""
	}
	return p
}

// placeOf is where to answer a message.
func (b *Bot) placeOf(e event) place {
	if e.direct() {
		return place{channel: e.Channel, thread: e.root()}
	}
	return place{channel: e.Channel, thread: e.ThreadTS}
}

// send gives a prompt to its session and tells its author what does not go with it, or why it was refused.
func (b *Bot) send(ctx context.Context, e event, id session.ID, at place, p session.Prompt) error {
	left, err := b.attach(ctx, e, id, &p)
	if err != nil {
		return err
	}
	for _, u := range left {
		p.Text += u.note()
	}
	p = about(p, "") // the notes need room, too
	err = b.cfg.Sessions.Send(ctx, id, session.Prompted{Prompt: p})
	switch {
	case err == nil:
		if err := b.pickedUp(ctx, e, id); err != nil {
			return err
		}
		if err := b.prefer(ctx, p.Author.Slack, func(w *session.Preferences) bool { return w.Visited(id) }); err != nil {
			return err
		}
		if len(left) > 0 {
			return b.whisper(ctx, "files/"+e.key(), at, e.User, without(left))
		}
		return nil
	case refused(err):
		return b.put(ctx, b.eyes(e, false), b.private("refused/"+e.key(), at, e.User, escape(session.Sentence(err))))
	}
	return session.Wrap("bot.send", err)
}

// refused reports whether an error is a refusal with a sentence for the person, rather than a failure.
func refused(err error) bool {
	switch session.CodeOf(err) {
	case session.Invalid, session.NotFound, session.Conflict, session.Forbidden:
		return true
	case session.Unavailable, session.Internal:
	}
	return false
}

// settled is a refusal of options that a session has settled: it works on one repository, from one branch.
func settled(c conversation, o options) (refusal string) {
	s := c.state.Session
	switch {
	case c.fresh() || s.Await == session.AwaitRepository:
	case s.Repo == (session.Repo{}) && o.repo != "" && !strings.EqualFold(o.repo, noRepository):
		return "This thread works without a repository. For one, start another thread."
	case s.Repo == (session.Repo{}):
	case o.repo != "" && !strings.EqualFold(o.repo, s.Repo.String()) && !strings.EqualFold(o.repo, s.Repo.Name):
		return fmt.Sprintf("This thread works on %s. For another repository, start another thread.", s.Repo)
	case o.branch != "" && !o.branchInWords && o.branch != s.Base:
		return fmt.Sprintf("This thread works from the branch %s. For another one, start another thread.", s.Base)
	}
	return ""
}

// eyes is our 👀 on a message: seen, and on its way to the agent.
func (b *Bot) eyes(e event, on bool) session.Message {
	m := session.Message{Key: "eyes/" + e.Channel + "/" + e.TS, Op: session.MessageReact, Channel: e.Channel, Thread: e.root(), TS: e.TS, Emoji: "eyes", Urgent: true}
	if !on {
		m.Op = session.MessageUnreact
	}
	return m
}

// nameOf is a user's name, or their id if Slack does not tell.
func (b *Bot) nameOf(ctx context.Context, user string) string {
	if user == b.self.user {
		return b.self.name
	}
	if !userID.MatchString(user) {
		return user
	}
	p, err := b.person(ctx, user)
	if err != nil {
		return user
	}
	return p.name
}

var userID = regexp.MustCompile(`^[UW][A-Z0-9]+$`)

func fileNames(files []file) string {
	var names []string
	for _, f := range files[:min(10, len(files))] {
		names = append(names, code(session.OneLine(f.Name, 80)))
	}
	if more := len(files) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}
