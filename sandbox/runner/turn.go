package runner

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// wrapUpTimeout bounds what git does after a turn.
const wrapUpTimeout = 5 * time.Minute

// errStopped cancels a turn that somebody stopped.
var errStopped = errors.New("stopped by a person")

// turn is the run of the agent over one prompt.
type turn struct {
	d        session.Delivery
	stop     context.CancelCauseFunc
	progress *progress
	settling bool // the agent is done; what it left is being committed
}

// prompts accepts a prompt and starts its turn. One that was accepted before is accepted again and not run again.
func (r *runner) prompts(w http.ResponseWriter, q *http.Request) {
	var d session.Delivery
	if err := readBody(w, q, maxPrompt, &d); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if d.ID == "" || d.Text == "" {
		refuse(w, http.StatusBadRequest, session.Errorf(session.Invalid, "A prompt needs an id and a text."))
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.accepted[d.ID]:
	case r.phaseNow == session.PhaseReady && r.cfg.Boot.Mode == session.BootBuild:
		refuse(w, http.StatusConflict, session.Errorf(session.Conflict, "This sandbox builds an image and takes no prompts."))
		return
	case !r.ready:
		refuse(w, http.StatusTooEarly, session.Errorf(session.Unavailable, "The sandbox is not ready yet."))
		return
	case r.running != nil:
		refuse(w, http.StatusConflict, session.Errorf(session.Conflict, "The agent is at work on another prompt."))
		return
	case !r.attach(&d):
		refuse(w, http.StatusServiceUnavailable, session.Errorf(session.Unavailable, "The sandbox does not have all of the attached files."))
		return
	default:
		ctx, stop := context.WithCancelCause(r.life)
		t := &turn{d: d, stop: stop, progress: newProgress(r.cfg)}
		r.accepted[d.ID], r.running = true, t
		r.turns.Go(func() { r.turn(ctx, t) })
	}
	w.WriteHeader(http.StatusAccepted)
}

// stop stops the run of the prompt it names. One that does not run is no error: it may have ended a moment ago.
func (r *runner) stop(w http.ResponseWriter, q *http.Request) {
	var s link.Stop
	if err := readBody(w, q, maxPrompt, &s); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running != nil && r.running.d.ID == s.PromptID {
		r.running.stop(errStopped)
	}
	w.WriteHeader(http.StatusAccepted)
}

// turn runs a prompt, keeps what came of it, and answers. When the runner itself ends there is no answer: the bot sees that the runner
// is gone and decides; what the agent left stays in the checkout as it is.
func (r *runner) turn(ctx context.Context, t *turn) {
	defer t.stop(nil)
	r.identify(ctx, t.d)
	unwatch := r.watch(t)
	err := r.cfg.Agent.Run(ctx, t.d, &output{r: r, t: t})
	unwatch()
	r.mu.Lock()
	t.settling = true
	r.mu.Unlock()
	if r.life.Err() != nil {
		return
	}
	if errors.Is(context.Cause(ctx), errCrowded) || r.crowded() { // nothing could be begun in the next turn
		r.disperse()
	}
	answer := &session.TurnChange{State: session.TurnAnswered, Outcome: session.PromptDone}
	switch {
	case errors.Is(context.Cause(ctx), errCrowded):
		answer.Outcome, answer.Reason = session.PromptFailed, r.crowdWords()+" Ask the agent to run fewer."
	case err == nil:
	case errors.Is(context.Cause(ctx), errStopped):
		answer.Outcome, answer.Reason = session.PromptStopped, "It was stopped."
	case errors.Is(context.Cause(ctx), errStalled):
		answer.Outcome, answer.Reason = session.PromptFailed, r.stalledWords()
	default:
		answer.Outcome, answer.Reason = session.PromptFailed, session.Sentence(err)
	}
	wrapUp, cancel := context.WithTimeout(r.life, wrapUpTimeout)
	defer cancel()
	if err := r.wrapUp(wrapUp, t.d); err != nil {
		if r.life.Err() != nil {
			return
		}
		r.tell(session.Event{Kind: session.KindError, PromptID: t.d.ID, Error: &session.Failure{Code: session.CodeOf(err), Message: session.Sentence(err) + gitSaid(err)}})
		if answer.Outcome == session.PromptDone {
			answer.Outcome, answer.Reason = session.PromptFailed, session.Sentence(err)
		}
	}
	// Under one lock: whoever reads the answer may send the next prompt at once, and it must not find this turn still running.
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running = nil
	r.tell(session.Event{Kind: session.KindTurn, PromptID: t.d.ID, Turn: answer})
}

func gitSaid(err error) string {
	if said := gitOutput(err); said != "" {
		return " Git said: " + session.OneLine(said, 500)
	}
	return ""
}

// author is who commits of a turn belong to.
func (r *runner) author(d session.Delivery) session.Author {
	if d.Author.Name == "" || d.Author.Email == "" {
		return r.cfg.Boot.Bot
	}
	return d.Author
}

// identify configures git in the checkout for a turn's author. It is best effort: the turn's end puts wrong authors right.
func (r *runner) identify(ctx context.Context, d session.Delivery) {
	a := r.author(d)
	_, _ = r.git.run(ctx, "config", "--local", "--replace-all", "user.name", a.Name)
	_, _ = r.git.run(ctx, "config", "--local", "--replace-all", "user.email", a.Email)
}

// wrapUp commits what the turn left and puts its commits under the right names.
func (r *runner) wrapUp(ctx context.Context, d session.Delivery) error {
	r.repo.Lock()
	defer r.repo.Unlock()
	if r.git.gitDir(ctx) == "" {
		return &session.Error{Code: session.Invalid, Op: "runner.wrapUp", Message: "There is no git repository in the checkout any more, so nothing of it can be kept."}
	}
	if err := r.settle(ctx, d); err != nil {
		return gitFailed("What the agent left could not be committed.", err)
	}
	if err := r.rewrite(ctx, d); err != nil {
		return gitFailed("The commits could not be put under the right names, so they cannot be collected.", err)
	}
	return nil
}

// output hands an agent's events to the journal.
type output struct {
	r *runner
	t *turn
}

func (o *output) Event(e session.Event) {
	o.t.progress.told(&e)
	e.PromptID = o.t.d.ID
	o.r.tell(e)
}

func (o *output) Delta(d session.Delta) {
	o.t.progress.told(nil)
	d.PromptID = o.t.d.ID
	o.r.journal.delta(d)
}

// subject makes the first line of a commit message from a prompt as session's machine words it for the agent: quoted lines begin
// with "> ", and a line says whose message it is.
func subject(text string) string {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, ">") || strings.HasPrefix(line, "Quoted from the Slack thread") {
			continue
		}
		if strings.HasSuffix(line, ":") && (strings.HasPrefix(line, "Message from ") || strings.HasPrefix(line, "Answer to your question ")) {
			continue
		}
		if s := session.OneLine(line, 72); s != "" {
			return s
		}
	}
	return "Changes of this turn"
}
