package bot

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"openinspect/session"
)

func infos(names ...string) []session.RepositoryInfo {
	var all []session.RepositoryInfo
	for _, n := range names {
		repo, _ := session.ParseRepo(strings.TrimSuffix(n, "!"))
		all = append(all, session.RepositoryInfo{Repo: repo, DefaultBranch: "main", Archived: strings.HasSuffix(n, "!")})
	}
	return all
}

// rules is a store that knows one channel's repository, and routes.
type rules struct {
	Store
	repo   session.Repo
	routes []session.Route
}

func (rules) MergeRule(context.Context, session.Repo) (session.MergeRule, error) {
	return session.MergeRule{}, session.Errorf(session.NotFound, "no rule")
}

func (c rules) Routes(context.Context) ([]session.Route, error) { return c.routes, nil }

func (c rules) Channel(_ context.Context, id string) (session.Channel, error) {
	return session.Channel{ID: id, Repo: c.repo}, nil
}

func TestChoose(t *testing.T) {
	two := infos("acme/api", "acme/web")
	for _, c := range []struct {
		name, text string
		all        []session.RepositoryInfo
		channel    string
		answer     bool
		want       string // repository@base, or a part of the question
		named      bool
	}{
		{"owner and name", "fix the test in acme/web please", two, "", false, "acme/web@main", true},
		{"any case", "look at Acme/WEB", two, "", false, "acme/web@main", true},
		{"at the end of a sentence", "this is about acme/web.", two, "", false, "acme/web@main", true},
		{"as code", "in `acme/web`: fix it", two, "", false, "acme/web@main", true},
		{"address", "see https://github.com/acme/api/pull/3", two, "", false, "acme/api@main", true},
		{"address of a clone", "https://github.com/acme/api.git", two, "", false, "acme/api@main", true},
		{"other host's address", "see https://docs.test/a/b", two, "", false, "Which repository", false},
		{"option", "[repo=acme/web branch=dev] fix it", two, "", false, "acme/web@main", true},
		{"option without owner", "[repo=api] fix it", two, "", false, "acme/api@main", true},
		{"unknown address", "https://github.com/acme/nope/issues/1", two, "", false, "cannot see a repository `acme/nope`", true},
		{"name alone", "fix the login in web", two, "", false, "acme/web@main", true},
		{"name alone, with article", "in the web repo, fix it", two, "", false, "acme/web@main", true},
		{"a word that is a name", "fix the web login", two, "", false, "Which repository is this about? Reply with one of `acme/api`, `acme/web`", false},
		{"the same name twice", "fix it in web", infos("acme/web", "bolt/web"), "", false, "There are 2 repositories named `web`. Reply with one of `acme/web`, `bolt/web`", true},
		{"misspelt", "fix it in acme/wep", two, "", false, "Did you mean `acme/web`", true},
		{"misspelt owner", "fix it in acmee/web", two, "", false, "Did you mean `acme/web`", true},
		{"another's", "fix it in other/thing", two, "", false, "cannot see a repository `other/thing`. If it exists, the GitHub App is not installed on it. Reply with one of `acme/api`, `acme/web`; your request waits.", true},
		{"another's, with one repository", "fix it in other/thing", infos("acme/web"), "", false, "cannot see a repository `other/thing`", true},
		{"path", "fix it in src/main", infos("acme/web"), "", false, "acme/web@main", false},
		{"longer path", "fix it in one/two/three.txt", infos("acme/web"), "", false, "acme/web@main", false},
		{"file", "fix it in checkout/cart.go", infos("acme/web"), "", false, "acme/web@main", false},
		{"alternatives", "rename and/or delete it", infos("acme/web"), "", false, "acme/web@main", false},
		{"the channel's", "fix it", two, "acme/api", false, "acme/api@main", false},
		{"named in a channel with another", "fix it in acme/web", two, "acme/api", false, "acme/web@main", true},
		{"words with a stroke", "fix the flaky test in CI/CD", two, "acme/api", false, "acme/api@main", false},
		{"a platform", "it fails on linux/amd64", two, "acme/api", false, "acme/api@main", false},
		{"a remote branch", "rebase it on origin/main", two, "acme/api", false, "acme/api@main", false},
		{"a branch", "rebase it on login/oauth", two, "acme/api", false, "acme/api@main", false},
		{"repository of another", "fix it, repo other/thing", two, "acme/api", false, "cannot see a repository `other/thing`", true},
		{"somebody else's issue", "like https://github.com/golang/go/issues/1", two, "acme/api", false, "acme/api@main", false},
		{"somebody else's issue, and ours", "like https://github.com/golang/go/issues/1, in acme/web", two, "acme/api", false, "acme/web@main", true},
		{"somebody else's repository", "fix https://github.com/golang/go", two, "acme/api", false, "cannot see a repository `golang/go`", true},
		{"a board", "see https://github.com/orgs/acme/projects/3", two, "acme/api", false, "acme/api@main", false},
		{"the docs of anybody", "fix the typo in the docs", infos("acme/docs", "acme/web"), "acme/web", false, "acme/web@main", false},
		{"the docs of a repository", "fix the typo in the docs repo", infos("acme/docs", "acme/web"), "acme/web", false, "acme/docs@main", true},
		{"one that runs without one", "can acme/web run without a repository?", two, "", false, "acme/web@main", true},
		{"the channel's is gone", "fix it", two, "acme/old", false, "This channel's repository `acme/old` is not one I can see any more", false},
		{"the only one", "fix it", infos("acme/web"), "", false, "acme/web@main", false},
		{"the only one that is not archived", "fix it", infos("acme/web", "acme/old!"), "", false, "acme/web@main", false},
		{"archived", "fix it in acme/old", infos("acme/web", "acme/old!"), "", false, "`acme/old` is archived", true},
		{"routed", "why do Payments fail", two, "", false, "acme/api@main, “payments” is routed there", false},
		{"routed by two words", "users cannot check out!", two, "", false, "acme/web@main, “check out” is routed there", false},
		{"not by a part of a word", "repayments fail", two, "", false, "Which repository", false},
		{"not by a part of two words", "check it out", two, "", false, "Which repository", false},
		{"routed, in a channel with another", "payments fail", two, "acme/web", false, "acme/api@main", false},
		{"named beats routed", "payments fail in acme/web", two, "", false, "acme/web@main", true},
		{"two routes to one", "invoices of payments", two, "", false, "acme/api@main", false},
		{"two routes", "payments when they check out", two, "", false, "Several routes fit your words. Which repository is this about? Reply with one of `acme/web`, `acme/api`", false},
		{"routed where there is nothing", "it is gone", two, "acme/api", false, "`gone` is routed to `acme/gone`, which I cannot see any more: `/inspect route \"gone\" none` forgets that. Reply with one of", false},
		{"routed where there is nothing, and elsewhere", "payments are gone", two, "", false, "acme/api@main", false},
		{"without one", "what does TLS do, without a repository?", two, "", false, "none", true},
		{"without one, first", "no repo: what does TLS do", two, "", false, "none", true},
		{"without one, as an option", "[repo=none] what does TLS do", two, "acme/api", false, "none", true},
		{"no repository, in passing", "there is no repository pattern here", two, "", false, "Which repository", false},
		{"without one, in passing", "run it without a repository cache in acme/web", two, "", false, "acme/web@main", true},
		{"answer none", "None.", two, "", true, "none", true},
		{"answer without one", "without a repository", two, "", true, "none", true},
		{"none is a task", "none", two, "", false, "Which repository", false},
		{"none at all", "fix it", nil, "", false, "I cannot see any repository. Whoever runs me has to install the GitHub App on one.", false},
		{"answer", "web", two, "", true, "acme/web@main", true},
		{"answer with quotes", "`acme/api`.", two, "", true, "acme/api@main", true},
		{"answer in a sentence", "the web one", two, "", true, "acme/web@main", true},
		{"answer that is no name", "no idea", two, "", true, "Which repository", false},
		{"answer misspelt", "wep", two, "", true, "Did you mean `acme/web`", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			repo, _ := session.ParseRepo(c.channel)
			api, web := session.Repo{Owner: "acme", Name: "api"}, session.Repo{Owner: "acme", Name: "web"}
			routes := []session.Route{{Keyword: "check out", Repo: web}, {Keyword: "gone", Repo: session.Repo{Owner: "acme", Name: "gone"}}, {Keyword: "invoices", Repo: api}, {Keyword: "payments", Repo: api}}
			b := &Bot{cfg: Config{Repositories: &forge{repos: c.all}}, store: rules{repo: repo, routes: routes}}
			text, o, _ := readOptions(c.text, "", func(string) bool { return true })
			got, err := b.choose(t.Context(), text, o, "C1", c.answer)
			if err != nil {
				t.Fatal(err)
			}
			said := got.repo.String() + "@" + got.base
			switch {
			case got.problem != "":
				said = got.question()
			case got.repo == (session.Repo{}):
				said = "none"
			case got.why != "":
				said += ", " + got.why
			}
			if !strings.Contains(said, c.want) || got.named != c.named {
				t.Errorf("%q: %s, named %v; want %s, %v", c.text, said, got.named, c.want, c.named)
			}
		})
	}
}

func TestReadOptions(t *testing.T) {
	some := func(id string) bool { return strings.HasPrefix(id, "anthropic/") }
	for _, c := range []struct{ text, rest, want, refusal string }{
		{"fix it", "fix it", "{   }", ""},
		{"[repo=acme/web branch=dev] fix it", "fix it", "{acme/web dev  }", ""},
		{"fix it [model=opus, effort=high]", "fix it", "{  opus high}", ""},
		{"why is x[i=1] empty", "why is x[i=1] empty", "{   }", ""},
		{"fix [modle=opus]", "fix", "", `Did you mean "model"?`},
		{"fix [model=opus autopr=false]", "fix", "", `I do not know the option "autopr". The options are repo, branch, model, effort.`},
		{"fix [model=opuss]", "fix", "", "Did you mean"},
		{"fix [model=zzzzzzzz]", "fix", "", "I use anthropic/claude-sonnet-5 unless"},
		{"fix [model=gpt-5.5]", "fix", "", "There is no key for"},
		{"fix [effort=huge]", "fix", "", `does not know the effort "huge"`},
		{"fix it `[repo=acme/web]`", "fix it", "{acme/web   }", ""},
		{"fix `it` [repo=`acme/web` branch=\"dev\"]", "fix `it`", "{acme/web dev  }", ""},
		{"[repo: acme/web, model: opus] fix it", "fix it", "{acme/web  opus }", ""},
		{"[base=dev] fix it", "fix it", "{ dev  }", ""},
		{"[repo=https://github.com/acme/web/pull/3] fix it", "fix it", "{acme/web   }", ""},
		{"[repo=github.com/acme/web.git branch=http://release.io] fix it", "fix it", "{acme/web release.io  }", ""},
		{"[model=opus] fix it [model=OPUS]", "fix it", "{  opus }", ""},
		{"fix [mode: dark] and [12:30]", "fix [mode: dark] and [12:30]", "{   }", ""},
		{"[model=opus] fix [model=haiku]", "fix", "", `two values for model, "opus" and "haiku", and only one can be`},
		{"[repo=acme/web repository=acme/api] fix", "fix", "", `two values for repo, "acme/web" and "acme/api"`},
		{"fix [branch=" + strings.Repeat("x", 300) + "]", "fix", "", "No branch can have a name as long as"},
		{"fix [модель=opus]", "fix [модель=opus]", "{   }", ""},
		{"fix [model=оpus]", "fix", "", "Did you mean anthropic/claude-opus-5-5"}, // a Cyrillic o
	} {
		rest, o, refusal := readOptions(c.text, "anthropic/claude-sonnet-5", some)
		if rest != c.rest || !strings.Contains(refusal, c.refusal) || (refusal == "") != (c.refusal == "") {
			t.Errorf("%q: rest %q, refusal %q", c.text, rest, refusal)
		}
		if refusal != "" {
			continue
		}
		want := strings.Split(strings.Trim(c.want, "{}"), " ")
		if o.repo != want[0] || o.branch != want[1] || !strings.Contains(o.model, want[2]) || o.effort != want[3] {
			t.Errorf("%q: %+v, want %s", c.text, o, c.want)
		}
	}
}

// ahead is a GitHub whose list does not have everything yet.
type ahead struct {
	*forge
	all *forge
}

func (h ahead) Repository(ctx context.Context, r session.Repo) (session.RepositoryInfo, error) {
	return h.all.Repository(ctx, r)
}

// What a channel or a keyword leads to may be newer than the list of repositories (regression).
func TestRulesThatAreNewerThanTheList(t *testing.T) {
	web, fresh := session.Repo{Owner: "acme", Name: "web"}, session.Repo{Owner: "acme", Name: "fresh"}
	for text, store := range map[string]rules{"fix it": {repo: fresh}, "fix the checkout": {repo: web, routes: []session.Route{{Keyword: "checkout", Repo: fresh}}}} {
		b := &Bot{cfg: Config{Repositories: ahead{&forge{repos: infos("acme/api", "acme/web")}, &forge{repos: infos("acme/fresh")}}}, store: store}
		c, err := b.choose(t.Context(), text, options{}, "C1", false)
		if err != nil || c.repo != fresh || c.problem != "" || c.why == "" {
			t.Errorf("%q: %+v, %v", text, c, err)
		}
	}
}

// A long text full of what may be names is read in a moment, however many repositories there are.
func BenchmarkChoose(b *testing.B) {
	var text strings.Builder
	for i := 0; text.Len() < 40_000; i++ {
		fmt.Fprintf(&text, "in x%d/y%d ", i, i)
	}
	bot := &Bot{cfg: Config{Repositories: &forge{repos: infos(many(1_000)...)}}, store: rules{}}
	for b.Loop() {
		if _, err := bot.choose(b.Context(), text.String(), options{}, "C1", false); err != nil {
			b.Fatal(err)
		}
	}
}
