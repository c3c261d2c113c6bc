package sandbox

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// patchLimit is how long a runner may take to make a patch and send it, and maxPatches how many of them are taken at a time: each is in memory meanwhile.
const (
	patchLimit = time.Minute
	maxPatches = 4
)

// takePatch keeps what a checkout has beyond a commit. It is best effort: there may be none the next time it is needed.
func (m *Manager) takePatch(ctx context.Context, a *attachment, from string) {
	ctx, cancel := context.WithTimeout(ctx, patchLimit)
	defer cancel()
	l := a.link()
	if l == nil {
		return
	}
	select {
	case m.patching <- struct{}{}:
		defer func() { <-m.patching }()
	case <-ctx.Done():
	}
	body, err := a.askPatch(ctx, l, from)
	if err == nil {
		err = m.c.Archive.KeepPatch(ctx, a.req.Session, from, body)
	}
	if err != nil {
		m.c.Report(a.req.Session, "keep a patch", err)
	}
}

// askPatch asks a runner for a patch; nil if there is nothing in it.
func (a *attachment) askPatch(ctx context.Context, l *link.Link, from string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://runner/patch?"+url.Values{"from": {from}}.Encode(), nil)
	if err != nil {
		return nil, err
	}
	silent := func(err error) error {
		return &session.Error{Code: session.Unavailable, Message: "The sandbox did not hand over what is not committed.", Err: err}
	}
	resp, err := l.Client().Do(req)
	if err != nil {
		return nil, silent(err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusNoContent:
		return nil, nil
	case http.StatusOK:
	default:
		return nil, a.problem(resp)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, link.MaxPatch+1))
	switch {
	case err != nil:
		return nil, silent(err)
	case len(body) > link.MaxPatch:
		return nil, session.Errorf(session.Invalid, "What is not committed is larger than %d MiB.", link.MaxPatch>>20)
	}
	return body, nil
}

// keptPatch tells which patch is kept of a session.
func (m *Manager) keptPatch(ctx context.Context, id session.ID) (*session.Patch, error) {
	from, body, err := m.c.Archive.Patch(ctx, id)
	if err != nil && session.CodeOf(err) != session.NotFound {
		return nil, err
	}
	return &session.Patch{From: from, Size: len(body)}, nil
}

// handOutPatch hands out the patch that is kept of the session, if it goes with the commit that its checkout goes on from.
func (a *attachment) handOutPatch(w http.ResponseWriter, r *http.Request) error {
	if !a.req.Patch {
		return session.Errorf(session.NotFound, "The bot holds no patch of this session.")
	}
	from, body, err := a.m.c.Archive.Patch(r.Context(), a.req.Session)
	switch {
	case err != nil:
		a.m.c.Report(a.req.Session, "hand out a patch", err)
		return err
	case from != a.req.Collected:
		w.WriteHeader(http.StatusNoContent)
	default:
		_, _ = w.Write(body) // the runner may be gone
	}
	return nil
}
