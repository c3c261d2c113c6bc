package bot

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"openinspect/session"
	"openinspect/session/model"
)

// Ids of what is on the home tab, and of the form that it opens.
const (
	homeModel  = "home_model"
	homeEffort = "home_effort"
	homeLink   = "home_link"
	homeUnlink = "home_unlink"
	homeAdd    = "home_branch_add"
	homeRemove = "home_branch_remove"
	formBranch = "branch_form"
)

// usualChoice is the entry of a menu that takes a preference back.
const usualChoice = "usual"

// How many sessions and how many branches the home tab lists. Slack takes a hundred blocks.
const (
	maxListed   = 10
	maxBranches = 50
)

// home shows a person their home tab: what they prefer, their GitHub account, their sessions.
func (b *Bot) home(ctx context.Context, user string) error {
	by, refusal, silent, err := b.who(ctx, user, "")
	if err != nil || silent {
		return err
	}
	view := []slack.Block{section(refusal)}
	if refusal == "" {
		if view, err = b.homeOf(ctx, by); err != nil {
			return err
		}
	}
	_, err = b.api.PublishViewContext(ctx, slack.PublishViewContextRequest{UserID: user, View: slack.HomeTabViewRequest{Type: slack.VTHomeTab, Blocks: slack.Blocks{BlockSet: view}}})
	if err != nil {
		return b.outside("views.publish", err)
	}
	if refusal == "" {
		b.warm(ctx, warmHint{by: by})
	}
	return nil
}

func (b *Bot) homeOf(ctx context.Context, by session.Person) ([]slack.Block, error) {
	p, err := b.preferences(ctx, by.Slack)
	if err != nil {
		return nil, err
	}
	usual, _, err := b.usual(ctx, by, conversation{})
	if err != nil {
		return nil, err
	}
	view := []slack.Block{section(escape("Mention me with a task, in a channel or in a thread, or write to me under Messages. `/inspect help` tells what else there is.")), slack.NewDividerBlock(), heading("What you prefer")}
	menus := []slack.BlockElement{withUsual(b.modelMenu(homeModel, "Model", p.Model), "Model: the workspace's ("+modelTitle(b.cfg.DefaultModel)+")", p.Model)}
	if m, ok := model.Find(usual); ok && len(m.Efforts) > 0 {
		menus = append(menus, effortMenu(m, p.Effort))
	}
	view = append(view, slack.NewActionBlock("home_defaults", menus...), note("Of sessions that you start and that name no other, in brackets or in words (`with opus`, `at high effort`)."))
	view = append(view, branches(p)...)
	view = append(view, slack.NewDividerBlock(), heading("GitHub"), account(by))
	view = append(view, slack.NewDividerBlock(), heading("Your sessions"))
	lines := b.sessionsOf(ctx, p)
	for _, line := range lines {
		view = append(view, section(line))
	}
	if len(lines) == 0 {
		view = append(view, note("None yet."))
	}
	return view, nil
}

func heading(text string) slack.Block { return slack.NewHeaderBlock(plainText(text)) }

// withUsual puts the entry that stands for no preference first in a menu.
func withUsual(menu *slack.SelectBlockElement, label, chosen string) *slack.SelectBlockElement {
	o := option(usualChoice, label)
	menu.Options = append([]*slack.OptionBlockObject{o}, menu.Options...)
	if chosen == "" || menu.InitialOption == nil {
		menu.InitialOption = o
	}
	return menu
}

func effortMenu(m model.Model, chosen string) *slack.SelectBlockElement {
	menu := slack.NewOptionsSelectBlockElement(slack.OptTypeStatic, plainText("Effort"), homeEffort)
	for _, e := range m.Efforts {
		o := option(e, "Effort: "+e)
		menu.Options = append(menu.Options, o)
		if e == chosen {
			menu.InitialOption = o
		}
	}
	return withUsual(menu, "Effort: the model's usual", chosen)
}

// branches lists where a person's sessions start from, each with a button that forgets it.
func branches(p session.Preferences) []slack.Block {
	var view []slack.Block
	for _, repo := range slices.Sorted(maps.Keys(p.Branches)) {
		if len(view) == maxBranches {
			view = append(view, note(fmt.Sprintf("%d more.", len(p.Branches)-maxBranches)))
			break
		}
		forget := slack.NewButtonBlockElement(homeRemove, repo, plainText("Forget"))
		text := slack.NewTextBlockObject(slack.MarkdownType, code(repo)+" starts from "+code(p.Branches[repo]), false, true)
		view = append(view, slack.NewSectionBlock(text, nil, slack.NewAccessory(forget)))
	}
	return append(view, slack.NewActionBlock("home_branches", slack.NewButtonBlockElement(homeAdd, "add", plainText("Add a branch to start from…"))))
}

func account(by session.Person) slack.Block {
	if by.GitHub == nil {
		text := slack.NewTextBlockObject(slack.MarkdownType, "Not linked. Linked, commits carry your name, and your approvals open, approve and merge pull requests as you.", false, true)
		return slack.NewSectionBlock(text, nil, slack.NewAccessory(slack.NewButtonBlockElement(homeLink, "link", plainText("Link GitHub account"))))
	}
	unlink := slack.NewButtonBlockElement(homeUnlink, "unlink", plainText("Unlink"))
	unlink.Confirm = slack.NewConfirmationBlockObject(plainText("Unlink your GitHub account?"),
		plainText("Your approvals come to nothing then, until you link it again: they open, approve and merge pull requests as you."), plainText("Unlink"), plainText("Keep"))
	text := slack.NewTextBlockObject(slack.MarkdownType, "You are *"+escape(by.GitHub.Login)+"* on GitHub.", false, true)
	return slack.NewSectionBlock(text, nil, slack.NewAccessory(unlink))
}

// sessionsOf lists the sessions a person was in last, a line each, with where it stands.
func (b *Bot) sessionsOf(ctx context.Context, p session.Preferences) (lines []string) {
	for _, id := range p.Recent {
		st, err := b.cfg.Sessions.Load(ctx, id)
		if err != nil {
			continue // removed since
		}
		s := st.Session
		line := "*<" + escape(b.permalink(s.Thread)) + "|" + escape(short(cmp.Or(strings.TrimSpace(s.Title), "untitled"), 80)) + ">*  " + standing(st)
		if s.Repo != (session.Repo{}) {
			line += " · " + code(s.Repo.String())
		}
		if s.PullRequest != nil {
			line += fmt.Sprintf(" · <%s|#%d>", escape(s.PullRequest.URL), s.PullRequest.Number)
		}
		if s.Cost > 0 {
			line += " · " + session.Dollars(s.Cost)
		}
		if lines = append(lines, line); len(lines) == maxListed {
			break
		}
	}
	return lines
}

// standing is where a session stands, in a few words.
func standing(st session.State) string {
	s := st.Session
	switch {
	case s.Turn != nil && s.Turn.Pause != nil:
		return "paused: its budget is spent"
	case s.Turn != nil:
		return "working" + more(len(st.Prompts)-1)
	case s.Await == session.AwaitRepository:
		return "waits for its repository"
	case len(st.Prompts) > 0:
		return "starting" + more(len(st.Prompts))
	case len(st.Approvals) > 0:
		return "an approval " + underWay(st.Approvals[0])
	case s.Question != "":
		return "has a question"
	}
	return "done"
}

func more(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(", %d queued", n)
}

// permalink is the address of a thread in Slack.
func (b *Bot) permalink(t session.Thread) string {
	return strings.TrimSuffix(b.self.url, "/") + "/archives/" + t.Channel + "/p" + strings.ReplaceAll(t.TS, ".", "")
}

// homePress is a payload of the type block_actions whose container is a view: somebody used a control of their home tab.
type homePress struct {
	Trigger string `json:"trigger_id"`
	User    struct {
		ID string `json:"id"`
	} `json:"user"`
	View struct {
		Type string `json:"type"`
	} `json:"view"`
	Actions []struct {
		ID     string `json:"action_id"`
		Value  string `json:"value"`
		TS     string `json:"action_ts"`
		Chosen struct {
			Value string `json:"value"`
		} `json:"selected_option"`
	} `json:"actions"`
}

func (h *homePress) key() string {
	if h.View.Type != string(slack.VTHomeTab) || h.User.ID == "" || len(h.Actions) != 1 || h.Actions[0].TS == "" {
		return ""
	}
	switch a := h.Actions[0]; a.ID {
	case homeModel, homeEffort, homeLink, homeUnlink, homeAdd, homeRemove:
		return "home/" + h.User.ID + "/" + a.TS + "/" + a.ID
	}
	return ""
}

func (h *homePress) lane() string { return "home:" + h.User.ID }

// from has no place: what is said about the home tab is said by direct message.
func (h *homePress) from() (string, place) { return h.User.ID, place{} }

func (h *homePress) carryOut(ctx context.Context, b *Bot) error {
	by, refusal, silent, err := b.who(ctx, h.User.ID, "")
	switch {
	case err != nil || silent:
		return err
	case refusal != "":
		return b.home(ctx, h.User.ID)
	}
	a := h.Actions[0]
	chosen := a.Chosen.Value
	if chosen == usualChoice {
		chosen = ""
	}
	switch a.ID {
	case homeModel:
		m, ok := model.Find(chosen)
		if chosen != "" && (!ok || !b.cfg.ModelAvailable(m.ID)) {
			return b.home(ctx, h.User.ID) // the tab is older than the settings
		}
		err = b.prefer(ctx, h.User.ID, func(p *session.Preferences) bool { p.Model = m.ID; return true })
	case homeEffort:
		err = b.prefer(ctx, h.User.ID, func(p *session.Preferences) bool { p.Effort = chosen; return true })
	case homeRemove:
		err = b.prefer(ctx, h.User.ID, func(p *session.Preferences) bool {
			p.Branches = maps.Clone(p.Branches)
			delete(p.Branches, a.Value)
			return true
		})
	case homeAdd:
		return b.openBranchForm(ctx, h)
	case homeLink:
		_, err = b.link(ctx, by, place{}, h.key(), "")
	case homeUnlink:
		err = b.unlink(ctx, by)
	}
	if err != nil {
		return err
	}
	return b.home(ctx, h.User.ID)
}

// openBranchForm asks for a repository and the branch that its sessions start from.
func (b *Bot) openBranchForm(ctx context.Context, h *homePress) error {
	return b.show(ctx, h.Trigger, h.key(), h.User.ID, func() (slack.ModalViewRequest, error) {
		all, err := b.cfg.Repositories.Repositories(ctx)
		if err != nil {
			return slack.ModalViewRequest{}, session.Wrap("bot.form", err)
		}
		listed, missing := listable(all, session.Repo{})
		if len(listed) == 0 {
			return modal("", "", section("I cannot see any repository that I could work on. Install the GitHub App on one.")), nil
		}
		branch := slack.NewPlainTextInputBlockElement(plainText("such as dev"), inputBranch).WithMaxLength(250)
		menu := repositoryMenu(inputRepo, listed, session.Repo{})
		menu.Placeholder = plainText("Which one?")
		parts := []slack.Block{input(inputRepo, "Repository", menu, false), input(inputBranch, "Branch", branch, false)}
		if missing > 0 {
			parts = append(parts, note(plural(missing, "more repository")+": name the branch in your request, as in `[branch=dev]`."))
		}
		return modal(formBranch, "Save", parts...), nil
	})
}

// preferBranch stores what the branch form says, if there is such a branch.
func (b *Bot) preferBranch(ctx context.Context, s *submission) error {
	_, refusal, silent, err := b.who(ctx, s.User.ID, "")
	if err != nil || silent || refusal != "" {
		return err
	}
	repo, ok := session.ParseRepo(s.value(inputRepo))
	branch := s.value(inputBranch)
	if !ok || branch == "" {
		return nil // Slack sends neither
	}
	err = b.cfg.Repositories.CheckBranch(ctx, repo, branch)
	switch {
	case refused(err):
		return b.tell(ctx, s.key(), s.User.ID, "Nothing was changed. "+escape(session.Sentence(err)))
	case err != nil:
		return session.Wrap("bot.preferBranch", err)
	}
	err = b.prefer(ctx, s.User.ID, func(p *session.Preferences) bool {
		p.Branches = maps.Clone(p.Branches)
		if p.Branches == nil {
			p.Branches = map[string]string{}
		}
		p.Branches[repo.String()] = branch
		return true
	})
	if err != nil {
		return err
	}
	return b.home(ctx, s.User.ID)
}
