package github

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/bradleyfalzon/ghinstallation/v2"
	gh "github.com/google/go-github/v66/github"

	"openinspect/session"
)

// problem turns an error of the API into one of ours. sentence is for a person; "" takes GitHub's own words.
func problem(op string, err error, sentence string) error {
	if err == nil {
		return nil
	}
	code, words := session.Unavailable, "GitHub does not answer. Please try again in a few minutes."
	switch status, message := answer(err); {
	case limited(err):
		words = "GitHub limits how often we may ask, and the limit is reached. Please try again in a few minutes."
	case status == 0, status >= 500:
	case status == http.StatusUnauthorized:
		code, words = session.Forbidden, "GitHub refused the credentials ("+message+")."
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
		return e.Response.StatusCode, strings.TrimSuffix(strings.Join(words, "; "), ".")
	}
	if e, ok := errors.AsType[*ghinstallation.HTTPError](err); ok && e.Response != nil {
		return e.Response.StatusCode, "the GitHub App has no access"
	}
	return 0, ""
}

// limited reports whether err is one of GitHub's rate limits. go-github knows those that come with 403; with 429 they are plain errors.
func limited(err error) bool {
	if _, ok := errors.AsType[*gh.RateLimitError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*gh.AbuseRateLimitError](err); ok {
		return true
	}
	status, _ := answer(err)
	return status == http.StatusTooManyRequests
}
