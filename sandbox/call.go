package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// Limits on a call to a runner, in real time: waiting for a link, and for the whole answer.
const (
	linkLimit = 5 * time.Second
	callLimit = 30 * time.Second
)

// maxAnswer is how many bytes of an answer are read where only a few are expected.
const maxAnswer = 64 << 10

// connected waits shortly for the session's link.
func (m *Manager) connected(ctx context.Context, id session.ID) (*attachment, *link.Link, error) {
	a := m.attached(id)
	if a == nil {
		return nil, nil, session.Errorf(session.Unavailable, "The sandbox is not connected.")
	}
	ctx, cancel := context.WithTimeout(ctx, linkLimit)
	defer cancel()
	l, err := a.linked(ctx)
	return a, l, err
}

// Prompt implements session.Sandboxes.
func (m *Manager) Prompt(ctx context.Context, id session.ID, d session.Delivery) error {
	const op = "sandbox.Prompt"
	a, l, err := m.connected(ctx, id)
	if err != nil {
		return session.Wrap(op, err)
	}
	for n, f := range d.Files {
		if err := m.putFile(ctx, a, l, id, d.ID, n, f); err != nil {
			return session.Wrap(op, err)
		}
	}
	a.notePrompt(d.ID)
	d.Log = m.c.LogURL(id)
	return session.Wrap(op, a.post(ctx, l, "http://runner/prompts", d))
}

// fileLimit is how long a runner may take to take a file.
const fileLimit = 2 * time.Minute

// putFile brings the nth file of a prompt to the runner.
func (m *Manager) putFile(ctx context.Context, a *attachment, l *link.Link, id session.ID, promptID string, n int, f session.File) error {
	body, err := m.c.Store.File(ctx, id, f.Hash)
	if err != nil {
		return &session.Error{Code: session.CodeOf(err), Message: "The attached file " + f.Name + " is not there any more. Please attach it again.", Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, fileLimit)
	defer cancel()
	q := url.Values{"prompt": {promptID}, "n": {strconv.Itoa(n)}, "name": {f.Name}}
	return a.do(ctx, l, http.MethodPut, "http://runner/files?"+q.Encode(), bytes.NewReader(body), nil)
}

// Stop implements session.Sandboxes.
func (m *Manager) Stop(ctx context.Context, id session.ID, promptID string) error {
	const op = "sandbox.Stop"
	a, l, err := m.connected(ctx, id)
	if err != nil {
		return session.Wrap(op, err)
	}
	err = a.post(ctx, l, "http://runner/stop", link.Stop{PromptID: promptID})
	switch session.CodeOf(err) {
	case session.NotFound, session.Conflict: // that one does not run
		return nil
	case "", session.Invalid, session.Forbidden, session.Unavailable, session.Internal:
	}
	return session.Wrap(op, err)
}

// status asks a runner how it is; five seconds of real time are enough for an answer.
func (a *attachment) status(ctx context.Context, l *link.Link) (link.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	var st link.Status
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://runner/status", nil)
	if err == nil {
		err = a.answer(req, l.Stream, &st) // a link that is idle is asked nothing else, and is not to keep a connection for it
	}
	return st, err
}

func (a *attachment) post(ctx context.Context, l *link.Link, url string, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	return a.do(ctx, l, http.MethodPost, url, bytes.NewReader(b), nil)
}

// do makes one small call.
func (a *attachment) do(ctx context.Context, l *link.Link, method, url string, body io.Reader, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return a.answer(req, l.Client().Do, answer)
}

// answer sends a request and decodes the answer's body into answer unless that is nil.
func (a *attachment) answer(req *http.Request, send func(*http.Request) (*http.Response, error), answer any) error {
	resp, err := send(req)
	if err != nil {
		return &session.Error{Code: session.Unavailable, Message: "The sandbox did not answer.", Err: err}
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return a.problem(resp)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err == nil && answer != nil {
		err = json.Unmarshal(b, answer)
	}
	if err != nil {
		return &session.Error{Code: session.Unavailable, Message: "The sandbox's answer cannot be read.", Err: err}
	}
	return nil
}

// problem turns a refusal into an error. Its sentence is the sandbox's, so it is redacted and kept to one line.
func (a *attachment) problem(resp *http.Response) error {
	code := session.Internal
	switch resp.StatusCode {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		code = session.Invalid
	case http.StatusForbidden, http.StatusUnauthorized:
		code = session.Forbidden
	case http.StatusNotFound:
		code = session.NotFound
	case http.StatusConflict:
		code = session.Conflict
	case http.StatusTooEarly, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		code = session.Unavailable
	}
	var p link.Problem
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil || json.Unmarshal(b, &p) != nil || p.Message == "" {
		return session.Errorf(code, "The sandbox answered with status %d.", resp.StatusCode)
	}
	return session.Errorf(code, "%s", session.OneLine(a.m.c.Redactor.String(p.Message), 300))
}
