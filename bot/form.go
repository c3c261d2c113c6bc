package bot

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"openinspect/session"
	"openinspect/session/model"
)

// The form's callback id, and the ids of its inputs: of a block and of the element in it.
const (
	formInspect = "inspect_form"
	inputRepo   = "repo"
	inputBranch = "branch"
	inputModel  = "model"
	inputPrompt = "prompt"
)

// formAbout is what a form carries from its opening to its submission, in private_metadata. It does not pass through the person's hands.
type formAbout struct {
	Channel string `json:"channel"`
	Root    string `json:"root"`  // of the thread
	About   string `json:"about"` // ts of the message
}

// openForm opens the form of a shortcut.
func (b *Bot) openForm(ctx context.Context, s *shortcut) error {
	var h warmHint
	err := b.show(ctx, s.Trigger, s.key(), s.User.ID, func() (view slack.ModalViewRequest, err error) {
		view, h, err = b.form(ctx, s)
		return view, err
	})
	if err == nil {
		b.warm(ctx, h)
	}
	return err
}

// show opens a modal for whoever did something a moment ago: at once and empty, because a trigger is good for three seconds and GitHub or
// Slack may take longer, then as it is made.
func (b *Bot) show(ctx context.Context, trigger, key, user string, make func() (slack.ModalViewRequest, error)) error {
	opened, err := b.api.OpenViewContext(ctx, trigger, modal("", "", section("One moment…")))
	switch code := refusalOf(err); {
	case strings.HasSuffix(code, "_trigger_id"):
		return b.tell(ctx, key, user, "I was too slow to open the form, so nothing happened. Please try again.")
	case err != nil:
		return b.outside("views.open", err)
	}
	view, err := make()
	if err != nil {
		b.logger.Error("making a form", "error", err)
		view = modal("", "", section("This did not work: "+escape(session.Sentence(err))+" Nothing was started; close this and try again in a while."))
	}
	_, err = b.api.UpdateViewContext(ctx, view, "", "", opened.ID)
	if refusalOf(err) == "not_found" {
		return nil // closed meanwhile
	}
	if err != nil {
		return b.outside("views.update", err)
	}
	return nil
}

// form is what a shortcut on a message asks, or why it can ask nothing; and which repository it will probably be about.
func (b *Bot) form(ctx context.Context, s *shortcut) (view slack.ModalViewRequest, h warmHint, err error) {
	by, refusal, silent, err := b.who(ctx, s.User.ID, s.Channel.ID)
	switch {
	case err != nil:
		return view, h, err
	case silent || refusal != "":
		return modal("", "", section(refusal)), h, nil
	}
	away, err := b.awayFrom(ctx, s.Channel.ID)
	if err != nil {
		return view, h, err
	}
	if away {
		return modal("", "", section("I am not in that conversation, so I could not report there. Invite me with `/invite @"+escape(b.self.name)+"`, then use the shortcut again.")), h, nil
	}
	e := s.Message
	e.Channel = s.Channel.ID
	c, err := b.conversation(ctx, e)
	if err != nil {
		return view, h, err
	}
	about := formAbout{Channel: e.Channel, Root: e.root(), About: e.TS}
	words := plain(e.Text, func(user string) string { return b.nameOf(ctx, user) })
	shown, _ := cut(words, 300)
	name := b.nameOf(ctx, e.User)
	if e.User == "" {
		name = "somebody"
	}
	parts := []slack.Block{section("*About this message of " + escape(name) + "*\n" + quoted(escape(shown)))}
	if author, err := b.person(ctx, e.User); err == nil && author.guest && !b.cfg.AllowGuests {
		parts = append(parts, note("What guests write or attach does not reach the agent, so say under Task what should be done."))
	}
	if c.fresh() {
		repo, likely, err := b.repositoryInput(ctx, words, e.Channel)
		if err != nil {
			return view, h, err
		}
		h = warmHint{by, likely}
		branch := slack.NewPlainTextInputBlockElement(plainText("the repository's default"), inputBranch).WithMaxLength(250)
		parts = append(append(parts, repo...), input(inputBranch, "Branch", branch, true))
	} else {
		parts = append(parts, note("This thread has a session already; your words go to it as a follow-up."))
	}
	usual, _, err := b.usual(ctx, by, c)
	if err != nil {
		return view, h, err
	}
	prompt := slack.NewPlainTextInputBlockElement(plainText("What should be done? Left empty: what the message asks for."), inputPrompt).WithMultiline(true).WithMaxLength(maxShown)
	if models := b.modelMenu(inputModel, "Usual: "+modelTitle(usual), ""); len(models.Options) > 0 {
		parts = append(parts, input(inputModel, "Model", models, true))
	}
	parts = append(parts, input(inputPrompt, "Task", prompt, true))
	view = modal(formInspect, "Start", parts...)
	view.PrivateMetadata = string(marshal(about))
	return view, h, nil
}

// repositoryInput is the menu of repositories, with the one that a mention with these words would take chosen already.
func (b *Bot) repositoryInput(ctx context.Context, words, channel string) (parts []slack.Block, likely session.Repo, err error) {
	asked, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	all, err := b.cfg.Repositories.Repositories(asked)
	if err != nil {
		return nil, likely, session.Wrap("bot.form", err)
	}
	pick, err := b.choose(asked, words, options{}, channel, false)
	if err != nil {
		return nil, likely, err
	}
	listed, missing := listable(all, pick.repo)
	if len(listed) == 0 {
		return []slack.Block{note("I cannot see any repository that I could work on. Install the GitHub App on one.")}, likely, nil
	}
	parts = []slack.Block{input(inputRepo, "Repository", repositoryMenu(inputRepo, listed, pick.repo), true)}
	if missing > 0 {
		parts = append(parts, note(plural(missing, "more repository")+": write `[repo=owner/name]` into the task."))
	}
	return parts, pick.repo, nil
}

// maxEntries is how many repositories the menu of a form lists: Slack refuses views of more than 250 kB.
const maxEntries = 800

// listable are the repositories that the menu of a form lists, by name, the chosen one among them, and how many it has no room for.
func listable(all []session.RepositoryInfo, chosen session.Repo) (listed []session.RepositoryInfo, missing int) {
	all = slices.DeleteFunc(slices.Clone(all), func(r session.RepositoryInfo) bool { return r.Archived })
	slices.SortFunc(all, func(x, y session.RepositoryInfo) int { return strings.Compare(x.Repo.String(), y.Repo.String()) })
	n := min(maxEntries, len(all))
	if i := slices.IndexFunc(all, func(r session.RepositoryInfo) bool { return r.Repo == chosen }); i >= n {
		all[n-1], all[i] = all[i], all[n-1] // still the last of those that are listed
	}
	return all[:n], len(all) - n
}

// submission is a payload of the type view_submission: somebody sent a form of ours. docs.slack.dev, "view_submission payload".
type submission struct {
	User struct {
		ID string `json:"id"`
	} `json:"user"`
	View struct {
		ID       string `json:"id"`
		Hash     string `json:"hash"`
		Callback string `json:"callback_id"`
		Metadata string `json:"private_metadata"`
		State    struct {
			Values map[string]map[string]struct {
				Value  string `json:"value"`
				Chosen struct {
					Value string `json:"value"`
				} `json:"selected_option"`
			} `json:"values"`
		} `json:"state"`
	} `json:"view"`

	redacted bool // a secret was in the words
}

func (s *submission) key() string {
	if s.User.ID == "" || s.View.ID == "" {
		return ""
	}
	switch s.View.Callback {
	case formInspect, formBranch:
		return "form/" + s.View.ID + "/" + s.View.Hash
	}
	return ""
}

func (s *submission) about() (a formAbout) {
	_ = lenient([]byte(s.View.Metadata), &a) // ours
	return a
}

// lane is the form's own where it starts something, which waits for Slack.
func (s *submission) lane() string {
	if s.View.Callback == formBranch {
		return "home:" + s.User.ID
	}
	return "form:" + s.View.ID
}

func (s *submission) from() (string, place) {
	a := s.about()
	return s.User.ID, answerTo(a.Channel, a.About, a.Root)
}

// value is what was put into an input.
func (s *submission) value(name string) string {
	v := s.View.State.Values[name][name]
	if v.Chosen.Value != "" {
		return v.Chosen.Value
	}
	return strings.TrimSpace(v.Value)
}

func (s *submission) carryOut(ctx context.Context, b *Bot) error {
	if s.View.Callback == formBranch {
		return b.preferBranch(ctx, s)
	}
	a := s.about()
	by, refusal, silent, err := b.who(ctx, s.User.ID, a.Channel)
	switch {
	case err != nil || silent:
		return err
	case refusal != "":
		return b.tell(ctx, s.key(), s.User.ID, refusal)
	}
	if sees, err := b.sees(ctx, s.User.ID, a.Channel); err != nil || !sees { // a form may be open for long
		if err != nil {
			return err
		}
		return b.tell(ctx, s.key(), s.User.ID, "You are not in that conversation any more, so nothing was started.")
	}
	words := s.value(inputPrompt)
	if words == "" {
		words = "Do what the message that this is about asks for."
	}
	var chosen []string
	for _, name := range []string{inputRepo, inputBranch, inputModel} {
		if v := s.value(name); v != "" {
			chosen = append(chosen, name+"="+strings.Join(strings.Fields(strings.NewReplacer("[", "", "]", "", ",", "", "=", "").Replace(v)), ""))
		}
	}
	if len(chosen) > 0 {
		words += "\n[" + strings.Join(chosen, " ") + "]"
	}
	return b.onBehalf(ctx, request{key: s.key(), by: by, at: place{channel: a.Channel, thread: a.Root}, words: words, about: a.About, redacted: s.redacted})
}

// modal is a form, or a message in the place of one if it has no callback.
func modal(callback, send string, parts ...slack.Block) slack.ModalViewRequest {
	v := slack.ModalViewRequest{Type: slack.VTModal, CallbackID: callback, Title: plainText("Inspect"), Close: plainText("Close"), Blocks: slack.Blocks{BlockSet: parts}}
	if send != "" {
		v.Submit, v.Close = plainText(send), plainText("Cancel")
	}
	return v
}

func plainText(s string) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.PlainTextType, s, false, false)
}

func input(id, label string, e slack.BlockElement, optional bool) *slack.InputBlock {
	return slack.NewInputBlock(id, plainText(label), nil, e).WithOptional(optional)
}

// Slack takes a hundred options in a group and a hundred groups.
const menuSize = 100

// option is an entry of a menu. Slack takes 75 characters of text; the value decides.
func option(value, label string) *slack.OptionBlockObject {
	label, _ = cut(label, 75)
	return slack.NewOptionBlockObject(value, plainText(label), nil)
}

// repositoryMenu lists repositories; typing narrows it down.
func repositoryMenu(id string, all []session.RepositoryInfo, chosen session.Repo) *slack.SelectBlockElement {
	menu := slack.NewOptionsSelectBlockElement(slack.OptTypeStatic, plainText("Choose for me"), id)
	var entries []*slack.OptionBlockObject
	for _, r := range all {
		if r.Archived {
			continue
		}
		o := option(r.Repo.String(), r.Repo.String())
		entries = append(entries, o)
		if r.Repo == chosen {
			menu.InitialOption = o
		}
	}
	if len(entries) <= menuSize {
		menu.Options = entries
		return menu
	}
	for len(entries) > 0 && len(menu.OptionGroups) < menuSize {
		n := min(menuSize, len(entries))
		label, _ := cut(entries[0].Value+" – "+entries[n-1].Value, 75)
		menu.OptionGroups = append(menu.OptionGroups, slack.NewOptionGroupBlockElement(plainText(label), entries[:n]...))
		entries = entries[n:]
	}
	return menu
}

// modelMenu lists the models there are keys for.
func (b *Bot) modelMenu(id, unchosen, chosen string) *slack.SelectBlockElement {
	menu := slack.NewOptionsSelectBlockElement(slack.OptTypeStatic, plainText(unchosen), id)
	for _, m := range model.All() {
		if !b.cfg.ModelAvailable(m.ID) {
			continue
		}
		o := option(m.ID, m.Title)
		menu.Options = append(menu.Options, o)
		if m.ID == chosen {
			menu.InitialOption = o
		}
	}
	return menu
}

func modelTitle(id string) string {
	if m, ok := model.Find(id); ok {
		return m.Title
	}
	return id
}
