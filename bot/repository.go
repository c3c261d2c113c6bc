package bot

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"openinspect/session"
)

// choice is the repository for a message, or the problem with choosing one.
type choice struct {
	repo    session.Repo // zero without a problem: none is needed
	base    string       // the repository's default branch
	why     string       // what decided, if the message does not name it; plain text
	named   bool         // the message itself names it, says that none is needed, or tries to
	wrote   string       // the name that is the problem
	problem string       // a sentence in Slack's markup; empty: it is settled
	unsaid  bool         // the problem is that nothing was said, so one may guess
	near    []string     // what was probably meant
	others  []string     // or else, what there is
	all     []session.RepositoryInfo
}

// noRepository stands for none, in [repo=none] and in commands.
const noRepository = "none"

// question asks for a repository in the thread.
func (c choice) question() string {
	switch {
	case len(c.near) > 0:
		return c.problem + " Did you mean " + list(c.near, " or ") + "? Reply with the name; your request waits."
	case len(c.others) > 0:
		return c.problem + " Reply with one of " + list(c.others, ", ") + "; your request waits."
	}
	return c.problem + " Reply with its name (`owner/name`); your request waits."
}

// notice says the same where nobody is asked.
func (c choice) notice() string {
	switch {
	case len(c.near) > 0:
		return c.problem + " Did you mean " + list(c.near, " or ") + "?"
	case len(c.others) > 0:
		return c.problem + " There are " + list(c.others, ", ") + "."
	}
	return c.problem
}

var (
	repoURL = regexp.MustCompile(`https?://([\w.-]+(?::\d+)?)/([\w.-]+)/([\w.-]+)`)
	repoRef = regexp.MustCompile("(?i)(?:\\b(in|on|for|repo|repository)\\s+(?:the\\s+)?)?`?\\b([\\w-][\\w.-]*/[\\w.-]*[\\w-])(/)?`?")
	bareRef = regexp.MustCompile("(?i)\\b(?:in|on|for|repo|repository)\\s+(?:the\\s+)?`?([\\w-][\\w.-]*)`?")
	fileExt = regexp.MustCompile(`(?i)\.(go|js|jsx|ts|tsx|py|rb|rs|java|kt|c|h|cc|cpp|cs|php|swift|sh|md|txt|json|ya?ml|toml|html|css|sql|proto|lock|mod|sum)$`)
)

// folders are first parts of paths that people write about; nobody means an account of that name.
var folders = []string{"src", "lib", "libs", "cmd", "pkg", "internal", "test", "tests", "doc", "docs", "app", "apps", "packages", "bin",
	"scripts", "config", "components", "and", "or", "his", "client", "server", "api", "web", "public", "build", "dist", "etc", "usr", "tmp"}

// choose finds the repository a message is about: named in it, else routed by a keyword in it, else the channel's, else the only one. With
// answer, the whole text may be nothing but a name.
func (b *Bot) choose(ctx context.Context, text string, o options, channel string, answer bool) (choice, error) {
	c, err := b.settle(ctx, text, o, channel, answer)
	return c, session.Wrap("bot.choose", err)
}

func (b *Bot) settle(ctx context.Context, text string, o options, channel string, answer bool) (choice, error) {
	if doesWithout(text, o, answer) {
		return choice{named: true}, nil
	}
	all, err := b.cfg.Repositories.Repositories(ctx)
	if err != nil {
		return choice{}, err
	}
	all = slices.DeleteFunc(slices.Clone(all), func(r session.RepositoryInfo) bool { return r.Archived })
	slices.SortFunc(all, func(x, y session.RepositoryInfo) int { return strings.Compare(x.Repo.String(), y.Repo.String()) })
	if len(all) == 0 {
		return choice{problem: "I cannot see any repository. Install the GitHub App on one."}, nil
	}
	if c, ok := b.explicit(text, o, all, answer); ok {
		if c.problem != "" && c.repo != (session.Repo{}) {
			if c, err = b.recent(ctx, c, all); err != nil {
				return choice{}, err
			}
		}
		c.named, c.all = true, all
		return c, nil
	}
	routed, err := b.routed(ctx, text, all)
	switch {
	case err != nil:
		return choice{}, err
	case len(routed) == 1:
		return routed[0], nil
	case len(routed) > 1:
		c := choice{problem: "Several routes fit your words. Which repository is this about?", all: all}
		for _, r := range routed {
			c.others = append(c.others, r.repo.String())
		}
		return c, nil
	}
	known, err := b.store.Channel(ctx, channel)
	if err != nil && session.CodeOf(err) != session.NotFound {
		return choice{}, err
	}
	if known.Repo != (session.Repo{}) {
		if r, ok := find(all, known.Repo.String()); ok {
			c := chosen(r)
			c.why = "it is this channel’s"
			return c, nil
		}
		return choice{problem: "This channel's repository " + code(known.Repo.String()) + " is not one I can see any more.", others: names(all), all: all}, nil
	}
	if len(all) == 1 {
		return chosen(all[0]), nil
	}
	return choice{problem: "Which repository is this about?", unsaid: true, others: names(all), all: all}, nil
}

// recent asks about a repository that the list does not have: that may be a little old.
func (b *Bot) recent(ctx context.Context, c choice, all []session.RepositoryInfo) (choice, error) {
	info, err := b.cfg.Repositories.Repository(ctx, c.repo)
	switch {
	case err == nil && info.Archived:
		return choice{problem: code(info.Repo.String()) + " is archived, so nothing can be changed there.", others: names(all)}, nil
	case err == nil:
		return chosen(info), nil
	case session.CodeOf(err) != session.NotFound:
		return choice{}, err
	}
	c.repo = session.Repo{}
	return c, nil
}

var (
	withoutAny = regexp.MustCompile(`(?i)(?:^\s*(?:without|no|with no)\s+(?:a\s+|any\s+)?(?:repository|repo)\s*[:,]|(?:^|[\s,;(])(?:without|with no)\s+(?:a\s+|any\s+)?(?:repository|repo)\s*[.!?)]*\s*$)`)
	answerNone = regexp.MustCompile(`(?i)^\W*(?:none|(?:without|no|with no)\s+(?:a\s+|any\s+)?(?:repository|repo)|without(?:\s+(?:one|any))?)\W*$`)
)

// doesWithout reports whether a message says that it needs no repository: at its beginning or end, as options in words do.
func doesWithout(text string, o options, answer bool) bool {
	if o.repo != "" {
		return strings.EqualFold(o.repo, noRepository)
	}
	return withoutAny.MatchString(text) || answer && answerNone.MatchString(text)
}

// explicit looks for a name in the text. A choice with both a repository and a problem names one that the list does not have.
func (b *Bot) explicit(text string, o options, all []session.RepositoryInfo, answer bool) (choice, bool) {
	if o.repo != "" {
		return byName(strings.TrimSuffix(repoURL.ReplaceAllString(o.repo, "$2/$3"), ".git"), all), true
	}
	for _, m := range repoURL.FindAllStringSubmatch(text, -1) {
		name := strings.TrimSuffix(m[2]+"/"+strings.TrimRight(m[3], "."), ".git")
		if r, ok := find(all, name); ok {
			return chosen(r), true
		}
		if strings.EqualFold(m[1], "github.com") {
			return byName(name, all), true
		}
	}
	text = repoURL.ReplaceAllString(text, "")
	doubtful := ""
	for _, m := range repoRef.FindAllStringSubmatch(text, -1) {
		name := strings.TrimRight(m[2], ".")
		if r, ok := find(all, name); ok {
			return chosen(r), true
		}
		if doubtful == "" && m[3] == "" && (answer || meansRepository(name, m[1] != "", all)) {
			doubtful = name
		}
	}
	if doubtful != "" {
		return byName(doubtful, all), true
	}
	for _, m := range bareRef.FindAllStringSubmatch(text, -1) {
		if sameName(all, m[1]) != nil {
			return byName(m[1], all), true
		}
	}
	if answer {
		word := strings.Trim(strings.TrimSpace(text), "`'\".,!")
		if word != "" && !strings.ContainsAny(word, " \n\t") {
			return byName(word, all), true
		}
		for _, w := range strings.Fields(text) {
			if w = strings.Trim(w, "`'\".,!?"); len(sameName(all, w)) == 1 {
				return byName(w, all), true
			}
		}
	}
	return choice{}, false
}

// meansRepository guesses whether a/b that is not a repository we know was meant as one, rather than as a path or as alternatives.
func meansRepository(name string, introduced bool, all []session.RepositoryInfo) bool {
	owner, rest, _ := strings.Cut(name, "/")
	if fileExt.MatchString(rest) {
		return false
	}
	if slices.ContainsFunc(all, func(r session.RepositoryInfo) bool { return strings.EqualFold(r.Repo.Owner, owner) }) {
		return true
	}
	if slices.Contains(folders, strings.ToLower(owner)) {
		return false
	}
	return introduced || session.Nearest(name, names(all), 1) != nil
}

// byName is the choice somebody makes by writing name, with or without its owner.
func byName(name string, all []session.RepositoryInfo) choice {
	if r, ok := find(all, name); ok {
		return chosen(r)
	}
	switch same := sameName(all, name); {
	case len(same) == 1:
		return chosen(same[0])
	case len(same) > 1:
		return choice{wrote: name, problem: fmt.Sprintf("There are %d repositories named %s.", len(same), code(name)), others: names(same)}
	}
	repo, _ := session.ParseRepo(name)
	return choice{repo: repo, wrote: name, near: meant(name, all), others: names(all),
		problem: "I cannot see a repository " + code(name) + ". If it exists, the GitHub App is not installed on it."}
}

// meant returns the repositories that somebody who wrote name may have meant: of that owner or any, by the name; else by the whole.
func meant(name string, all []session.RepositoryInfo) []string {
	owner, last, both := strings.Cut(name, "/")
	if !both {
		owner, last = "", name
	}
	var near []string
	for _, r := range all {
		if (owner == "" || strings.EqualFold(owner, r.Repo.Owner)) && session.Nearest(last, []string{r.Repo.Name}, 1) != nil {
			near = append(near, r.Repo.String())
		}
	}
	if near == nil && !slices.ContainsFunc(all, func(r session.RepositoryInfo) bool { return strings.EqualFold(owner, r.Repo.Owner) }) {
		near = session.Nearest(name, names(all), 3)
	}
	return near[:min(3, len(near))]
}

func chosen(r session.RepositoryInfo) choice {
	return choice{repo: r.Repo, base: r.DefaultBranch}
}

func find(all []session.RepositoryInfo, name string) (session.RepositoryInfo, bool) {
	for _, r := range all {
		if strings.EqualFold(r.Repo.String(), name) {
			return r, true
		}
	}
	return session.RepositoryInfo{}, false
}

func sameName(all []session.RepositoryInfo, name string) []session.RepositoryInfo {
	var same []session.RepositoryInfo
	for _, r := range all {
		if strings.EqualFold(r.Repo.Name, name) {
			same = append(same, r)
		}
	}
	return same
}

// maxOffered is how many repositories a question lists.
const maxOffered = 10

func names(all []session.RepositoryInfo) []string {
	var out []string
	for _, r := range all {
		out = append(out, r.Repo.String())
	}
	return out
}

// list writes names as code, with last before the last one.
func list(names []string, last string) string {
	shown := slices.Clone(names[:min(maxOffered, len(names))])
	for i := range shown {
		shown[i] = code(shown[i])
	}
	if more := len(names) - len(shown); more > 0 {
		return strings.Join(shown, ", ") + fmt.Sprintf(" and %d more", more)
	}
	if n := len(shown); n > 1 {
		return strings.Join(shown[:n-1], ", ") + last + shown[n-1]
	}
	return strings.Join(shown, "")
}
