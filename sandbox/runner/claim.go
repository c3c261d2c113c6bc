package runner

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// claimFetch bounds the fetch for a session that takes a warm sandbox: without it the checkout is a little old, and with it somebody waits.
const claimFetch = 20 * time.Second

// claim gives a sandbox that was nobody's to a session. The boot does the rest, once it has come to the agent.
func (r *runner) claim(w http.ResponseWriter, q *http.Request) {
	var c link.Claim
	if err := readBody(w, q, maxPrompt, &c); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if !c.Session.Valid() {
		refuse(w, http.StatusBadRequest, session.Errorf(session.Invalid, "A sandbox is claimed for a session, by its id."))
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case !r.cfg.Boot.Warm, r.claimed.Session != "" && r.claimed.Session != c.Session:
		refuse(w, http.StatusConflict, session.Errorf(session.Conflict, "This sandbox is another session's."))
		return
	case r.claimed.Session == "":
		r.claimed, r.claimedAt = c, r.cfg.Clock.Now()
		r.env = setenv(r.env, "OPENINSPECT_SESSION", string(c.Session))
		r.claimedLate = r.phaseNow != session.PhaseSync
		close(r.taken)
	}
	w.WriteHeader(http.StatusAccepted)
}

// owner is whose sandbox this is, and where that session's log is read.
func (r *runner) owner() (id session.ID, logURL string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.claimed.Session != "" {
		return r.claimed.Session, r.claimed.LogURL
	}
	return r.cfg.Boot.Session, r.cfg.Boot.LogURL
}

// environ is the environment of what starts now.
func (r *runner) environ() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.env)
}

// setenv replaces a variable that env has.
func setenv(env []string, name, value string) []string {
	env = slices.Clone(env)
	for i, kv := range env {
		if strings.HasPrefix(kv, name+"=") {
			env[i] = name + "=" + value
		}
	}
	return env
}

// await is the end of a warm boot: everything runs, and nobody has asked for it. It returns when somebody has, and when that was.
func (r *runner) await(ctx context.Context) (claimed time.Time, err error) {
	wait := func(yes bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.waits, claimed = yes, r.claimedAt
	}
	wait(true)
	select {
	case <-r.taken:
	case <-ctx.Done():
		err = ctx.Err()
	}
	wait(false)
	return claimed, err
}

// renew brings the checkout of a sandbox that somebody took to the newest commit of its branch, unless its own sync did that after they took it.
// What setup.sh installs is installed again if that is another script by now; start.sh is not run again, and the agent goes on.
func (r *runner) renew(ctx context.Context) error {
	r.mu.Lock()
	late := r.claimedLate
	r.mu.Unlock()
	if !late || r.cfg.Boot.Repo == (session.Repo{}) {
		return nil
	}
	before := r.blob(ctx, setupScript)
	if err := r.phase(ctx, session.PhaseSync, r.bootRenew); err != nil || r.blob(ctx, setupScript) == before {
		return err
	}
	return r.phase(ctx, session.PhaseSetup, r.setUp)
}

// blob is the id of a lifecycle script's content as it is committed; "" if there is none.
func (r *runner) blob(ctx context.Context, script string) string {
	id, err := r.git.run(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", "HEAD:"+scriptDir+"/"+script)
	if err != nil {
		return ""
	}
	return id
}

func (r *runner) bootRenew(ctx context.Context) step {
	warning := func(err error) step {
		return step{state: session.StepWarning, detail: session.Sentence(err), output: gitOutput(err)}
	}
	limited, cancel := context.WithTimeout(ctx, claimFetch)
	defer cancel()
	remote, err := r.fetch(limited)
	before, newest := r.git.resolve(ctx, "HEAD"), r.git.resolve(ctx, remote)
	switch {
	case newest == "" && before == "": // a repository without any commit has nothing to fetch
		return step{state: session.StepDone, detail: r.at(ctx)}
	case err != nil:
		return warning(err)
	case newest == before:
		return step{state: session.StepDone, detail: r.at(ctx)}
	}
	if _, err := r.git.run(ctx, "reset", "--quiet", "--hard", remote); err != nil {
		return warning(gitFailed("The checkout could not be moved to the newest commit; it is as it was.", err))
	}
	return step{state: session.StepDone, detail: r.at(ctx)}
}
