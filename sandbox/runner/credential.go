package runner

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// GitCredential is the command "runner git-credential": git's credential helper (gitcredentials(7)). It answers get with a read token of
// the session's repository that the bot mints; store and erase only read their input, for nothing is kept. When there is no credential
// it writes nothing to out and returns an error whose sentence belongs on standard error.
func GitCredential(ctx context.Context, socket, operation string, in io.Reader, out io.Writer) error {
	const op = "runner.GitCredential"
	var q link.CredentialRequest
	lines := bufio.NewScanner(io.LimitReader(in, 64<<10))
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), "=")
		switch key {
		case "protocol":
			q.Protocol = value
		case "host":
			q.Host = value
		case "path":
			q.Path = value
		}
	}
	if err := lines.Err(); err != nil {
		return session.Wrap(op, err)
	}
	if operation != "get" {
		return nil
	}
	if q.Protocol == "" || q.Host == "" {
		return session.Errorf(session.Invalid, "git did not say what it needs a credential for.")
	}
	var c link.Credential
	if err := callInside(ctx, socket, "/git/credential", q, &c); err != nil {
		return session.Wrap(op, err)
	}
	if c.Username == "" || c.Password == "" || strings.ContainsAny(c.Username+c.Password, "\n\x00") {
		return session.Errorf(session.Unavailable, "The bot had no credential to give.")
	}
	// Not when it expires: git throws away what has expired by the sandbox's clock, which may be hours off.
	_, err := fmt.Fprintf(out, "username=%s\npassword=%s\n", c.Username, c.Password)
	return session.Wrap(op, err)
}
