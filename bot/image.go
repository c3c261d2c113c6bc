package bot

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"openinspect/session"
)

// Images builds repositories' images, from which their sessions begin.
type Images interface {
	// Images returns what is known of all repositories' images.
	Images(ctx context.Context) ([]session.Prebuilt, error)
	// Image returns what is known of a repository's; its name alone if that is nothing.
	Image(ctx context.Context, r session.Repo) (session.Prebuilt, error)
	// Switch has a repository's image kept up to date from now on, or has nobody begin from it any more. If there is none, it is built as by Build.
	Switch(ctx context.Context, r session.Repo, on bool, by session.Person) (session.Prebuilt, error)
	// Build has one built, whether it is kept up to date or not. ImageBuilt is called when that has ended.
	Build(ctx context.Context, r session.Repo, by session.Person) (session.Prebuilt, error)
}

const imageHelp = "`/inspect image owner/name on` keeps a repository's image up to date, `off` ends that, `build` builds it now."

var imageArgs = regexp.MustCompile(`(?is)^images?(?:\s+(on|off|(?:re)?build))?(?:\s+(\S+?))?(?:\s+(on|off|(?:re)?build))?$`)

// imageCommand is what follows /inspect when somebody asks about images.
type imageCommand struct {
	change string // on, off or build; empty: they ask
	repo   string // empty: they named none
}

// readImage reads what follows /inspect. It is a task if it has another form: people also have images in their pages.
func readImage(text string) (imageCommand, bool) {
	m := imageArgs.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil || m[1] != "" && m[3] != "" {
		return imageCommand{}, false
	}
	r := imageCommand{change: strings.TrimPrefix(strings.ToLower(m[1]+m[3]), "re"), repo: m[2]}
	return r, r.repo == "" || r.change != "" || strings.Contains(r.repo, "/")
}

// imageWords are what people say for what can be done with an image, and beside it.
var imageWords = map[string]string{
	"on": "on", "enable": "on", "yes": "on", "off": "off", "disable": "off", "delete": "off", "remove": "off", "stop": "off", "no": "off",
	"build": "build", "rebuild": "build", "update": "build", "refresh": "build", "create": "build", "make": "build",
	"status": "", "state": "", "show": "", "list": "", "info": "", "help": "",
	"a": "", "again": "", "for": "", "from": "", "in": "", "now": "", "of": "", "please": "", "repo": "", "repository": "", "the": "",
}

// imageSlip says how a command about an image should have been, if the words of one read like that: “image delete acme/web”.
func imageSlip(words []string) string {
	named := slices.ContainsFunc(words, func(w string) bool { return strings.Contains(w, "/") })
	sure := words[0] == "image" || words[0] == "images"
	if !sure && !(named && slices.Equal(session.Nearest(words[0], commands, 1), []string{"image"})) {
		return ""
	}
	repo, change := "", ""
	for _, w := range words[1:] {
		w = strings.Trim(w, `.,:;!?"'`)
		means, known := imageWords[w]
		if near := session.Nearest(w, []string{"on", "off", "build", "rebuild"}, 1); !known && sure && named && len(near) > 0 {
			means, known = imageWords[near[0]], true
		}
		switch {
		case strings.Contains(w, "/") && repo == "":
			repo = w
		case !known, means != "" && change != "":
			return ""
		case means != "":
			change = means
		}
	}
	if !sure && change == "" {
		return ""
	}
	if repo == "" && change != "" {
		repo = "owner/name"
	}
	return strings.Join(strings.Fields("/inspect image "+repo+" "+change), " ")
}

// commandImage tells of repositories' images, or has one built, or switches it.
func (b *Bot) commandImage(ctx context.Context, by session.Person, at place, key string, r imageCommand) error {
	switch {
	case r.repo == "" && r.change == "":
		return b.listImages(ctx, by, at, key)
	case r.repo == "", strings.EqualFold(r.repo, "none"):
		return b.askWhichImage(ctx, by, at, key, r.change)
	}
	pick, err := b.choose(ctx, "", options{repo: r.repo}, "", true)
	if err != nil {
		return err
	}
	if pick.problem != "" {
		return b.whisper(ctx, key, at, by.Slack, "Nothing was changed. "+pick.notice())
	}
	if told, err := b.told(ctx, key); told || err != nil {
		return err
	}
	name := code(pick.repo.String())
	var p session.Prebuilt
	said := ""
	switch r.change {
	case "":
		p, err = b.cfg.Images.Image(ctx, pick.repo)
		said = b.imageState(p)
	case "build":
		_, err = b.cfg.Images.Build(ctx, pick.repo, by)
		said = "The image of " + name + " is being built. I tell you when that is over; nobody waits for it meanwhile."
	case "off":
		_, err = b.cfg.Images.Switch(ctx, pick.repo, false, by)
		said = "Sessions do not begin from an image of " + name + " any more: each clones it and runs its `.openinspect/setup.sh`."
	default:
		p, err = b.cfg.Images.Switch(ctx, pick.repo, true, by)
		said = "The image of " + name + " is kept up to date from now on: its branch is looked at every half hour. " + b.imageState(p)
		if !p.Good() {
			said += " I tell you when that is over."
		}
	}
	if err != nil {
		return session.Wrap("bot.commandImage", err)
	}
	return b.whisper(ctx, key, at, by.Slack, said)
}

// askWhichImage asks whoever named no repository for one: the channel's, say.
func (b *Bot) askWhichImage(ctx context.Context, by session.Person, at place, key, change string) error {
	name := "owner/name"
	known, err := b.store.Channel(ctx, at.channel)
	switch {
	case err != nil && session.CodeOf(err) != session.NotFound:
		return session.Wrap("bot.askWhichImage", err)
	case known.Repo != (session.Repo{}):
		name = known.Repo.String()
	}
	return b.whisper(ctx, key, at, by.Slack, "Nothing was changed. Name the repository: "+code(strings.TrimSpace("/inspect image "+name+" "+change))+".")
}

func (b *Bot) listImages(ctx context.Context, by session.Person, at place, key string) error {
	all, err := b.cfg.Images.Images(ctx)
	if err != nil {
		return session.Wrap("bot.listImages", err)
	}
	var lines []string
	for _, p := range all {
		if p.Enabled || p.Image != "" || p.State != session.BuildNone {
			lines = append(lines, b.imageState(p))
		}
	}
	if len(lines) == 0 {
		lines = []string{"No repository has an image: each session clones its repository and runs `.openinspect/setup.sh`. With an image they begin with both done."}
	}
	return b.whisper(ctx, key, at, by.Slack, strings.Join(append(lines, imageHelp), "\n"))
}

// imageState says how a repository's image stands.
func (b *Bot) imageState(p session.Prebuilt) string {
	name := code(p.Repo.String())
	var said []string
	add := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	if p.Image != "" {
		add("built %s from %s of %s in %s", moment(p.Built), code(sevenDigits(p.Commit)), code(p.Base), elapsed(p.Took))
	}
	switch {
	case p.Bad != "":
		add("nothing begins from it any more: %s", prose(strings.TrimSuffix(p.Bad, ".")))
	case p.Image != "" && !p.Enabled:
		add("it is not kept up to date")
	}
	switch p.State {
	case session.BuildDue:
		add("a build waits for its turn")
	case session.BuildGoesOn:
		add("a build has been going on since %s", moment(p.Began))
	case session.BuildFailed:
		add("the build of %s failed: %s", moment(p.Failed), prose(strings.TrimSuffix(p.Reason, ".")))
	case session.BuildNone, session.BuildDone:
	}
	if len(said) == 0 {
		return name + " has no image: each of its sessions clones it and runs `.openinspect/setup.sh`."
	}
	return "The image of " + name + ": " + strings.Join(said, "; ") + "."
}

// ImageBuilt tells those who asked for a build how it ended. It may be called again until it returns nil: each is told once. Before Run has connected to
// Slack it waits for that.
func (b *Bot) ImageBuilt(ctx context.Context, p session.Prebuilt) error {
	select {
	case <-b.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	text, over := imageIsThere(p), p.Built
	if p.State == session.BuildFailed {
		text, over = imageNotBuilt(p), p.Failed
	}
	var all []session.Message
	for _, who := range p.Asked {
		key := fmt.Sprintf("image/%s/%d/%s", strings.ToLower(p.Repo.String()), over.Unix(), who.Slack)
		all = append(all, session.Message{Key: key, Op: session.MessageDirect, User: who.Slack, Text: text, Urgent: true})
	}
	return session.Wrap("bot.ImageBuilt", b.put(ctx, all...))
}

// imageIsThere says what sessions begin with from now on.
func imageIsThere(p session.Prebuilt) string {
	with := "with what `.openinspect/setup.sh` left at "
	if p.Setup == "" { // there is none
		with = "with its checkout at "
	}
	return "The image of " + code(p.Repo.String()) + " is there: sessions begin from it, " + with + code(sevenDigits(p.Commit)) + ". It took " + elapsed(p.Took) + "."
}

// imageNotBuilt says why a build failed, and what sessions begin from meanwhile.
func imageNotBuilt(p session.Prebuilt) string {
	text := "The image of " + code(p.Repo.String()) + " could not be built: " + prose(strings.TrimSuffix(p.Reason, ".")) + "."
	if p.Output != "" {
		text += " The last lines:\n" + outputBlock(p.Output)
	}
	if p.Good() {
		return text + "\nSessions go on from the image of before."
	}
	return text + "\nSessions go on without one."
}

// maxOutput is how many characters of a script's last lines are shown.
const maxOutput = 2_500

// outputBlock shows the end of a program's output as it was, without what could end the block.
func outputBlock(output string) string {
	r := []rune(strings.ReplaceAll(strings.TrimSpace(seen(output)), "```", "'''"))
	if len(r) > maxOutput {
		r = append([]rune("…"), r[len(r)-maxOutput:]...)
	}
	lines := strings.Split(string(r), "\n")
	for i := range lines {
		lines[i] = escape(lines[i])
	}
	return "```\n" + strings.Join(lines, "\n") + "\n```"
}

// moment is a time for people: theirs, where Slack knows it.
func moment(t time.Time) string {
	return fmt.Sprintf("<!date^%d^{date_short_pretty} {time}|%s>", t.Unix(), t.UTC().Format("2 Jan 15:04 UTC"))
}
