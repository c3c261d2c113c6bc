package runner

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"
)

// rehearseLimit bounds a rehearsal: it takes half a second.
const rehearseLimit = 10 * time.Second

// rehearse has the agent of a sandbox that is nobody's go through a prompt: what it loads for its first one takes it longer than all the rest. Its calls
// of models go nowhere, also if the sandbox becomes somebody's meanwhile.
func (r *runner) rehearse(ctx context.Context) {
	a, ok := r.cfg.Agent.(Rehearser)
	r.mu.Lock()
	if !ok || r.claimed.Session != "" {
		r.mu.Unlock()
		return
	}
	r.rehearsing = true
	r.models.set(noModels{})
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, rehearseLimit)
	defer cancel()
	a.Rehearse(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rehearsing = false
	r.connected()
}

// noModels answers calls of models in a rehearsal.
type noModels struct{}

// RoundTrip implements http.RoundTripper.
func (noModels) RoundTrip(q *http.Request) (*http.Response, error) {
	if q.Body != nil {
		_ = q.Body.Close() // nobody reads it
	}
	const body = `{"type":"error","error":{"type":"permission_error","message":"This is a rehearsal."}}`
	return &http.Response{
		Status: "403 Forbidden", StatusCode: http.StatusForbidden, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: q,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}, nil
}
