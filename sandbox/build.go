package sandbox

import (
	"context"
	"errors"
	"strings"
	"time"

	"openinspect/session"
)

// A build may take buildLimit, or as long as its setup.sh may and buildPatience where that is longer. One that takes longer hangs, and is ended.
const (
	buildLimit    = 75 * time.Minute
	buildPatience = 15 * time.Minute
)

var (
	errOff     = errors.New("the repository's image was switched off")
	errTooLate = errors.New("the build took too long")
)

// begin builds a repository's image, unless that goes on.
func (b *Builder) begin(r session.Repo) {
	key := strings.ToLower(r.String())
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.builds[key] != nil || b.ctx == nil || b.ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithCancelCause(b.ctx)
	b.builds[key] = cancel
	b.working.Go(func() {
		defer cancel(nil)
		<-b.resumed
		noted := true
		select {
		case b.slots <- struct{}{}:
			if ctx.Err() == nil {
				noted = b.build(ctx, r)
			}
			<-b.slots
		case <-ctx.Done():
		}
		b.mu.Lock()
		delete(b.builds, key)
		b.mu.Unlock()
		if !noted {
			return // it may say yet that one is due: the next look sees to that
		}
		if p, err := b.m.prebuilts.get(b.ctx, r); err == nil && p.State == session.BuildDue {
			b.begin(r) // it was asked for just as the last one ended
		}
	})
}

// cancel ends the build of a repository's image, if one goes on.
func (b *Builder) cancel(r session.Repo) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if cancel := b.builds[strings.ToLower(r.String())]; cancel != nil {
		cancel(errOff)
	}
}

// build builds a repository's image, and tells how that ended; false if that could not be noted. If ctx ends because the bot does, the next one takes it up.
func (b *Builder) build(ctx context.Context, r session.Repo) (noted bool) {
	a, err := b.attempt(ctx, r)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errOff) || errors.Is(err, session.ErrStopped) {
		return false
	}
	now := b.m.c.Clock.Now()
	return b.end(context.WithoutCancel(ctx), r, func(p *session.Prebuilt) {
		if errors.Is(context.Cause(ctx), errOff) || a.spare.ID != "" && p.Build != a.spare.ID {
			return // switched off, and perhaps on again
		}
		b.record(p, a, err, now)
	})
}

// attempt is one try to build an image.
type attempt struct {
	began time.Time
	spare session.Spare // zero if it did not come so far
	made  builtImage
}

// attempt makes an image of the newest commit of a repository's default branch, and notes before that it is about to.
func (b *Builder) attempt(ctx context.Context, r session.Repo) (a attempt, err error) {
	a.began = b.m.c.Clock.Now()
	switch spent, err := b.c.Spent(ctx); {
	case err != nil:
		return a, err
	case spent:
		return a, session.Errorf(session.Unavailable, "All sandboxes together have run for as many hours today as they may. None is begun for a build before 00:00 UTC.")
	}
	base, tip, err := b.c.Tips.Tip(ctx, r)
	switch {
	case err != nil:
		return a, err
	case tip == "":
		return a, session.Errorf(session.NotFound, "The repository has no commit yet.")
	}
	a.spare = session.NewSpare(session.SpareBuild, session.BootBuild, r, base, a.began)
	a.spare.Commit = tip
	err = b.m.prebuilts.update(ctx, r, func(p *session.Prebuilt) bool {
		if p.Tip != tip || p.With != b.c.Basis {
			p.Tip, p.With, p.Fails = tip, b.c.Basis, 0
		}
		p.Repo, p.State, p.Build, p.Began = r, session.BuildGoesOn, a.spare.ID, a.began
		p.Tries++
		return true
	})
	if err == nil {
		a.made, err = b.make(ctx, a.spare)
	}
	return a, err
}

// record puts into p how an attempt ended, with err or well.
func (b *Builder) record(p *session.Prebuilt, a attempt, err error, now time.Time) {
	switch boot, scripts := errors.AsType[*BootError](err); {
	case err == nil:
		p.State, p.Base, p.Image, p.Commit, p.Setup, p.Basis = session.BuildDone, a.spare.Base, a.made.image, a.made.commit, a.made.setup, b.c.Basis
		p.Built, p.Took, p.Bad, p.Reason, p.Output, p.Failed, p.Build, p.Tries, p.Fails = now, now.Sub(a.began), "", "", "", time.Time{}, "", 0, 0
	case scripts:
		recordFailure(p, now, boot.Error(), boot.Boot.Output)
		p.Fails = maxFails
	default:
		recordFailure(p, now, session.Sentence(err), "")
		if a.made.begun || a.spare.ID != "" && session.CodeOf(err) != session.Unavailable { // a provider that was full or away has cost nothing
			p.Fails++
		}
	}
}

func recordFailure(p *session.Prebuilt, at time.Time, reason, output string) {
	p.State, p.Failed, p.Reason, p.Output, p.Build, p.Tries = session.BuildFailed, at, reason, output, "", 0
}

// end stores how a build ended, and tells those who asked; false if it could not be stored.
func (b *Builder) end(ctx context.Context, r session.Repo, how func(*session.Prebuilt)) bool {
	err := b.m.prebuilts.update(ctx, r, func(p *session.Prebuilt) bool {
		how(p)
		switch p.State {
		case session.BuildDone:
			b.c.Built(*p)
		case session.BuildFailed:
			b.report("build the image of "+r.String(), session.Errorf(session.Unavailable, "%s", p.Reason))
		case session.BuildNone, session.BuildDue, session.BuildGoesOn: // switched off, and perhaps on again
		}
		return true
	})
	b.report("note how a build ended", err)
	if err != nil {
		return false
	}
	b.tell(ctx, r)
	return true
}

// tell tells those who asked for a build that has ended.
func (b *Builder) tell(ctx context.Context, r session.Repo) {
	p, err := b.m.prebuilts.get(ctx, r)
	asked := len(p.Asked) > 0 && (p.State == session.BuildDone || p.State == session.BuildFailed) // else another one is due already, which they hear of
	if err == nil && asked {
		err = b.c.Told(ctx, p)
	}
	if err == nil && asked {
		told := len(p.Asked)
		err = b.m.prebuilts.update(ctx, r, func(p *session.Prebuilt) bool {
			p.Asked = p.Asked[min(told, len(p.Asked)):]
			return true
		})
	}
	b.report("tell how a build ended", err)
}

// builtImage is what came of a sandbox in which an image was to be made. commit and setup are git's ids of the checkout and of its setup.sh.
type builtImage struct {
	begun         bool // there was a sandbox
	image         string
	commit, setup string
}

// make makes the image in a sandbox of its own, of which nothing is left.
func (b *Builder) make(ctx context.Context, sp session.Spare) (made builtImage, err error) {
	m := b.m
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limit := max(buildLimit, m.c.SetupTimeout+buildPatience)
	stop := m.c.Clock.AfterFunc(limit, func() { cancel(errTooLate) })
	defer stop()
	defer func() {
		if e := m.discardSpare(context.WithoutCancel(ctx), sp); e != nil {
			b.report("end the sandbox of a build", e) // it stays written down, and is ended later
		}
		if errors.Is(context.Cause(ctx), errTooLate) {
			err = session.Errorf(session.Unavailable, "It took longer than %.0f minutes, and was ended.", limit.Minutes())
		}
	}()
	t, err := m.createSpare(ctx, sp, "")
	if err != nil {
		return made, err
	}
	sp, made.begun = t.spare, true
	if err := t.ready(ctx); err != nil {
		return made, err
	}
	if made.commit, made.setup, err = t.checkout(ctx); err != nil {
		return made, err
	}
	t.unfollow()
	if made.image, err = b.snapshot(ctx, sp); err != nil {
		return made, err
	}
	err = m.c.Archive.PutImage(context.WithoutCancel(ctx), session.Image{ID: made.image, Kind: session.ImagePrebuilt, Repo: sp.Repo, At: m.c.Clock.Now()})
	if err != nil { // nobody would know of it
		err = errors.Join(err, m.delete(context.WithoutCancel(ctx), made.image))
	}
	return made, err
}

// statusTries is how often a runner is asked what is in its checkout: a busy one may not come to look, and leaves it out of its answer.
const statusTries = 3

// checkout returns git's ids of the checkout and of its setup.sh.
func (t *liveSpare) checkout(ctx context.Context) (commit, setup string, err error) {
	for try := 0; commit == "" && try < statusTries; try++ {
		st, err := t.status(ctx)
		if err != nil {
			return "", "", err
		}
		commit, setup = hexadecimal(st.Head), hexadecimal(st.Setup)
	}
	return commit, setup, nil
}

// snapshotTries is how often an image is tried to be made of a sandbox in which all went well.
const snapshotTries = 3

func (b *Builder) snapshot(ctx context.Context, sp session.Spare) (image string, err error) {
	for range snapshotTries {
		if image, err = b.m.c.Provider.Snapshot(ctx, sp.Handle); err == nil || session.CodeOf(err) != session.Unavailable || ctx.Err() != nil {
			break
		}
		b.report("make an image of "+sp.Repo.String(), err)
	}
	if err != nil {
		err = &session.Error{Code: session.CodeOf(err), Message: "Its files could not be kept. " + session.Sentence(err), Err: err}
	}
	return image, err
}

// hexadecimal is an id of git's that a sandbox told, if it looks like one.
func hexadecimal(id string) string {
	if len(id) > 64 || strings.Trim(id, "0123456789abcdef") != "" {
		return ""
	}
	return id
}
