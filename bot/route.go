package bot

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"openinspect/session"
)

// quotes are what people, and Slack's clients, put around a keyword.
const quotes = "\"'`“”„‘’«»"

var routeArgs = regexp.MustCompile(`(?is)^route\s+(?:[` + quotes + `](.+?)[` + quotes + `]|(\S+))\s+(\S+)\s*$`)

// readRoute reads what follows /inspect. It is a task, not a route, if it has another form: people also ask for routes to be changed.
func readRoute(text string) (keyword, repo string, ok bool) {
	text = strings.TrimSpace(text)
	if strings.EqualFold(text, "route") || strings.EqualFold(text, "routes") {
		return "", "", true
	}
	m := routeArgs.FindStringSubmatch(text)
	if m == nil || m[1] == "" && !strings.Contains(m[3], "/") && !strings.EqualFold(m[3], noRepository) {
		return "", "", false
	}
	return session.RouteKeyword(m[1] + m[2]), m[3], true
}

// commandRoute lists the routes, sets one or removes one.
func (b *Bot) commandRoute(ctx context.Context, by session.Person, at place, key, keyword, name string) error {
	switch {
	case keyword == "" && name == "":
		return b.listRoutes(ctx, by, at, key)
	case len(spoken(keyword)) == 0:
		return b.whisper(ctx, key, at, by.Slack, "Nothing was changed. A keyword has letters or digits: `/inspect route \"checkout\" owner/name`.")
	case utf8.RuneCountInString(keyword) > session.MaxKeyword:
		return b.whisper(ctx, key, at, by.Slack, "Nothing was changed. A keyword may have 100 characters.")
	}
	route := session.Route{Keyword: keyword, By: by, At: b.clock.Now()}
	said := "Requests with " + code(keyword) + " in them have no route any more."
	if !strings.EqualFold(name, noRepository) {
		pick, err := b.choose(ctx, "", options{repo: name}, "", true)
		if err != nil {
			return err
		}
		if pick.problem != "" {
			return b.whisper(ctx, key, at, by.Slack, "Nothing was changed. "+pick.notice())
		}
		route.Repo = pick.repo
		said = "Requests anywhere that have " + code(keyword) + " in them and name no repository are about " + code(pick.repo.String()) + " from now on."
	}
	if told, err := b.told(ctx, key); told || err != nil {
		return err
	}
	err := b.store.PutRoute(ctx, route)
	switch {
	case refused(err):
		said = "Nothing was changed. " + escape(session.Sentence(err))
	case err != nil:
		return session.Wrap("bot.route", err)
	}
	return b.whisper(ctx, key, at, by.Slack, said)
}

func (b *Bot) listRoutes(ctx context.Context, by session.Person, at place, key string) error {
	all, err := b.store.Routes(ctx)
	if err != nil {
		return session.Wrap("bot.routes", err)
	}
	if len(all) == 0 {
		return b.whisper(ctx, key, at, by.Slack, "There are no routes. `/inspect route \"checkout\" owner/name` makes one: requests with that word in them that name no repository are about that one.")
	}
	var lines []string
	for _, r := range all {
		line := code(r.Keyword) + " → " + code(r.Repo.String())
		if r.By.Name != "" {
			line += ", set by " + escape(r.By.Name)
		}
		lines = append(lines, line)
	}
	return b.whisper(ctx, key, at, by.Slack, strings.Join(lines, "\n")+"\n`/inspect route \"…\" none` removes one.")
}

// spoken are the words of a text as they were written, but for case: keywords match whole words.
func spoken(text string) []string { return wordParts.FindAllString(strings.ToLower(text), -1) }

// routed returns where a text is routed, each repository once; dead is a route that leads where there is nothing, or nothing yet.
func (b *Bot) routed(ctx context.Context, text string, all []session.RepositoryInfo) (found []choice, dead session.Route, err error) {
	routes, err := b.store.Routes(ctx)
	if err != nil {
		return nil, dead, err
	}
	said := " " + strings.Join(spoken(text), " ") + " "
	for _, r := range routes {
		if !strings.Contains(said, " "+strings.Join(spoken(r.Keyword), " ")+" ") {
			continue
		}
		info, known := find(all, r.Repo.String())
		switch {
		case !known:
			dead = r
		case !slices.ContainsFunc(found, func(c choice) bool { return c.repo == info.Repo }):
			c := chosen(info)
			c.why = "“" + r.Keyword + "” is routed there"
			found = append(found, c)
		}
	}
	return found, dead, nil
}
