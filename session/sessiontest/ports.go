package sessiontest

import (
	"context"
	"io"
	"strings"
	"sync"

	"openinspect/session"
)

// World is a recording session.Sandboxes and session.Forge. The zero value agrees to everything; the hooks change that. Calls lists
// what was asked, such as "start inspect-abcdefghij-1", in order.
type World struct {
	OnStart   func(session.StartRequest) (session.Begun, error)
	OnAttach  func(session.AttachRequest, session.Send) error
	OnPrompt  func(session.ID, session.Delivery) error
	OnSuspend func(session.Handle) (image string, err error)
	OnKeep    func(session.KeepRequest) (session.Kept, error) // of a sandbox that goes on
	OnCollect func(session.CollectRequest) (*session.Changes, error)
	OnOpen    func(session.OpenRequest) (session.PullRequest, error)
	OnReview  func(session.ReviewRequest) (session.Review, error)
	OnMerge   func(session.MergeRequest) (commit string, err error)

	mu     sync.Mutex
	calls  []string
	called chan struct{}
}

var (
	_ session.Sandboxes = (*World)(nil)
	_ session.Forge     = (*World)(nil)
)

func (w *World) record(words ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, strings.Join(words, " "))
	if w.called != nil {
		close(w.called)
		w.called = nil
	}
}

// Calls returns what was asked so far.
func (w *World) Calls() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.calls...)
}

// Await blocks until one of the calls begins with prefix, or ctx ends.
func (w *World) Await(ctx context.Context, prefix string) error {
	for {
		w.mu.Lock()
		for _, c := range w.calls {
			if strings.HasPrefix(c, prefix) {
				w.mu.Unlock()
				return nil
			}
		}
		if w.called == nil {
			w.called = make(chan struct{})
		}
		called := w.called
		w.mu.Unlock()
		select {
		case <-called:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (w *World) Start(_ context.Context, r session.StartRequest) (session.Begun, error) {
	w.record("start", r.Name, r.Start)
	if w.OnStart != nil {
		return w.OnStart(r)
	}
	return BegunAs(r), nil
}

// BegunAs is the sandbox that was asked for.
func BegunAs(r session.StartRequest) session.Begun {
	return session.Begun{Handle: session.Handle{Provider: "test", Name: r.Name, ID: r.Start}, Start: r.Start, Mode: r.Mode}
}

func (w *World) Attach(_ context.Context, r session.AttachRequest, send session.Send) error {
	w.record("attach", r.Start)
	if w.OnAttach != nil {
		return w.OnAttach(r, send)
	}
	return nil
}

func (w *World) Prompt(_ context.Context, id session.ID, d session.Delivery) error {
	w.record("prompt", d.ID)
	if w.OnPrompt != nil {
		return w.OnPrompt(id, d)
	}
	return nil
}

func (w *World) Stop(_ context.Context, _ session.ID, promptID string) error {
	w.record("stop", promptID)
	return nil
}

func (w *World) Bundle(context.Context, session.ID, []string) (io.ReadCloser, error) {
	w.record("bundle")
	return nil, nil
}

func (w *World) Keep(_ context.Context, _ session.ID, r session.KeepRequest) (session.Kept, error) {
	if !r.End {
		w.record("snapshot", r.Name)
		if w.OnKeep != nil {
			return w.OnKeep(r)
		}
		return session.Kept{Image: r.Name}, nil
	}
	w.record("suspend", r.Name)
	if w.OnSuspend != nil {
		image, err := w.OnSuspend(r.Handle)
		return session.Kept{Image: image}, err
	}
	return session.Kept{Image: r.Name}, nil
}

func (w *World) Collect(_ context.Context, r session.CollectRequest, _ session.Bundler) (*session.Changes, error) {
	w.record("collect", r.Repo.String())
	if w.OnCollect != nil {
		return w.OnCollect(r)
	}
	return nil, nil
}

func (w *World) Open(_ context.Context, r session.OpenRequest) (session.PullRequest, error) {
	w.record("open", r.Card)
	if w.OnOpen != nil {
		return w.OnOpen(r)
	}
	return session.PullRequest{Number: 1, Title: r.Title, Repo: r.Repo, Branch: r.Branch, Base: r.Base, Commit: r.Commit, State: session.PullOpen, OpenedBy: r.By}, nil
}

func (w *World) Review(_ context.Context, r session.ReviewRequest) (session.Review, error) {
	w.record("review", r.Commit)
	if w.OnReview != nil {
		return w.OnReview(r)
	}
	return session.Review{By: *r.By.GitHub, State: session.ReviewApproved, Commit: r.Commit, Writes: true}, nil
}

func (w *World) Merge(_ context.Context, r session.MergeRequest) (string, error) {
	w.record("merge", r.Commit)
	if w.OnMerge != nil {
		return w.OnMerge(r)
	}
	return "fedcba9876543210", nil
}
