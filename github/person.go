package github

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	gh "github.com/google/go-github/v66/github"

	"openinspect/session"
)

// asPerson calls f as somebody, and once more with a renewed token if GitHub does not take the one we have: then f returns errStale.
func (g *GitHub) asPerson(ctx context.Context, by session.Person, f func(*gh.Client, userToken) error) error {
	if by.GitHub == nil {
		return errUnlinked
	}
	stale := ""
	for {
		t, err := g.token(ctx, by.Slack, stale)
		if err != nil {
			return err
		}
		if t.Identity.ID != by.GitHub.ID {
			return errRelinked // who may do it was decided for the account of before
		}
		c, err := g.userClient(t)
		if err != nil {
			return err
		}
		if err = f(c, t); !errors.Is(err, errStale) {
			return err
		}
		if stale != "" { // nor the renewed one
			return g.dead(ctx, by.Slack)
		}
		stale = t.Access // perhaps only this one is dead; whether the person took all of it back, its renewal tells
	}
}

var errRelinked = session.Errorf(session.Conflict, "You have linked another GitHub account meanwhile. Please react again.")

// act is something that is done as a person, for the words of what keeps them from it.
type act struct {
	op   string
	repo session.Repo
	by   session.Person
	what string // what an archived repository keeps from being done
	may  string // what the GitHub App may not do
	then string // what to do once it is mended; default: react again
}

// personal turns an error of a call made as a person into one of ours; errStale for one that their token is not taken.
func (a act) personal(err error, sentence string) error {
	then := cmp.Or(a.then, "react again")
	status, words := answer(err)
	switch {
	case status == http.StatusUnauthorized:
		return fmt.Errorf("%w: %w", errStale, err)
	case status == http.StatusForbidden && strings.Contains(words, "SAML"):
		sentence = "GitHub wants you to sign in to " + a.repo.Owner + " first. Start a single sign-on session for it on GitHub, then " + then + "."
	case status == http.StatusForbidden && strings.Contains(words, "not accessible by integration"):
		sentence = "The GitHub App may not " + a.may + " in `" + a.repo.String() + "`. Whoever runs the bot has to give it “Pull requests: read and write”, and an owner of " + a.repo.Owner + " has to accept that; then " + then + "."
	case status == http.StatusForbidden && strings.Contains(words, "archived"):
		sentence = "`" + a.repo.String() + "` is archived, so " + a.what + "."
	case status == http.StatusForbidden && strings.Contains(words, "access blocked"), status == http.StatusUnavailableForLegalReasons:
		sentence = "GitHub has blocked `" + a.repo.String() + "`. Its owners find out why on GitHub."
	case status == http.StatusNotFound && a.by.GitHub != nil:
		sentence = "Your GitHub account " + a.by.GitHub.Login + " cannot see " + a.repo.String() + ". Ask for access to it, then " + then + "."
	}
	return problem(a.op, err, sentence)
}

func account(u *gh.User) session.Identity {
	return session.Identity{ID: u.GetID(), Login: session.OneLine(u.GetLogin(), 60)}
}
