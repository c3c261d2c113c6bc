package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"openinspect/session"
)

// boot brings the sandbox to where prompts are accepted. What happens in which mode:
//
//	                 sync                        setup.sh            start.sh  agent
//	build            clone                       fatal               –         –
//	fresh            clone                       failure: a warning  fatal     yes
//	repo_image       fetch, reset; or a warning  if it changed       fatal     yes
//	snapshot_restore fetch; or a warning         if it was cut off   fatal     yes
//
// A warm one, which is nobody's at first, stops there until somebody claims it, and then brings the checkout up to date.
//
// Every phase is an event. A boot that failed leaves the runner reachable, so that people can read why; it accepts no prompt.
func (r *runner) boot(ctx context.Context) {
	begin := r.cfg.Clock.Now()
	err := r.phases(ctx)
	if err == nil && r.cfg.Boot.Warm {
		if begin, err = r.await(ctx); err == nil {
			err = r.renew(ctx)
		}
	}
	if err != nil {
		if ctx.Err() == nil {
			r.tell(session.Event{Kind: session.KindError, Error: &session.Failure{Code: session.CodeOf(err), Message: session.Sentence(err)}})
		}
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.phaseNow, r.ready = session.PhaseReady, r.cfg.Boot.Mode != session.BootBuild
	r.tell(session.Event{Kind: session.KindBoot, Boot: &session.Boot{Phase: session.PhaseReady, State: session.StepDone, Millis: millis(r.cfg.Clock.Now().Sub(begin))}})
}

func (r *runner) phases(ctx context.Context) error {
	for _, p := range []struct {
		phase session.Phase
		run   func(context.Context) step
	}{
		{session.PhaseSync, r.bootSync},
		{session.PhaseSecrets, r.bootSecrets},
		{session.PhaseSetup, r.bootSetup},
		{session.PhaseStart, r.bootStart},
		{session.PhaseAgent, r.bootAgent},
	} {
		if p.phase == session.PhaseSecrets && !r.cfg.Boot.Environment {
			continue
		}
		if err := r.phase(ctx, p.phase, p.run); err != nil {
			return err
		}
	}
	return nil
}

// step is how a phase ended. err is set when the boot ends with it.
type step struct {
	state  session.StepState
	detail string
	output string
	err    error
}

// phase runs one phase between its two events.
func (r *runner) phase(ctx context.Context, phase session.Phase, run func(context.Context) step) error {
	r.mu.Lock()
	r.phaseNow = phase
	r.mu.Unlock()
	begin := r.cfg.Clock.Now()
	r.tell(session.Event{Kind: session.KindBoot, Boot: &session.Boot{Phase: phase, State: session.StepRunning}})
	s := run(ctx)
	if ctx.Err() != nil {
		return ctx.Err() // the runner ends; what failed now says nothing about the repository
	}
	r.tell(session.Event{Kind: session.KindBoot, Boot: &session.Boot{
		Phase: phase, State: s.state, Detail: session.OneLine(s.detail, 300), Output: s.output, Millis: millis(r.cfg.Clock.Now().Sub(begin))}})
	return s.err
}

func (r *runner) bootSync(ctx context.Context) step {
	if r.cfg.Boot.Mode != session.BootSnapshot {
		if err := r.setupDue(); err != nil {
			return step{state: session.StepFailed, detail: session.Sentence(err), err: err}
		}
	}
	detail, fatal, err := r.sync(ctx)
	switch {
	case err == nil:
		return step{state: session.StepDone, detail: detail}
	case !fatal:
		return step{state: session.StepWarning, detail: session.Sentence(err), output: gitOutput(err)}
	}
	return step{state: session.StepFailed, detail: session.Sentence(err), output: gitOutput(err), err: err}
}

// gitOutput returns what git said about a failure.
func gitOutput(err error) string {
	if e, ok := errors.AsType[*gitError](err); ok {
		return e.stderr
	}
	return ""
}

// setupDue notes, where the next runner finds it, that setup.sh has still to be carried through, and setupOver that it need not be any more.
func (r *runner) setupDue() error {
	return session.Wrap("runner.setupDue", writeFile(r.paths.due, nil, 0o600))
}

func (r *runner) setupOver(ctx context.Context) {
	if ctx.Err() == nil { // else it may have been cut off
		_ = os.Remove(r.paths.due) // at worst it runs once more
	}
}

func (r *runner) bootSetup(ctx context.Context) step {
	_, err := os.Lstat(r.paths.due)
	switch mode := r.cfg.Boot.Mode; {
	case mode == session.BootSnapshot && err != nil:
		return step{state: session.StepSkipped, detail: "what it left is among the files kept from before"}
	case mode == session.BootImage && r.blob(ctx, setupScript) == r.cfg.Boot.Setup:
		r.setupOver(ctx)
		return step{state: session.StepSkipped, detail: "what it left is in the repository's image"}
	case mode == session.BootBuild:
		s := asStep(r.runScript(ctx, setupScript, timeoutOr(r.cfg.Boot.SetupTimeout, defaultSetupTimeout)))
		r.setupOver(ctx)
		return s
	}
	return r.setUp(ctx)
}

// setUp runs setup.sh where an agent works all the same if it fails.
func (r *runner) setUp(ctx context.Context) step {
	_ = r.setupDue() // noted before, but for a sandbox that was claimed; at worst it is not run again
	s := asStep(r.runScript(ctx, setupScript, timeoutOr(r.cfg.Boot.SetupTimeout, defaultSetupTimeout)))
	r.setupOver(ctx)
	if s.err != nil {
		s.state, s.err = session.StepWarning, nil
	}
	return s
}

func (r *runner) bootStart(ctx context.Context) step {
	if r.cfg.Boot.Mode == session.BootBuild {
		return step{state: session.StepSkipped, detail: "an image is built"}
	}
	return asStep(r.runScript(ctx, startScript, timeoutOr(r.cfg.Boot.StartTimeout, defaultStartTimeout)))
}

func asStep(s scriptResult) step {
	out := step{state: s.state, detail: s.detail, output: s.output}
	if s.state == session.StepFailed {
		out.err = &session.Error{Code: session.Invalid, Op: "runner.boot",
			Message: fmt.Sprintf("The sandbox did not start: %s. Mend the script in the repository and try again.", s.detail)}
	}
	return out
}

func timeoutOr(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

func (r *runner) bootAgent(ctx context.Context) step {
	boot := r.cfg.Boot
	if boot.Mode == session.BootBuild {
		return step{state: session.StepSkipped, detail: "an image is built"}
	}
	c := AgentConfig{
		Owner: func() session.ID { id, _ := r.owner(); return id }, Start: boot.Start, Dir: r.paths.checkout, Home: r.paths.home, Env: r.environ, Providers: boot.Providers, Processes: r.bound(),
		Tools: []string{r.cfg.Program, "runner", "mcp", "--socket", r.paths.inside},
	}
	failed := func(err error) step {
		return step{state: session.StepFailed, detail: session.Sentence(err), err: err}
	}
	if len(boot.Catalogue) > 0 {
		if err := writeFile(r.paths.models, boot.Catalogue, 0o644); err != nil {
			return failed(session.Wrap("runner.boot", err))
		}
		c.Catalogue = r.paths.models
	}
	if r.cfg.Models != nil {
		var err error
		if c.Gateway, c.Token, err = r.cfg.Models(r.life, r.models); err != nil {
			return failed(session.Wrap("runner.boot", err))
		}
	}
	if err := r.cfg.Agent.Start(ctx, c); err != nil {
		return failed(session.Wrap("runner.boot", err))
	}
	if boot.Warm {
		r.rehearse(ctx)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.version = r.cfg.Agent.Version()
	return step{state: session.StepDone, detail: r.version}
}
