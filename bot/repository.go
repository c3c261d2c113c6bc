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
	repoURL = regexp.MustCompile(`https?://([\w.-]+(?::\d+)?)/([\w.-]+)/([\w.-]+)(/[^\s<>]*)?`)
	repoRef = regexp.MustCompile("(?i)(?:\\b(in|for|repo|repository)\\s+(?:the\\s+)?)?`?\\b([\\w-][\\w.-]*/[\\w.-]*[\\w-])(/)?`?")
	bareRef = regexp.MustCompile("(?i)\\b(in|on|for|repo|repository)\\s+(the\\s+)?`?([\\w-][\\w.-]*)`?(\\s+repo)?")
	fileExt = regexp.MustCompile(`(?i)\.(go|js|jsx|ts|tsx|py|rb|rs|java|kt|c|h|cc|cpp|cs|php|swift|sh|md|txt|json|ya?ml|toml|html|css|sql|proto|lock|mod|sum)$`)
)

// folders are first parts of paths, of branches and of pairs of words that people write about; nobody means an account of that name.
var folders = set("a amd64 and api app apps arm64 assets before bin bugfix build chore ci client cmd common components config controllers core darwin db dev dist doc docs " +
	"either etc feat feature features fix get greater home hotfix his http i input internal js less lib libs linux macos migrations models modules n node_modules old on opt or origin packages " +
	"pages pkg prod public read release remotes routes scripts server services src staging start static tcp templates test tests tmp true ui unit upstream user users usr utils var vendor " +
	"views web windows write x yes")

// reserved are first parts of addresses on GitHub that are no account's.
var reserved = set("about apps features issues login marketplace notifications orgs pulls search settings sponsors topics users")

// maxDoubtful is how many names that are no repository's are compared with those that are.
const maxDoubtful = 20

// choose finds the repository a message is about: named in it, else routed by a keyword in it, else the channel's, else the only one. With
// answer, the whole text may be nothing but a name.
func (b *Bot) choose(ctx context.Context, text string, o options, channel string, answer bool) (choice, error) {
	c, err := b.settle(ctx, text, o, channel, answer)
	return c, session.Wrap("bot.choose", err)
}

func (b *Bot) settle(ctx context.Context, text string, o options, channel string, answer bool) (choice, error) {
	without := doesWithout(text, o, answer)
	if without && (o.repo != "" || !strings.Contains(text, "/")) {
		return choice{named: true}, nil
	}
	all, err := b.cfg.Repositories.Repositories(ctx)
	if err != nil {
		return choice{}, err
	}
	all = slices.DeleteFunc(slices.Clone(all), func(r session.RepositoryInfo) bool { return r.Archived })
	slices.SortFunc(all, func(x, y session.RepositoryInfo) int { return strings.Compare(x.Repo.String(), y.Repo.String()) })
	if without { // unless it is about one: “can acme/cli run without a repository?”
		c, ok := b.explicit(text, o, all, answer)
		if !ok || c.problem != "" {
			c = choice{}
		}
		c.named = true
		return c, nil
	}
	if len(all) == 0 {
		return choice{problem: "I cannot see any repository. Whoever runs me has to install the GitHub App on one."}, nil
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
	routed, dead, err := b.routed(ctx, text, all)
	switch {
	case err != nil:
		return choice{}, err
	case len(routed) == 0 && dead.Keyword != "":
		return b.recent(ctx, choice{repo: dead.Repo, why: "“" + dead.Keyword + "” is routed there", others: names(all), all: all,
			problem: "Which repository is this about? " + code(dead.Keyword) + " is routed to " + code(dead.Repo.String()) + ", which I cannot see any more: " +
				code("/inspect route \""+dead.Keyword+"\" none") + " forgets that."}, all)
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
		return b.recent(ctx, choice{repo: known.Repo, why: "it is this channel’s", others: names(all), all: all,
			problem: "This channel's repository " + code(known.Repo.String()) + " is not one I can see any more: " + code("/inspect channel repo owner/name") + " sets another."}, all)
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
		return choice{wrote: c.wrote, problem: code(info.Repo.String()) + " is archived, so nothing can be changed there.", others: names(all), all: all}, nil
	case err == nil:
		found := chosen(info)
		found.why = c.why
		return found, nil
	case session.CodeOf(err) != session.NotFound:
		return choice{}, err
	}
	c.repo, c.why = session.Repo{}, ""
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
		return byName(o.repo, all), true
	}
	known := map[string]session.RepositoryInfo{}
	for _, r := range all {
		known[strings.ToLower(r.Repo.String())] = r
	}
	doubtful := ""
	for _, m := range repoURL.FindAllStringSubmatch(text, -1) {
		name := strings.TrimSuffix(m[2]+"/"+strings.TrimRight(m[3], "."), ".git")
		if r, ok := known[strings.ToLower(name)]; ok {
			return chosen(r), true
		}
		// An address in somebody else's repository is something to look at, that of the repository itself one to work on.
		if doubtful == "" && strings.EqualFold(m[1], "github.com") && !reserved[strings.ToLower(m[2])] && (strings.Trim(m[4], "/") == "" || owned(m[2], all)) {
			doubtful = name
		}
	}
	text = repoURL.ReplaceAllString(text, "")
	looked := 0
	for _, m := range repoRef.FindAllStringSubmatch(text, -1) {
		name := strings.TrimRight(m[2], ".")
		if r, ok := known[strings.ToLower(name)]; ok {
			return chosen(r), true
		}
		if doubtful == "" && m[3] == "" && looked < maxDoubtful {
			looked++
			if answer || meansRepository(name, strings.ToLower(m[1]), all) {
				doubtful = name
			}
		}
	}
	if doubtful != "" {
		return byName(doubtful, all), true
	}
	for _, r := range all {
		known[strings.ToLower(r.Repo.Name)] = r
	}
	for _, m := range bareRef.FindAllStringSubmatch(text, -1) {
		name := strings.ToLower(m[3])
		if _, ok := known[name]; !ok || everyday[name] && m[2] != "" && m[4] == "" && !strings.HasPrefix(strings.ToLower(m[1]), "repo") {
			continue // “in the docs” may be anybody's
		}
		return byName(m[3], all), true
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

// meansRepository guesses whether a/b that is not a repository we know was meant as one, rather than as a path, a branch or a pair of words; after is
// what stands before it, if that is a word that may introduce one.
func meansRepository(name, after string, all []session.RepositoryInfo) bool {
	owner, rest, _ := strings.Cut(name, "/")
	switch {
	case fileExt.MatchString(rest):
		return false
	case owned(owner, all), strings.HasPrefix(after, "repo"):
		return true
	case folders[strings.ToLower(owner)], name == strings.ToUpper(name): // CI/CD
		return false
	}
	return after != "" || session.Nearest(name, names(all), 1) != nil
}

// owned reports whether an account has one of the repositories.
func owned(owner string, all []session.RepositoryInfo) bool {
	return slices.ContainsFunc(all, func(r session.RepositoryInfo) bool { return strings.EqualFold(r.Repo.Owner, owner) })
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
		return choice{wrote: name, problem: fmt.Sprintf("There are %d repositories named %s.", len(same), code(short(name, 150))), others: names(same)}
	}
	repo, _ := session.ParseRepo(name)
	return choice{repo: repo, wrote: name, near: meant(name, all), others: names(all),
		problem: "I cannot see a repository " + code(short(name, 150)) + ". If it exists, the GitHub App is not installed on it."}
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
	if near == nil && !owned(owner, all) {
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
