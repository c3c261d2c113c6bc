package sandbox

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"openinspect/session"
)

// Tips tells where repositories stand.
type Tips interface {
	// Tip returns a repository's default branch and the commit that it is at; "" if it has no commit yet. NotFound for one that cannot be read.
	Tip(ctx context.Context, r session.Repo) (branch, commit string, err error)
}

// lookEvery is how often repositories are looked at whose image is kept up to date.
const lookEvery = 30 * time.Minute

// maxBuilds is how many images are built at a time.
const maxBuilds = 2

// maxTries is how often a build is begun that the bot's own end cuts off.
const maxTries = 2

// maxFails is how often a commit is tried to be built, half an hour apart, before it waits for the branch to move or for somebody to ask. One whose own script
// fails is not tried again.
const maxFails = 3

// BuilderConfig is what a Builder works with. Manager and Tips are required, and the Manager has a PrebuiltStore and an Archive.
type BuilderConfig struct {
	Manager *Manager
	Tips    Tips
	// Basis names what images are made with and upon: one that was made otherwise is made anew.
	Basis string
	// Told tells those who asked for a build how it ended. It is asked again at the next start if it fails.
	Told func(ctx context.Context, p session.Prebuilt) error
	// Built is called when one has ended well. Nil: nobody wants to know.
	Built func(p session.Prebuilt)
	// Spent tells whether sandboxes have lived for all of the day's hours; then none is begun for a build. Nil: there is no such limit.
	Spent func(ctx context.Context) (bool, error)
}

// Builder builds the images of repositories: on demand, and for those that are switched on whenever their branch has moved.
type Builder struct {
	m *Manager
	c BuilderConfig

	slots   chan struct{} // one for each build that goes on
	ctx     context.Context
	resumed chan struct{} // closed once nothing is left of an earlier bot's builds
	working sync.WaitGroup

	mu     sync.Mutex
	builds map[string]context.CancelCauseFunc // that go on or wait for a slot, by repository
}

// NewBuilder makes one. It starts nothing.
func NewBuilder(c BuilderConfig) *Builder {
	if c.Spent == nil {
		c.Spent = func(context.Context) (bool, error) { return false, nil }
	}
	if c.Built == nil {
		c.Built = func(session.Prebuilt) {}
	}
	if c.Told == nil {
		c.Told = func(context.Context, session.Prebuilt) error { return nil }
	}
	return &Builder{m: c.Manager, c: c, slots: make(chan struct{}, maxBuilds), resumed: make(chan struct{}), builds: map[string]context.CancelCauseFunc{}}
}

// Start takes up what an earlier bot has left, looks at all repositories now and every half hour, and returns at once. All of it ends with ctx; Wait
// waits for that.
func (b *Builder) Start(ctx context.Context) {
	b.ctx = ctx
	b.working.Go(func() {
		b.resume(ctx)
		close(b.resumed)
		b.look(ctx)
		b.lookLater(ctx)
	})
}

// Wait returns when nothing is being done any more, after ctx of Start has ended.
func (b *Builder) Wait() {
	b.mu.Lock()
	all := &b.working // whoever began something has counted it by now
	b.mu.Unlock()
	all.Wait()
}

// lookLater looks in the timer's own goroutine, so that a clock that is stepped goes on when everything is looked at.
func (b *Builder) lookLater(ctx context.Context) {
	stop := b.m.c.Clock.AfterFunc(lookEvery, func() {
		b.mu.Lock()
		if ctx.Err() == nil {
			b.working.Add(1)
			defer b.working.Done()
		}
		b.mu.Unlock()
		b.look(ctx)
		if ctx.Err() == nil {
			b.lookLater(ctx)
		}
	})
	context.AfterFunc(ctx, func() { stop() })
}

// resume ends the sandboxes of builds that were cut off, and has those begin again, once.
func (b *Builder) resume(ctx context.Context) {
	spares, err := b.m.c.Spares.Spares(ctx)
	b.report("look for builds that were cut off", err)
	for _, sp := range spares {
		if sp.Kind == session.SpareBuild {
			b.report("end a build that was cut off", b.m.discardSpare(ctx, sp))
		}
	}
	all, err := b.m.c.Prebuilt.Prebuilts(ctx)
	b.report("look for builds that were cut off", err)
	for _, p := range all {
		switch {
		case p.State == session.BuildGoesOn && p.Tries >= maxTries:
			b.end(ctx, p.Repo, func(p *session.Prebuilt) {
				recordFailure(p, b.m.c.Clock.Now(), "It was cut off twice, because the bot ended.", "")
				p.Fails = maxFails // the bot may have ended because of it
			})
		case p.State == session.BuildGoesOn, p.State == session.BuildDue:
			b.begin(p.Repo)
		case len(p.Asked) > 0:
			b.tell(ctx, p.Repo)
		}
	}
}

// look begins a build for every repository that needs one.
func (b *Builder) look(ctx context.Context) {
	all, err := b.m.c.Prebuilt.Prebuilts(ctx)
	b.report("look at the images of repositories", err)
	for _, p := range all {
		if p.State == session.BuildDue {
			b.begin(p.Repo) // it waits already, unless its last one could not be noted
		}
		if !p.Enabled || p.State == session.BuildDue || ctx.Err() != nil {
			continue
		}
		base, tip, err := b.c.Tips.Tip(ctx, p.Repo)
		if err != nil {
			b.report("look at "+p.Repo.String(), err)
			continue
		}
		if b.stale(p, base, tip) {
			_, err := b.Build(ctx, p.Repo, session.Person{}) // written down, since the last one may be about to end
			b.report("have the image of "+p.Repo.String()+" built", err)
		}
	}
}

// stale reports whether the image of a repository whose branch base is at tip should be built anew.
func (b *Builder) stale(p session.Prebuilt, base, tip string) bool {
	switch {
	case tip == "", p.State == session.BuildFailed && p.Tip == tip && p.With == b.c.Basis && p.Fails >= maxFails:
		return false // there is nothing to build, or it fails at that very commit
	}
	moved := p.Commit != tip && (p.Tip != tip || p.State != session.BuildDone) // a setup.sh may leave the checkout at a commit of its own
	return !p.Good() || p.Base != base || moved || p.Basis != b.c.Basis
}

// Image returns what is known of a repository's image; its name alone if that is nothing.
func (b *Builder) Image(ctx context.Context, r session.Repo) (session.Prebuilt, error) {
	p, err := b.m.prebuilts.get(ctx, r)
	return p, session.Wrap("sandbox.Image", err)
}

// Images returns what is known of all repositories' images.
func (b *Builder) Images(ctx context.Context) ([]session.Prebuilt, error) {
	all, err := b.m.c.Prebuilt.Prebuilts(ctx)
	return all, session.Wrap("sandbox.Images", err)
}

// Switch has a repository's image kept up to date, and built at once if there is none, how that ended being told; or has nobody begin from it any more,
// which is told to whoever else waits for a build.
func (b *Builder) Switch(ctx context.Context, r session.Repo, on bool, by session.Person) (session.Prebuilt, error) {
	var now session.Prebuilt
	err := b.m.prebuilts.update(ctx, r, func(p *session.Prebuilt) bool {
		if p.Enabled != on {
			p.Enabled, p.By, p.At = on, by, b.m.c.Clock.Now()
		}
		if !on {
			at := b.m.c.Clock.Now()
			waiting := slices.DeleteFunc(slices.Clone(p.Asked), func(o session.Person) bool { return o.Slack == by.Slack })
			if *p = (session.Prebuilt{Repo: p.Repo, Enabled: false, By: p.By, At: p.At}); len(waiting) > 0 {
				recordFailure(p, at, by.Name+" switched the repository's image off.", "")
				p.Asked = waiting
			}
		}
		now = *p
		return true
	})
	if err != nil {
		return now, session.Wrap("sandbox.Switch", err)
	}
	switch {
	case !on:
		b.cancel(r)
		b.tell(ctx, r)
	case !now.Good():
		return b.Build(ctx, r, by)
	}
	return now, nil
}

// Build has a repository's image built, whether it is kept up to date or not. A person hears how it ended, also if it goes on already.
func (b *Builder) Build(ctx context.Context, r session.Repo, by session.Person) (session.Prebuilt, error) {
	var now session.Prebuilt
	err := b.m.prebuilts.update(ctx, r, func(p *session.Prebuilt) bool {
		if by.Slack != "" && !slices.ContainsFunc(p.Asked, func(o session.Person) bool { return o.Slack == by.Slack }) {
			p.Asked = append(p.Asked, by)
		}
		if p.State != session.BuildGoesOn {
			p.State, p.Tries = session.BuildDue, 0
		}
		now = *p
		return true
	})
	if err != nil {
		return now, session.Wrap("sandbox.Build", err)
	}
	b.begin(r)
	return now, nil
}

func (b *Builder) report(op string, err error) {
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, session.ErrStopped) {
		b.m.c.Report("", op, err)
	}
}
