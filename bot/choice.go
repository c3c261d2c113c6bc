package bot

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"openinspect/session"
)

// open opens the session of a thread, or takes up one that was opened before a crash. A refusal opens none.
func (b *Bot) open(ctx context.Context, e event, c *conversation, at place, author session.Person, text string, o options) (refusal string, err error) {
	if c.id != "" && c.state.Session.Await == session.AwaitNothing {
		return "", nil // settled before the crash
	}
	pick, err := b.choose(ctx, text, o, e.Channel, false)
	if err != nil {
		return "", err
	}
	if pick.problem != "" && c.id == "" {
		pick, c.asked = b.guess(ctx, e, author, text, pick)
	}
	opening := session.Opening{Thread: b.thread(e), Rooted: e.root() == e.TS, Requester: author, Model: o.model, Effort: o.effort, Why: pick.why}
	switch {
	case c.id != "":
		return "", b.put(ctx, b.question(e, c.id, author, pick)) // it waits for an answer, whatever has become of the rules since
	case pick.problem != "":
		if opening.Await = session.AwaitRepository; !o.branchInWords { // those are read again, as words
			opening.Base = o.branch
		}
	case pick.repo != (session.Repo{}):
		branch, said, refusal, err := b.branch(ctx, author, pick.repo, pick.base, o)
		if err != nil || refusal != "" {
			return refusal, err
		}
		if said != "" {
			if err := b.whisper(ctx, "branch/"+e.Channel+"/"+e.TS, at, e.User, escape(said)); err != nil {
				return "", err
			}
		}
		opening.Repo, opening.Base = pick.repo, branch
	}
	if c.id, err = b.cfg.Sessions.Open(ctx, opening); err != nil {
		return "", session.Wrap("bot.open", err)
	}
	if pick.problem != "" {
		return "", b.put(ctx, b.question(e, c.id, author, pick))
	}
	return "", nil
}

// Ids of the controls that answer the question for a repository. Those of the buttons that name one go on with a digit.
const (
	pressRepo = "repo_"
	pressNone = "repo_none"
	pressMenu = "repo_menu"
)

// aboutRepository is the question id of a message that asks for the repository.
const aboutRepository = "repository"

// maxButtons is how many repositories have a button of their own; the menu has all.
const maxButtons = 5

// maxMenu is how many characters the entries of a menu may have together. Slack refuses messages of which the text is too long, and does not
// tell whether it counts entries.
const maxMenu = 9_000

// question asks the requester, in the thread, which repository their request is about.
func (b *Bot) question(e event, id session.ID, requester session.Person, c choice) session.Message {
	v := view{id: id, thread: b.thread(e)}
	m := v.message(aboutRepository, session.MessagePost, "question", "")
	m.Subject.Question, m.Urgent = aboutRepository, true
	m.Text = "<@" + requester.Slack + "> " + c.question()
	words := c.problem
	if len(c.near) > 0 {
		words += " Did you mean " + list(c.near, " or ") + "?"
	}
	controls, missing := c.controls()
	hint := escape(requester.Name) + " can choose here for an hour, or reply with the name. The request waits."
	if missing > 0 {
		hint = plural(missing, "more repository") + ": reply with the name. " + hint
	}
	m.Blocks = blocks(section("<@"+requester.Slack+"> "+words), slack.NewActionBlock("", controls...), note(hint))
	return m
}

// controls are a button for each of the likeliest repositories, a menu of all if there are more, and a button for none; and how many the menu
// has no room for.
func (c choice) controls() (controls []slack.BlockElement, missing int) {
	var likely []session.RepositoryInfo
	for _, name := range slices.Concat(c.near, c.few()) {
		if r, ok := find(c.all, name); ok {
			likely = append(likely, r)
		}
	}
	for _, r := range c.all {
		if !slices.ContainsFunc(likely, func(l session.RepositoryInfo) bool { return l.Repo == r.Repo }) {
			likely = append(likely, r)
		}
	}
	for i, r := range likely[:min(maxButtons, len(likely))] {
		label, _ := cut(r.Repo.String(), 75)
		controls = append(controls, slack.NewButtonBlockElement(fmt.Sprint(pressRepo, i), r.Repo.String(), plainText(label)))
	}
	if len(likely) > maxButtons {
		room, n := maxMenu, 0
		for n < len(likely) && n < menuSize*menuSize && len(likely[n].Repo.String()) <= room {
			room -= min(75, len(likely[n].Repo.String()))
			n++
		}
		missing = len(likely) - n
		all := slices.Clone(likely[:n])
		slices.SortFunc(all, func(x, y session.RepositoryInfo) int { return strings.Compare(x.Repo.String(), y.Repo.String()) })
		menu := repositoryMenu(pressMenu, all, session.Repo{})
		menu.Placeholder = plainText("Another repository")
		controls = append(controls, menu)
	}
	return append(controls, slack.NewButtonBlockElement(pressNone, noRepository, plainText("No repository"))), missing
}

// few are the names that the problem itself is about, where it narrows them down.
func (c choice) few() []string {
	if len(c.others) < len(c.all) {
		return c.others
	}
	return nil
}

// chose is the question for the repository once it is settled.
func (v view) chose(c *session.RepositoryChange) session.Message {
	m := v.message(aboutRepository, session.MessagePost, "question", "")
	m.Subject.Question, m.Urgent = aboutRepository, true
	switch {
	case c.State == session.RepositoryLapsed:
		m.Text = prose(c.Reason)
	case c.Repo == (session.Repo{}):
		m.Text = escape(c.By.Name) + " chose to go without a repository."
	default:
		m.Text = escape(c.By.Name) + " chose " + code(c.Repo.String()) + ", branch " + code(short(c.Base, 60)) + "."
	}
	m.Blocks = blocks(note(m.Text))
	return m
}

// answer takes a message in a session that waits for its requester to name a repository. Whatever else is said meanwhile is a prompt in the queue.
func (b *Bot) answer(ctx context.Context, e event, c conversation, at place, p session.Prompt, o options) error {
	requester, author, text := c.state.Session.Requester, p.Author, p.Text
	if author.Slack != requester.Slack {
		if err := b.whisper(ctx, "asked/"+e.Channel+"/"+e.TS, at, e.User,
			"Your message is queued. This thread waits for "+escape(requester.Name)+" to say which repository it is about."); err != nil {
			return err
		}
		return b.send(ctx, e, c.id, at, p)
	}
	short := len(strings.Fields(text)) <= 6
	pick, err := b.choose(ctx, text, o, e.Channel, short)
	if err != nil {
		return err
	}
	alone := p.Context == "" && len(e.all()) == 0 && nothingElse(text, pick) // the answer, and nothing for the agent
	if pick.problem != "" || !pick.named {
		if pick.problem == "" {
			pick.problem = "Which repository is this about?"
		}
		again := session.Message{Key: askKey(e), Session: c.id, Op: session.MessagePost, Channel: e.Channel, Thread: e.root(),
			Text: "<@" + requester.Slack + "> " + pick.question(), Subject: session.Subject{Kind: "notice"}, Urgent: true}
		if err := b.put(ctx, again); err != nil || pick.named && alone {
			return err
		}
		return b.send(ctx, e, c.id, at, p)
	}
	refusal, err := b.chooseFor(ctx, c, at, author, pick, o, e.TS)
	switch {
	case err != nil:
		return err
	case refusal != "":
		return b.put(ctx, b.eyes(e, false), b.private("refused/"+e.Channel+"/"+e.TS, at, e.User, escape(refusal+" Please answer again, with the branch: [repo="+pick.repo.String()+" branch=…]")))
	}
	switch {
	case (alone || text == "") && len(c.state.Prompts) == 0:
		return b.whisper(ctx, "idle/"+e.Channel+"/"+e.TS, at, e.User, "Good. Nothing waits here, because what you asked for was taken back: reply with what I should do.")
	case alone || text == "":
		return nil
	}
	return b.send(ctx, e, c.id, at, p)
}

// askKey is the key of the question that an answer left open.
func askKey(e event) string { return "ask/" + e.Channel + "/" + e.TS }

// answerID names the answer to our question that a message or a press is, so that it is taken once.
func answerID(key string) string { return "repository/" + key }

// connectives are words around the name in an answer that are not for the agent.
var connectives = set("a about actually ah ahead an and ask at be course do for go guess had have i in is it its let lets m mean meant my no none of ok okay on one oops " +
	"our please pls repo repository right s should sorry sure take task thanks thank that thats the think this to try use was we with without work would yep yes you")

// nothingElse reports whether a text that answers our question is nothing but the answer. What else is said is for the agent.
func nothingElse(text string, pick choice) bool {
	text = repoURL.ReplaceAllString(text, "")
	for _, where := range []*regexp.Regexp{branchWords, wordsBranch} {
		text = where.ReplaceAllString(text, "")
	}
	name := words(pick.repo.Owner + " " + pick.repo.Name + " " + pick.wrote)
	return !slices.ContainsFunc(words(text), func(w string) bool { return !connectives[w] && !slices.Contains(name, w) })
}

// chooseFor tells a session that waits for it which repository it is about. A refusal is a sentence about the branch.
func (b *Bot) chooseFor(ctx context.Context, c conversation, at place, by session.Person, pick choice, o options, key string) (refusal string, err error) {
	branch := ""
	if pick.repo != (session.Repo{}) {
		if o.branch == "" {
			o.branch = c.state.Session.Base // asked for with the request
		}
		if o.branch == "" && len(c.state.Prompts) > 0 {
			o.readBranch(c.state.Prompts[0].Text)
		}
		var said string
		if branch, said, refusal, err = b.branch(ctx, by, pick.repo, pick.base, o); err != nil || refusal != "" {
			return refusal, err
		}
		if said != "" {
			if err := b.whisper(ctx, "branch/"+at.channel+"/"+key, at, by.Slack, escape(said)); err != nil {
				return "", err
			}
		}
	}
	err = b.cfg.Sessions.Send(ctx, c.id, session.RepositoryChosen{ID: answerID(key), By: by, Repo: pick.repo, Base: branch})
	return "", session.Wrap("bot.choose", ignore(err, session.Conflict)) // chosen before a crash
}

// picked reports whether a control answers the question for a repository.
func picked(id string) bool { return strings.HasPrefix(id, pressRepo) }

// chosenBy carries out the press of a control of that question. The payload says which repository; whether there is one is GitHub's word.
func (b *Bot) chosenBy(ctx context.Context, p *press, key string, by session.Person, m session.Message) error {
	at := place{channel: m.Channel, thread: m.Thread}
	no := func(why string) error { return b.whisper(ctx, key, at, by.Slack, why) }
	st, err := b.cfg.Sessions.Load(ctx, m.Session)
	s := st.Session
	switch {
	case session.CodeOf(err) == session.NotFound:
		return no("I do not know that message any more, so nothing happened.")
	case err != nil:
		return session.Wrap("bot.chosenBy", err)
	case by.Slack != s.Requester.Slack:
		return no("Only " + escape(s.Requester.Name) + ", who asked, can choose the repository, so nothing happened.")
	case s.Await == session.AwaitRepository && len(st.Prompts) == 0:
		return no("What that question was about was taken back, so nothing happened. Reply with what I should do, and where.")
	case s.Await == session.AwaitRepository && s.ChooseBy.IsZero():
		return no("That question has lapsed, so nothing happened. Reply with the repository’s name, and I start.")
	}
	value := p.Actions[0].Value + p.Actions[0].Chosen.Value
	var pick choice
	if value != noRepository {
		repo, _ := session.ParseRepo(value)
		info, err := b.cfg.Repositories.Repository(ctx, repo)
		switch {
		case session.CodeOf(err) == session.NotFound || err == nil && info.Archived:
			return no("I cannot work on " + cmp.Or(code(short(value, 100)), "that") + " any more, so nothing happened. Please choose another.")
		case err != nil:
			return session.Wrap("bot.chosenBy", err)
		}
		pick = chosen(info)
	}
	if s.Await != session.AwaitRepository {
		if pick.repo == s.Repo {
			return nil // pressed twice
		}
		return no("This thread works on " + cmp.Or(code(s.Repo.String()), "no repository") + " already, so nothing happened. For another one, start another thread.")
	}
	refusal, err := b.chooseFor(ctx, conversation{id: m.Session, state: st}, at, by, pick, options{}, key)
	if refusal != "" {
		return no(escape(refusal + " Choose another repository, or reply with the branch: [repo=" + pick.repo.String() + " branch=…]"))
	}
	return err
}
