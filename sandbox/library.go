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

// library is a PrebuiltStore with one writer at a time: a build, a person's switch and a start that fails change the same record.
type library struct {
	store PrebuiltStore
	mu    sync.Mutex
}

// of returns what is known of a repository's image; of one of which nothing is known, its name alone.
func (l *library) of(ctx context.Context, r session.Repo) (session.Prebuilt, error) {
	if l.store == nil {
		return session.Prebuilt{Repo: r}, nil
	}
	p, err := l.store.Prebuilt(ctx, r)
	if session.CodeOf(err) == session.NotFound {
		return session.Prebuilt{Repo: r}, nil
	}
	return p, err
}

// change changes a record, unless f says that there is nothing to change.
func (l *library) change(ctx context.Context, r session.Repo, f func(*session.Prebuilt) bool) error {
	if l.store == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	p, err := l.of(ctx, r)
	if err != nil || !f(&p) {
		return err
	}
	return l.store.PutPrebuilt(ctx, p)
}
