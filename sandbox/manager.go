package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"openinspect/session"
)

// Store keeps small secrets sealed. Secret's error is NotFound for an unknown key; deleting one is no error.
type Store interface {
	PutSecret(ctx context.Context, key string, value []byte) error
	Secret(ctx context.Context, key string) ([]byte, error)
	DeleteSecret(ctx context.Context, key string) error
	// File returns the content of a file that somebody attached.
	File(ctx context.Context, id session.ID, hash string) ([]byte, error)
	// KeepFile stores what an agent shows and returns its hash. Invalid, with a sentence, if the session has had too many.
	KeepFile(ctx context.Context, id session.ID, content []byte) (hash string, err error)
}

// Credentials makes what git needs to read a repository: short-lived, and good for that repository alone.
type Credentials interface {
	Clone(ctx context.Context, r session.Repo) (username, password string, expires time.Time, err error)
}

// Commits has what was collected of sessions.
type Commits interface {
	// Held returns a bundle of a commit that was collected, as link.CollectedRef, with what the branch base lacks of its history; nil if base
	// has it. NotFound when it is not there any more. The caller closes it.
	Held(ctx context.Context, id session.ID, r session.Repo, base, commit string) (io.ReadCloser, error)
}

// Models serves a session's model calls. Paths are /model/PROVIDER/…; the session is asked before each and told of each after its answer.
type Models interface {
	Handler(id session.ID, send session.Send) http.Handler
}

// Archive has what is kept of sandboxes: it remembers images, because not every provider can list them, and keeps patches.
type Archive interface {
	// PutImage remembers an image, by its id; one that is known stays as it is.
	PutImage(ctx context.Context, i session.Image) error
	Images(ctx context.Context) ([]session.Image, error)
	// ForgetImage forgets one that was deleted, if it is there.
	ForgetImage(ctx context.Context, id string) error
	// KeepPatch keeps a session's patch in the place of the one before; an empty one is none. Invalid, with a sentence, if the session has no room for it.
	KeepPatch(ctx context.Context, id session.ID, from string, patch []byte) error
	// Patch returns it; NotFound if there is none.
	Patch(ctx context.Context, id session.ID) (from string, patch []byte, err error)
}

// Config is what a Manager works with.
type Config struct {
	// Required.
	Provider    Provider
	Store       Store
	Spares      SpareStore
	Archive     Archive
	Credentials Credentials
	Models      Models
	CloneURL    func(session.Repo) string // without credentials

	Prebuilt PrebuiltStore // nil: no repository has an image
	Commits  Commits       // nil: none are held
	Secrets  Secrets       // nil: repositories have none

	MaxWarm int                                // how many sandboxes may wait for sessions; 0: none
	Free    func(context.Context) (int, error) // how many may live beside those of sessions; nil: any number
	Patient time.Duration                      // with one that waits and is asked for, in real time; 0: a few seconds, then it is quicker to make another
	LogWarm func(sp session.Spare, did string) // takes, for the operator's log, what became of a sandbox that waits; nil: nobody does

	Clock    session.Clock                             // default: the computer's
	Redactor *session.Redactor                         // default: token shapes alone
	Live     func(session.ID, session.Delta)           // shows a delta, at once; nil: nobody does
	Report   func(id session.ID, op string, err error) // takes errors that nobody waits for; nil: nobody does
	LogURL   func(session.ID) string                   // of a session's log, unsigned; nil: there is none

	Bot          session.Author // committer of what a sandbox commits
	Catalogue    []byte         // models, in models.dev form
	Providers    []string       // model providers that Models serves
	SetupTimeout time.Duration  // of setup.sh; default 300 s
	StartTimeout time.Duration  // of start.sh; default 120 s
}

// Manager implements session.Sandboxes.
type Manager struct {
	c       Config
	ctx     context.Context // of everything that outlives a call
	cancel  context.CancelFunc
	breaker breaker

	prebuilts prebuiltRecords
	pool      *pool
	patching  chan struct{} // held while a runner's patch is taken
	dialing   chan struct{} // held while a runner is dialled: a start with a thousand sandboxes must not do all of it at once

	handedOutMu sync.Mutex          // held while values are noted that sandboxes get
	handedOut   map[string][]string // by secretsKey, oldest first

	mu        sync.Mutex
	links     map[session.ID]*attachment
	snapshots map[string]*snapshotState // by the provider's id of a sandbox
	closed    bool
}

var _ session.Sandboxes = (*Manager)(nil)

// New makes a manager. It starts nothing.
func New(c Config) (*Manager, error) {
	if c.Provider == nil || c.Store == nil || c.Spares == nil || c.Archive == nil || c.Credentials == nil || c.Models == nil || c.CloneURL == nil {
		return nil, session.Errorf(session.Internal, "a sandbox manager needs a provider, stores, credentials, models and clone URLs")
	}
	if c.Clock == nil {
		c.Clock = session.SystemClock{}
	}
	if c.Live == nil {
		c.Live = func(session.ID, session.Delta) {}
	}
	if c.Report == nil {
		c.Report = func(session.ID, string, error) {}
	}
	if c.LogWarm == nil {
		c.LogWarm = func(session.Spare, string) {}
	}
	if c.Redactor == nil {
		c.Redactor = session.NewRedactor()
	}
	if c.LogURL == nil {
		c.LogURL = func(session.ID) string { return "" }
	}
	if c.SetupTimeout == 0 {
		c.SetupTimeout = 300 * time.Second
	}
	if c.StartTimeout == 0 {
		c.StartTimeout = 120 * time.Second
	}
	m := &Manager{
		c: c, prebuilts: prebuiltRecords{store: c.Prebuilt}, breaker: breaker{clock: c.Clock, report: func(err error) { c.Report("", "breaker", err) }},
		dialing: make(chan struct{}, maxDialing), patching: make(chan struct{}, maxPatches),
		links: map[session.ID]*attachment{}, snapshots: map[string]*snapshotState{}, handedOut: map[string][]string{},
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.pool = newPool(m)
	return m, nil
}

// maxDialing is how many runners are dialled at a time.
const maxDialing = 64

// Attach implements session.Sandboxes.
func (m *Manager) Attach(ctx context.Context, r session.AttachRequest, send session.Send) error {
	const op = "sandbox.Attach"
	for {
		a, joined, err := m.attachment(r, send, false)
		if err != nil {
			return session.Wrap(op, err)
		}
		_, err = a.linked(ctx)
		switch {
		case err == nil:
			return nil
		case !a.ended():
			return session.Wrap(op, err)
		case joined && ctx.Err() == nil && session.CodeOf(a.err) != session.NotFound:
			continue // it was about to end, for a reason of before this call
		}
		return session.Wrap(op, a.err)
	}
}

// attachment returns the session's attachment to that start, or a spare's: the one it has, or a new one in place of any other.
func (m *Manager) attachment(r session.AttachRequest, send session.Send, spare bool) (a *attachment, joined bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, false, session.ErrStopped
	}
	old := m.links[r.Session]
	if old != nil && old.req.Start == r.Start && !old.ended() {
		return old, true, nil
	}
	a = newAttachment(m, r, send, old)
	a.isSpare = spare
	m.links[r.Session] = a
	go a.run()
	return a, false, nil
}

func (m *Manager) stopping() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}

// forget drops an attachment that has ended.
func (m *Manager) forget(a *attachment) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.links[a.req.Session] == a {
		delete(m.links, a.req.Session)
	}
}

func (m *Manager) attached(id session.ID) *attachment {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.links[id]
}

// Close ends every link in good order and returns when none is left or ctx has ended. Call it before the hub stops, which takes the
// last inputs, and after the gateway was told to drain. Sandboxes live on.
func (m *Manager) Close(ctx context.Context) error {
	m.mu.Lock()
	m.closed = true
	var all []*attachment
	for _, a := range m.links {
		all = append(all, a)
	}
	m.mu.Unlock()
	var wg sync.WaitGroup
	errs := make([]error, len(all))
	for i, a := range all {
		wg.Go(func() {
			if l := a.link(); l != nil {
				errs[i] = l.Shutdown(ctx)
			}
			a.stop()
		})
	}
	wg.Wait()
	m.cancel()
	m.pool.close(ctx)
	if err := errors.Join(errs...); err != nil {
		return session.Wrap("sandbox.Close", fmt.Errorf("links were cut: %w", err))
	}
	return nil
}
