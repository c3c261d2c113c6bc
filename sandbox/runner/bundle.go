package runner

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"time"

	"openinspect/session"
)

// bundleTimeout bounds making and sending a bundle.
const bundleTimeout = 5 * time.Minute

// maxHaves is how many commits of the bot's are looked at.
const maxHaves = 64

var objectName = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// bundle answers GET /bundle?have=: what HEAD has that neither the bot nor the remote has, whatever branch the agent left; 204 when
// that is nothing; 409 in mid-turn, when commits have no right names yet; 425 before the checkout is there. The bundle has one ref, refs/inspect/head.
func (r *runner) bundle(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	busy, early := r.running != nil, r.phaseNow == session.PhaseSync
	r.mu.Unlock()
	if early { // a checkout that is not there yet must not pass for one without news
		refuse(w, http.StatusTooEarly, session.Errorf(session.Unavailable, "The sandbox is not ready yet."))
		return
	}
	if busy {
		refuse(w, http.StatusConflict, session.Errorf(session.Conflict, "The agent is at work; its commits can be collected when the turn has ended."))
		return
	}
	ctx, cancel := context.WithTimeout(q.Context(), bundleTimeout)
	defer cancel()
	r.repo.Lock()
	defer r.repo.Unlock()
	args, err := r.prepareBundle(ctx, strings.Split(q.FormValue("have"), ","))
	if err != nil {
		refuse(w, http.StatusInternalServerError, gitFailed("The commits could not be packed.", err))
		return
	}
	if args == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/x-git-bundle")
	sent, err := r.git.sendBundle(ctx, w, args)
	switch {
	case err == nil:
	case sent == 0:
		refuse(w, http.StatusInternalServerError, gitFailed("The commits could not be packed.", err))
	default:
		panic(http.ErrAbortHandler) // half a bundle must not look like one
	}
}

// sendBundle makes a bundle and writes it as the answer while it is made; it returns how much of it was written. Who takes it has as much time as ctx.
func (g git) sendBundle(ctx context.Context, w http.ResponseWriter, args []string) (sent int64, err error) {
	if end, ok := ctx.Deadline(); ok { // ctx ends git, but no write to somebody who takes nothing
		if err := http.NewResponseController(w).SetWriteDeadline(end); err != nil {
			return 0, err
		}
	}
	out := &counter{w: w}
	_, err = g.call(ctx, gitCall{args: append([]string{"bundle", "create", "--quiet", "-"}, args...), out: out, timeout: bundleTimeout})
	return out.n, err
}

type counter struct {
	w http.ResponseWriter
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// prepareBundle returns what the bundle is made of as arguments of git, nil when there is nothing new.
func (r *runner) prepareBundle(ctx context.Context, haves []string) ([]string, error) {
	head := r.git.resolve(ctx, "HEAD")
	if head == "" {
		return nil, nil
	}
	args := []string{headRef}
	for _, have := range haves[:min(len(haves), maxHaves)] {
		if !objectName.MatchString(have) || r.git.resolve(ctx, have) == "" {
			continue // the bot may know commits that this checkout does not
		}
		if err := r.collected(ctx, have); err != nil {
			return nil, err
		}
		args = append(args, "^"+have)
	}
	if _, err := r.git.run(ctx, "update-ref", headRef, head); err != nil {
		return nil, err
	}
	if err := r.deepen(ctx, head); err != nil {
		return nil, err
	}
	args = append(args, "--not", "--remotes=origin")
	count, err := r.git.run(ctx, append([]string{"rev-list", "--count"}, args...)...)
	if err != nil {
		return nil, err
	}
	if count == "0" {
		return nil, nil
	}
	return args, nil
}

// collected remembers that the bot has a commit, unless it only has it from the remote.
func (r *runner) collected(ctx context.Context, have string) error {
	own, err := r.git.run(ctx, "rev-list", "--max-count=1", have, "--not", "--remotes")
	if err != nil || own == "" {
		return err
	}
	_, err = r.git.run(ctx, "update-ref", collectedRef, have)
	return err
}

// deepen fetches more history into a shallow checkout until HEAD and the base branch meet, so that what is new is told apart from what is
// only cut off. Histories that do not meet at all are left as they are.
func (r *runner) deepen(ctx context.Context, head string) error {
	branch := base(r.cfg.Boot.Base)
	remote := "refs/remotes/origin/" + branch
	if r.git.resolve(ctx, remote) == "" {
		return nil
	}
	for _, more := range []string{"--deepen=200", "--deepen=1000", "--unshallow"} {
		if shallow, err := r.git.run(ctx, "rev-parse", "--is-shallow-repository"); err != nil || shallow != "true" {
			return err
		}
		if _, err := r.git.run(ctx, "merge-base", head, remote); exitOf(err) != 1 {
			return err
		}
		fetch := gitCall{timeout: fetchTimeout, args: []string{"fetch", "--quiet", more, "origin", "+refs/heads/" + branch + ":" + remote}}
		if _, err := r.git.call(ctx, fetch); err != nil {
			return err
		}
	}
	return nil
}
