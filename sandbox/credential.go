package sandbox

import (
	"context"
	"net/url"
	"strings"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// credential answers git's helper, for the session's own repository and no other.
func (a *attachment) credential(ctx context.Context, q link.CredentialRequest) (link.Credential, error) {
	refused := session.Errorf(session.Forbidden, "This sandbox may read %s alone.", orNothing(a.req.Repo))
	clone := a.m.c.CloneURL
	if a.req.Repo == (session.Repo{}) || !sameHost(q, clone(a.req.Repo)) {
		return link.Credential{}, refused
	}
	// One at a time, and the same again while it is good: asking is free for a sandbox, and making one counts against our limits at GitHub.
	select {
	case a.minting <- struct{}{}:
		defer func() { <-a.minting }()
	case <-ctx.Done():
		return link.Credential{}, ctx.Err()
	}
	fresh := a.credit.Password != "" && a.m.c.Clock.Now().Add(credentialLeft).Before(a.credit.Expires)
	switch same := a.asksForOwn(q); {
	case fresh && !same:
		return link.Credential{}, refused
	case fresh:
		return a.credit, nil
	}
	user, password, expires, err := a.m.c.Credentials.Clone(ctx, a.req.Repo)
	if err != nil {
		a.m.c.Report(a.req.Session, "git credential", err)
		return link.Credential{}, err
	}
	a.m.c.Redactor.Learn(password)
	a.credit = link.Credential{Username: user, Password: password, Expires: expires}
	if !a.asksForOwn(q) { // nor is it what the repository turned out to be called
		return link.Credential{}, refused
	}
	return a.credit, nil
}

// asksForOwn reports whether git asks for the session's repository, under the name that the session knows or the one that it has now.
func (a *attachment) asksForOwn(q link.CredentialRequest) bool {
	u, err := url.Parse(a.m.c.CloneURL(a.req.Repo))
	return err == nil && (sameRepo(q.Path, u.Path) || sameRepo(q.Path, a.req.Repo.String()))
}

// credentialLeft is how long a credential that is handed out again is good at least.
const credentialLeft = 3 * time.Minute

func orNothing(r session.Repo) string {
	if r == (session.Repo{}) {
		return "no repository"
	}
	return r.String()
}

// sameHost reports whether git asks for something where a repository is.
func sameHost(q link.CredentialRequest, clone string) bool {
	u, err := url.Parse(clone)
	return err == nil && q.Protocol == u.Scheme && strings.EqualFold(q.Host, u.Host)
}

// sameRepo compares paths of repositories. GitHub's names do not know case.
func sameRepo(a, b string) bool {
	plain := func(path string) string { return strings.TrimSuffix(strings.Trim(path, "/"), ".git") }
	return strings.EqualFold(plain(a), plain(b))
}
