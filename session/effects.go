package session

import (
	"context"
	"errors"
	"io"
	"time"
)

// startTries is how often an effect that nobody else can bring forward is tried while the world is Unavailable, before it fails.
const startTries = 5

// patientTries is how often commits are tried to be collected, some ten minutes: a sandbox that was lost meanwhile may have to start again.
const patientTries = 20

// awayFor is for how long a sandbox is tried to be put away, however few tries that are: a snapshot that cannot be made may take a minute to say so, and
// one that cannot be put away is of more use to whoever waits for it as it is. It is tried again when it has been idle once more.
const awayFor = 3 * time.Minute

// soonTries is how often an image is tried to be made of a sandbox that will have ended soon.
const soonTries = 3

// perform carries one effect out and returns the input that tells the outcome; nil when ctx ended first. It may have been done before a
// crash: each call is idempotent by the ids in it.
func (a *actor) perform(ctx context.Context, e Effect) Input {
	world := a.hub.sandboxes
	// A link outlives this effect and, when the session rests, this actor.
	send := func(ctx context.Context, in Input) error { return a.hub.Send(ctx, a.id, in) }
	switch e.Kind {
	case EffectStart:
		return a.startSandbox(ctx, e)
	case EffectAttach:
		err := a.try(ctx, e, 0, func() error { return world.Attach(ctx, *e.Attach, send) })
		return outcome(ctx, err, Attached{Effect: e.ID, Start: e.Start}, func(f Failure) Input {
			return Lost{Start: e.Start, Reason: f.Message}
		})
	case EffectPrompt:
		d := a.withRecall(ctx, *e.Prompt)
		err := a.try(ctx, e, 0, func() error { return world.Prompt(ctx, a.id, d) })
		return outcome(ctx, err, Delivered{Effect: e.ID, PromptID: e.PromptID}, func(f Failure) Input {
			return DeliveryFailed{Effect: e.ID, PromptID: e.PromptID, Err: f}
		})
	case EffectStop:
		err := a.try(ctx, e, 0, func() error { return world.Stop(ctx, a.id, e.PromptID) })
		return outcome(ctx, err, Confirmed{Effect: e.ID}, func(Failure) Input { return Confirmed{Effect: e.ID} })
	case EffectSuspend:
		var kept Kept
		r, tries := *e.Suspend, patientTries
		r.End = true
		if r.Soon {
			tries = soonTries
		}
		err := a.try(ctx, e, tries, func() (err error) { kept, err = world.Keep(ctx, a.id, r); return err })
		return outcome(ctx, err, Suspended{Effect: e.ID, Kept: kept}, func(f Failure) Input { return SuspendFailed{Effect: e.ID, Err: f, Patch: kept.Patch} })
	case EffectSnapshot:
		var kept Kept
		err := a.try(ctx, e, startTries, func() (err error) { kept, err = world.Keep(ctx, a.id, *e.Snapshot); return err })
		return outcome(ctx, err, Snapshotted{Effect: e.ID, Kept: kept}, func(f Failure) Input { return SnapshotFailed{Effect: e.ID, Err: f, Patch: kept.Patch} })
	case EffectCollect:
		var c *Changes
		bundle := func(ctx context.Context, have []string) (io.ReadCloser, error) { return world.Bundle(ctx, a.id, have) }
		err := a.try(ctx, e, patientTries, func() (err error) { c, err = a.hub.forge.Collect(ctx, *e.Collect, bundle); return err })
		return outcome(ctx, err, Collected{Effect: e.ID, Changes: c}, func(f Failure) Input {
			return CollectFailed{Effect: e.ID, Err: f}
		})
	case EffectOpen:
		var pr PullRequest
		r := *e.Open
		err := a.try(ctx, e, startTries, func() (err error) {
			if r.Audit, err = a.hub.auditHead(ctx); err == nil {
				pr, err = a.hub.forge.Open(ctx, r)
			}
			return err
		})
		return outcome(ctx, err, PullRequestOpened{Effect: e.ID, PullRequest: pr}, func(f Failure) Input {
			return OpenFailed{Effect: e.ID, Err: f}
		})
	case EffectReview:
		var v Review
		r := *e.Review
		err := a.try(ctx, e, startTries, func() (err error) {
			if r.Audit, err = a.hub.auditHead(ctx); err == nil {
				v, err = a.hub.forge.Review(ctx, r)
			}
			return err
		})
		return outcome(ctx, err, Reviewed{Effect: e.ID, Review: v}, func(f Failure) Input { return ReviewFailed{Effect: e.ID, Err: f} })
	case EffectMerge:
		var commit string
		err := a.try(ctx, e, startTries, func() (err error) { commit, err = a.hub.forge.Merge(ctx, *e.Merge); return err })
		return outcome(ctx, err, Merged{Effect: e.ID, Commit: commit}, func(f Failure) Input {
			return MergeFailed{Effect: e.ID, Err: f, TakenBack: errors.Is(err, ErrTakenBack)}
		})
	}
	a.hub.report(a.id, "effect "+e.ID, Errorf(Internal, "unknown effect %q", e.Kind))
	return nil
}

// outcome picks the input for err; nil when ctx ended, because then nothing is known.
func outcome(ctx context.Context, err error, done Input, failed func(Failure) Input) Input {
	switch {
	case err == nil:
		return done
	case ctx.Err() != nil:
		return nil
	}
	return failed(Failure{Code: CodeOf(err), Message: Sentence(err)})
}

// try calls f until it returns anything but Unavailable, with growing pauses; tries bounds the calls, 0 does not.
// An effect without a bound ends otherwise: the machine drops it when it makes no sense any more, which cancels ctx.
func (a *actor) try(ctx context.Context, e Effect, tries int, f func() error) error {
	pause, began := time.Second, a.hub.clock.Now()
	for n := 1; ; n++ {
		err := f()
		if err == nil || ctx.Err() != nil {
			return err
		}
		if later, ok := errors.AsType[*Later](err); ok {
			return later
		}
		if tries > 0 && errors.Is(err, ErrStopped) { // the bot ends, which is nobody's failure: whoever starts next tries again
			<-ctx.Done()
			return ctx.Err()
		}
		a.hub.report(a.id, string(e.Kind)+" "+e.ID, err)
		if CodeOf(err) == Unavailable && e.Kind == EffectCollect && n > 1 && n != tries {
			// Once more is nobody's concern; from then on the thread says why it waits. Untold is better than not tried again.
			if e := a.send(ctx, CollectDelayed{Effect: e.ID, Attempt: n, Err: Failure{Code: Unavailable, Message: Sentence(err)}}); e != nil && ctx.Err() == nil {
				a.hub.report(a.id, "delay", e)
			}
		}
		late := e.Kind == EffectSuspend && a.hub.clock.Now().Sub(began) >= awayFor
		if CodeOf(err) != Unavailable || n == tries || late || !a.hub.pause(ctx, pause) {
			return err
		}
		pause = min(2*pause, 30*time.Second)
	}
}
