package runner

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// How long a call of the sandbox's own programs may wait for the bot.
const (
	toolTimeout       = 50 * time.Second // the agent's client gives a tool up after 60
	credentialTimeout = 2 * time.Minute  // a clone may begin before the bot has dialled
	askAgain          = 100 * time.Millisecond
)

// insideHandler serves the inside socket: what the sandbox's own programs may ask of the bot.
func (r *runner) insideHandler() http.Handler {
	mux := http.NewServeMux()
	for _, t := range toolNames {
		mux.HandleFunc("POST /tools/"+t, func(w http.ResponseWriter, q *http.Request) { r.forward(w, q, "/tools/"+t, toolTimeout) })
	}
	mux.HandleFunc("POST /tools/"+toolUpload, r.upload)
	mux.HandleFunc("POST /git/credential", r.credential)
	return mux
}

// credential asks the bot for a read token. The bot gives one for the session's repository alone, whatever that is called by now.
func (r *runner) credential(w http.ResponseWriter, q *http.Request) {
	var c link.CredentialRequest
	if err := readBody(w, q, link.MaxToolBody, &c); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	u, err := url.Parse(r.cfg.Boot.CloneURL)
	if err != nil || u.Host == "" || c.Protocol != u.Scheme || !strings.EqualFold(c.Host, u.Host) {
		refuse(w, http.StatusForbidden, session.Errorf(session.Forbidden, "There is no credential for %s://%s in this sandbox.", c.Protocol, c.Host))
		return
	}
	if c.Path == "" {
		c.Path = strings.TrimPrefix(u.Path, "/")
	}
	b, err := json.Marshal(c)
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	q.Body = io.NopCloser(bytes.NewReader(b))
	r.forward(w, q, "/git/credential", credentialTimeout)
}

// forward passes a request to the bot and its answer back.
func (r *runner) forward(w http.ResponseWriter, q *http.Request, path string, timeout time.Duration) {
	r.forwardUpTo(w, q, path, timeout, link.MaxToolBody)
}

func (r *runner) forwardUpTo(w http.ResponseWriter, q *http.Request, path string, timeout time.Duration, limit int64) {
	body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, limit))
	if err != nil {
		refuse(w, http.StatusBadRequest, session.Errorf(session.Invalid, "This is too long: at most %d bytes are taken.", limit))
		return
	}
	ctx, cancel := context.WithTimeout(q.Context(), timeout)
	defer cancel()
	answer, status, err := r.ask(ctx, path, rand.Text(), body)
	if err != nil {
		refuse(w, link.StatusOf(session.CodeOf(err)), err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(answer) // the caller may be gone
}

// ask calls the bot over the link that is up, or comes up in time. A bot that ends before it has answered is asked again when it is back; it
// knows by the call's id what it has done already.
func (r *runner) ask(ctx context.Context, path, call string, body []byte) ([]byte, int, error) {
	for {
		rt, err := r.bot.Link(ctx)
		if err != nil {
			return nil, 0, err
		}
		answer, status, err := post(ctx, rt, "http://bot"+path, call, body)
		if err == nil && status != http.StatusServiceUnavailable {
			return answer, status, nil
		}
		again := time.NewTimer(askAgain)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return answer, status, err
		}
	}
}

func post(ctx context.Context, rt http.RoundTripper, to, call string, body []byte) ([]byte, int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	if call != "" {
		req.Header.Set(link.HeaderCall, call)
	}
	resp, err := rt.RoundTrip(req)
	if err == nil {
		defer resp.Body.Close()
		var answer []byte
		if answer, err = io.ReadAll(io.LimitReader(resp.Body, link.MaxToolBody)); err == nil {
			return answer, resp.StatusCode, nil
		}
	}
	return nil, 0, &session.Error{Code: session.Unavailable, Op: "runner.post", Message: "The bot did not answer; try again in a minute.", Err: err}
}

// callInside makes a call on the inside socket, from another process of the sandbox, and decodes the answer.
func callInside(ctx context.Context, socket, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	transport := &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dialUnix(ctx, socket) },
		DisableKeepAlives: true,
	}
	answer, status, err := post(ctx, transport, "http://runner"+path, "", body)
	if err != nil {
		return err
	}
	if status/100 != 2 {
		return refusal(answer, status)
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return &session.Error{Code: session.Unavailable, Op: "runner.callInside", Message: "The bot's answer cannot be read.", Err: err}
	}
	return nil
}
