package github

import (
	"regexp"
	"strings"

	"openinspect/session"
)

// httpStatus is how git tells that a remote answered with an error.
var httpStatus = regexp.MustCompile(`returned error: (\d{3})`)

// remoteProblem turns git's words about a remote into a sentence for a person. then is what to do once somebody has mended what only people
// can; what mends itself is worth another try.
func remoteProblem(op string, r session.Repo, then string, err error) error {
	if code := session.CodeOf(err); err == nil || code == session.Invalid || code == session.Unavailable {
		return err // the bounds of git and of the disk, which have words of their own
	}
	words := said(err)
	status := ""
	if m := httpStatus.FindStringSubmatch(words); m != nil {
		status = m[1]
	}
	has := func(any ...string) bool {
		for _, s := range any {
			if strings.Contains(words, s) {
				return true
			}
		}
		return false
	}
	code, sentence := session.Unavailable, "GitHub could not be reached. Please try again in a few minutes."
	switch {
	case has("not our ref", "did not send all necessary objects"):
		code, sentence = session.Invalid, "The commits name files that neither came with them nor are on GitHub, so they were not taken. Ask the agent to commit its work anew."
	case status == "429", has("rate limit"):
		sentence = "GitHub limits how often the bot may fetch and push, and the limit is reached. Please try again in a few minutes."
	case strings.HasPrefix(status, "5"):
		sentence = "GitHub does not work properly right now (it answered " + status + "). Please try again in a few minutes."
	case status == "301":
		code, sentence = session.NotFound, "`"+r.String()+"` has another name on GitHub now, which the bot could not find out. Please try again in a few minutes."
	case status == "404", has("Repository not found", "not found"):
		code, sentence = session.NotFound, "The GitHub App cannot see `"+r.String()+"` any more. Install it there again, or check whether the repository was renamed or deleted. "+then
	case status == "403":
		code, sentence = session.Forbidden, "GitHub refused the bot access to `"+r.String()+"`"+quoted(words)+". Check that the App is installed there with write access to contents. "+then
	case status == "401", has("Authentication failed", "could not read Username"):
		sentence = "GitHub did not take the token that it had just given the bot. Please try again in a few minutes."
	case has("too slow"):
		sentence = "GitHub stopped answering in the middle. Please try again in a few minutes."
	case has("early EOF", "unexpected disconnect", "hung up", "RPC failed", "transfer closed", "Empty reply", "reset by peer", "invalid index-pack output", "premature end"):
		sentence = "The connection to GitHub broke off. Please try again in a few minutes."
	}
	return &session.Error{Code: code, Op: op, Message: sentence, Err: err}
}

// quoted is what the remote itself said, in brackets; "" if it said nothing.
func quoted(words string) string {
	if s := spoken(words); s != "" {
		return " (" + strings.TrimSuffix(s, ".") + ")"
	}
	return ""
}

// spoken is what the remote said for people to read, on one line.
func spoken(words string) string {
	var lines []string
	for line := range strings.Lines(words) {
		if s, ok := strings.CutPrefix(strings.TrimSpace(line), "remote:"); ok {
			if s = strings.Trim(s, " \t-—"); s != "" {
				lines = append(lines, s)
			}
		}
	}
	return session.OneLine(strings.Join(lines, " "), 300)
}

// pushProblem turns git's words into a sentence for the person who approved.
func pushProblem(r session.OpenRequest, err error) error {
	if err == nil {
		return nil
	}
	words, repo := said(err), "`"+r.Repo.String()+"`"
	has := func(any ...string) bool {
		for _, s := range any {
			if strings.Contains(words, s) {
				return true
			}
		}
		return false
	}
	var code session.Code
	var sentence string
	switch {
	case has("without `workflows` permission"):
		code, sentence = session.Forbidden, "The changes touch `.github/workflows`, which the GitHub App may not push. Ask the agent to leave workflows alone, or make that part of the change yourself."
	case has("PUSH PROTECTION", "Push cannot contain secrets"):
		code, sentence = session.Forbidden, "GitHub's push protection found what looks like a secret in the commits and refused them. Ask the agent to take it out of its commits; deleting it in a later commit is not enough."
	case has("GH008", "unknown Git LFS object"):
		code, sentence = session.Forbidden, "The commits hold pointers to files in Git LFS that GitHub does not have, because nothing is uploaded from a sandbox. Ask the agent to commit the files themselves, without LFS; or add them to the branch yourself."
	case has("GH001", "file size limit"):
		code, sentence = session.Forbidden, "GitHub refused a file as too large"+ruled(words)+" Ask the agent to leave it out of its commits; deleting it in a later commit is not enough."
	case has("verified signature", "signed commits", "signature"):
		code, sentence = session.Forbidden, repo+" requires signed commits, which the bot cannot make. Ask an administrator to except the branches `inspect/**` from that rule, then react again."
	case has("stale info", "fetch first", "non-fast-forward"):
		code, sentence = session.Conflict, "The branch `"+r.Branch+"` was changed on GitHub by somebody else, so nothing was pushed. Bring those changes into this thread's branch, or delete the branch, then react again."
	case has("protected branch", "GH006", "GH013", "rule violations", "hook declined"):
		code, sentence = session.Forbidden, "A rule of "+repo+" refuses the push"+ruled(words)+" Ask an administrator to except the branches `inspect/**`, or the agent to keep to the rule."
	case has("did not receive expected object", "missing necessary objects", "unpacker error", "unpack failed"):
		code, sentence = session.Invalid, "GitHub could not unpack the commits, so nothing was pushed. Ask the agent to commit its work anew."
	case has("archived"):
		code, sentence = session.Forbidden, repo+" is archived, so nothing can be pushed to it."
	case has("[remote rejected]", "[rejected]"):
		code, sentence = session.Conflict, "GitHub refused the push"+ruled(words)
	default:
		return remoteProblem("github.push", r.Repo, "Then react again.", err)
	}
	return &session.Error{Code: code, Op: "github.push", Message: sentence, Err: err}
}

// rejection is why a ref was refused, as push --porcelain prints it.
var rejection = regexp.MustCompile(`\[(?:remote )?rejected\] \((.+)\)`)

// ruled is what the remote said about its rule, or else the word that git has for the refusal.
func ruled(words string) string {
	s := spoken(words)
	if m := rejection.FindStringSubmatch(words); s == "" && m != nil {
		s = session.OneLine(m[1], 300)
	}
	if s == "" {
		return "."
	}
	return ": " + strings.TrimSuffix(s, ".") + "."
}
