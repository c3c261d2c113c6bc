package runner

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// How long the bot is asked for the repository's variables while it answers that they cannot be had just now.
const (
	variablesPatience = 2 * time.Minute
	variablesAgain    = 2 * time.Second
)

// bootSecrets asks the bot for the repository's own variables, once in a boot, and gives them to what starts from then on: the scripts, the agent, and what
// these start. They are in this process's memory and nowhere else: git has another environment, and the journal is written without them. A bot that is away
// is waited for, as by everything else; one that cannot read them keeps the sandbox from starting, because work without them would go wrong in other words.
func (r *runner) bootSecrets(ctx context.Context) step {
	env, err := r.askVariables(ctx)
	if err == nil {
		err = env.Check()
	}
	if err != nil {
		return step{state: session.StepFailed, detail: session.Sentence(err), err: &session.Error{Code: session.CodeOf(err), Op: "runner.bootSecrets", Err: err,
			Message: fmt.Sprintf("The sandbox did not start: it could not get the secrets of %s. %s", r.cfg.Boot.Repo, session.Sentence(err))}}
	}
	if len(env.Variables) == 0 {
		return step{state: session.StepSkipped}
	}
	var values []string
	for _, v := range env.Variables {
		if link.Hideable(v) {
			values = append(values, v)
		}
	}
	r.hide.Store(session.NewRedactor(values...))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.env = append(r.env[:len(r.env):len(r.env)], env.List()...)
	return step{state: session.StepDone, detail: strings.Join(slices.Sorted(maps.Keys(env.Variables)), ", ")}
}

func (r *runner) askVariables(ctx context.Context) (env link.Environment, err error) {
	begin := r.cfg.Clock.Now()
	for {
		rt, err := r.bot.Link(ctx)
		if err != nil {
			return env, err
		}
		call, cancel := context.WithTimeout(ctx, toolTimeout)
		answer, status, err := post(call, rt, "http://bot/environment", rand.Text(), []byte("{}"))
		cancel()
		switch {
		case err == nil && status == http.StatusOK:
			if err := json.Unmarshal(answer, &env); err != nil {
				return env, session.Errorf(session.Internal, "The bot's answer cannot be read.") // not with the error, which may quote it
			}
			return env, nil
		case err == nil && (status != http.StatusServiceUnavailable || r.cfg.Clock.Now().Sub(begin) >= variablesPatience):
			return env, refusal(answer, status)
		}
		again := make(chan struct{})
		stop := r.cfg.Clock.AfterFunc(variablesAgain, func() { close(again) })
		select {
		case <-again:
		case <-ctx.Done():
			stop()
			return env, ctx.Err()
		}
	}
}

// refusal is what the bot said instead of an answer.
func refusal(answer []byte, status int) error {
	var p link.Problem
	if json.Unmarshal(answer, &p) != nil || strings.TrimSpace(p.Message) == "" {
		return session.Errorf(session.Unavailable, "The bot refused with status %d.", status)
	}
	return &session.Error{Code: p.Code, Message: p.Message}
}

// without returns a copy of an event without secrets, whole: a cut could leave half of one. Whoever made the event may go on with what it points to.
func without(hide *session.Redactor, e session.Event) session.Event {
	if e.Tool != nil && !json.Valid(e.Tool.Input) { // as when it is written
		t := *e.Tool
		t.Input = nil
		e.Tool = &t
	}
	var c session.Event
	b, err := json.Marshal(e)
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil { // a defect; what the sandbox's disk must not hold is not written for it
		return session.Event{At: e.At, Kind: session.KindError, PromptID: e.PromptID, Error: &session.Failure{Code: session.Internal, Message: "The sandbox's runner could not write down what happened here."}}
	}
	hide.Event(&c)
	return c
}
