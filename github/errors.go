package github

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/bradleyfalzon/ghinstallation/v2"
	gh "github.com/google/go-github/v66/github"
	"golang.org/x/oauth2"

	"openinspect/session"
)

// problem turns an error of the API into one of ours. sentence is for a person, where GitHub refused what was asked; "" takes GitHub's own words.
func problem(op string, err error, sentence string) error {
	if err == nil {
		return nil
	}
	code, words := session.Unavailable, "GitHub does not answer. Please try again in a few minutes."
	status, message := answer(err)
	switch {
	case limited(err) != nil:
		words = limited(err).sentence()
	case status == 0:
	case status >= 500:
		words = fmt.Sprintf("GitHub does not work properly right now (it answered %d). Please try again in a few minutes.", status)
	case status == http.StatusUnauthorized:
		code, words = session.Forbidden, "GitHub refused the bot's credentials ("+message+"). Whoever runs the bot has to check them."
	case status == http.StatusForbidden:
		code, words = session.Forbidden, "GitHub refused: "+message+"."
	case status == http.StatusNotFound:
		code, words = session.NotFound, "GitHub does not know it, or we may not see it."
	case status == http.StatusConflict, status == http.StatusMethodNotAllowed:
		code, words = session.Conflict, "GitHub refused: "+message+"."
	default:
		code, words = session.Invalid, "GitHub refused: "+message+"."
	}
	if sentence != "" && code != session.Unavailable {
		words = sentence
	}
	return &session.Error{Code: code, Op: op, Message: words, Err: err}
}

// badKey is what a person is told when GitHub does not know the App by its key.
const badKey = "GitHub does not accept the App's key. Whoever runs the bot has to check GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY."

// appProblem is problem for what is asked as the App about a repository: sentence tells what people of the repository can mend.
func appProblem(op string, r session.Repo, err error, sentence string) error {
	switch status, message := answer(err); {
	case status == http.StatusUnauthorized:
		sentence = badKey
	case status == http.StatusForbidden && strings.Contains(message, "suspended"):
		sentence = "The GitHub App's installation on `" + r.Owner + "` is suspended. An owner of it can lift that on GitHub, under Settings, GitHub Apps."
	}
	return problem(op, err, sentence)
}

// answer returns the status and words of GitHub's refusal; 0 when there was no answer.
func answer(err error) (int, string) {
	if e, ok := errors.AsType[*gh.ErrorResponse](err); ok && e.Response != nil {
		words := []string{}
		for _, d := range e.Errors {
			if d.Message != "" {
				words = append(words, d.Message)
			} else if d.Field != "" {
				words = append(words, fmt.Sprintf("%s is %s", d.Field, d.Code))
			}
		}
		if len(words) == 0 {
			words = []string{e.Message}
		}
		return e.Response.StatusCode, session.OneLine(strings.TrimSuffix(strings.Join(words, "; "), "."), 300)
	}
	if e, ok := errors.AsType[*ghinstallation.HTTPError](err); ok && e.Response != nil {
		return e.Response.StatusCode, "the GitHub App has no access"
	}
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok && e.Response != nil {
		return e.Response.StatusCode, session.OneLine(e.ErrorCode, 60)
	}
	return 0, ""
}
