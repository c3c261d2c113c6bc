package sandbox

import (
	"context"
	"sync"

	"openinspect/session"
)

// PrebuiltStore remembers what is known of repositories' images.
type PrebuiltStore interface {
	// Prebuilt returns what is known of a repository's; NotFound if nothing is.
	Prebuilt(ctx context.Context, r session.Repo) (session.Prebuilt, error)
	// Prebuilts returns all by repository.
	Prebuilts(ctx context.Context) ([]session.Prebuilt, error)
	PutPrebuilt(ctx context.Context, p session.Prebuilt) error
}

// prebuiltRecords is a PrebuiltStore, which may be nil, with one writer at a time: a build, a person's switch and a start that fails change the same record.
type prebuiltRecords struct {
	store PrebuiltStore
	mu    sync.Mutex
}

// get returns what is known of a repository's image; of one of which nothing is known, its name alone.
func (pr *prebuiltRecords) get(ctx context.Context, r session.Repo) (session.Prebuilt, error) {
	if pr.store == nil {
		return session.Prebuilt{Repo: r}, nil
	}
	p, err := pr.store.Prebuilt(ctx, r)
	if session.CodeOf(err) == session.NotFound {
		return session.Prebuilt{Repo: r}, nil
	}
	return p, err
}

// update changes a record, unless f says that there is nothing to change.
func (pr *prebuiltRecords) update(ctx context.Context, r session.Repo, f func(*session.Prebuilt) bool) error {
	if pr.store == nil {
		return nil
	}
	pr.mu.Lock()
	defer pr.mu.Unlock()
	p, err := pr.get(ctx, r)
	if err != nil || !f(&p) {
		return err
	}
	return pr.store.PutPrebuilt(ctx, p)
}

// Why nothing begins from an image any more, beside what a provider says.
const (
	neverReady   = "No sandbox became ready from it."
	doesNotExist = "It does not exist any more."
)

// markBad has nothing begin from an image any more, if it is still the repository's.
func (m *Manager) markBad(ctx context.Context, r session.Repo, image, why string) {
	if image == "" || r == (session.Repo{}) {
		return
	}
	err := m.prebuilts.update(ctx, r, func(p *session.Prebuilt) bool {
		if p.Image != image || p.Bad != "" {
			return false
		}
		p.Bad = why
		return true
	})
	if err != nil {
		m.c.Report("", "give up an image", err)
	}
}
