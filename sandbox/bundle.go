package sandbox

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// How long a bundle may take to begin, which is when the runner has made it, and how long the rest of it may stand still, on the session's clock.
const (
	bundleBegins = 6 * time.Minute
	bundleStalls = time.Minute
)

// Bundle implements session.Sandboxes. The reader fails with Invalid when the bundle has more than 100 MiB; ctx bounds reading too, and so does
// Unavailable for one that stands still.
func (m *Manager) Bundle(ctx context.Context, id session.ID, have []string) (io.ReadCloser, error) {
	const op = "sandbox.Bundle"
	a, l, err := m.connected(ctx, id)
	if err != nil {
		return nil, session.Wrap(op, err)
	}
	q := url.Values{"have": {strings.Join(have, ",")}}
	ctx, cancel := context.WithCancel(ctx)
	wait := func(d time.Duration) func() bool { return m.c.Clock.AfterFunc(d, cancel) }
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://runner/bundle?"+q.Encode(), nil)
	if err != nil {
		cancel()
		return nil, session.Wrap(op, err)
	}
	stop := wait(bundleBegins)
	resp, err := l.Client().Do(req)
	stop()
	if err != nil {
		cancel()
		return nil, &session.Error{Code: session.Unavailable, Op: op, Message: "The sandbox did not hand over its commits.", Err: err}
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return &bundle{ReadCloser: resp.Body, left: link.MaxBundle, ctx: ctx, wait: wait, cancel: cancel}, nil
	case http.StatusNoContent:
		resp.Body.Close()
		cancel()
		return nil, nil
	}
	defer cancel()
	defer resp.Body.Close()
	return nil, session.Wrap(op, a.problem(resp))
}

// bundle reads at most left bytes, and fails when there are more.
type bundle struct {
	io.ReadCloser
	left   int64
	ctx    context.Context
	wait   func(time.Duration) (stop func() bool)
	cancel context.CancelFunc
}

func (b *bundle) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

func (b *bundle) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	stop := b.wait(bundleStalls)
	n, err := b.ReadCloser.Read(p)
	stop()
	if b.ctx.Err() != nil && errors.Is(err, io.EOF) {
		err = b.ctx.Err() // closing a stream ends what its other end is still sending, which then looks whole
	}
	if b.left -= int64(n); b.left < 0 {
		return 0, session.Errorf(session.Invalid, "The commits of this session are larger than %d MiB together.", link.MaxBundle>>20)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = &session.Error{Code: session.Unavailable, Op: "sandbox.Bundle", Message: "The sandbox broke off while it handed over its commits.", Err: err}
	}
	return n, err
}
