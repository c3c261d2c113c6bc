package github

import (
	"slices"
	"strings"

	"openinspect/session"
)

// credits is what the trailers of a session's commits may say.
type credits struct {
	session.CollectRequest
	logs []string // that name the session
}

// credits returns what a request lets commits say.
func (g *GitHub) credits(r session.CollectRequest) credits {
	c := credits{r, []string{string(r.Session)}}
	if log := g.c.LogURL(r.Session); log != "" {
		c.logs = append(c.logs, log)
	}
	return c
}

// checkAll checks new commits, newest first, but those that were collected before: they were checked then, and named who had contributed by then.
func (c credits) checkAll(commits []commit) error {
	before := map[string]bool{c.Collected: true}
	for _, k := range commits {
		if !before[k.hash] {
			if err := c.check(k); err != nil {
				return err
			}
			continue
		}
		for _, p := range k.parents {
			before[p] = true
		}
	}
	return nil
}

// check refuses a commit that does not say who worked on it, or says it of others, signs for somebody, or names another session.
func (c credits) check(k commit) error {
	var lines []string
	for _, log := range c.logs {
		for _, credit := range c.Credits {
			if credit.Message(k.message, k.author, log) == k.message {
				return nil
			}
			lines = append(lines, credit.Trailers(k.author, log)...)
		}
		if c.Credits == nil {
			lines = append(lines, session.Credit{CoAuthors: c.Identities, PromptedBy: c.Known}.Trailers(k.author, log)...)
		}
	}
	for _, claim := range session.Claims(k.message) {
		if !slices.Contains(lines, claim) {
			return session.Errorf(session.Invalid, "The message of commit %.7s says of somebody, or of a session, what is not so (%s), so the commits were not taken. Ask the agent to commit its work anew.", k.hash, readable(strings.TrimSpace(claim), 140))
		}
	}
	if c.Credits == nil {
		return nil
	}
	return session.Errorf(session.Invalid, "The message of commit %.7s does not end with the lines that name this session and all who contributed, so the commits were not taken. Ask the agent to commit its work anew.", k.hash)
}
