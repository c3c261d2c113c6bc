package runner

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// collectedTimeout bounds getting what the bot holds: it may have to make a bundle first.
const collectedTimeout = 5 * time.Minute

// goOn brings a fresh clone to the commit that the bot holds of the session: the files that had it are gone, and work that began before it would
// leave out what people have seen, and perhaps approved. detail is the clone's line.
func (r *runner) goOn(ctx context.Context, detail string) (string, error) {
	there, err := r.bring(ctx)
	if err != nil {
		return "", err
	}
	if !there {
		return detail, nil // the base branch has it
	}
	return r.moveOn(ctx)
}

func (r *runner) moveOn(ctx context.Context) (string, error) {
	if _, err := r.git.run(ctx, "reset", "--quiet", "--hard", r.cfg.Boot.Collected); err != nil {
		return "", gitFailed("The checkout could not be moved to the commits of this thread.", err)
	}
	return r.at(ctx) + ", with the commits of this thread", nil
}

// catchUp brings a checkout that was restored to that commit. What is not committed stays where it is, or is put aside if it is in the way.
func (r *runner) catchUp(ctx context.Context) (string, error) {
	there, err := r.bring(ctx)
	if err != nil || !there {
		return r.at(ctx), err
	}
	if _, err := r.git.run(ctx, "merge", "--quiet", "--ff-only", r.cfg.Boot.Collected); err == nil {
		return r.at(ctx) + ", with the commits of this thread", nil
	}
	aside, err := r.putAside(ctx, "left when the commits of this thread were brought back")
	if err != nil {
		return "", err
	}
	detail, err := r.moveOn(ctx)
	return detail + aside, err
}

// bring fetches the commit into collectedRef; false if there is nothing to fetch, because the base branch has it.
func (r *runner) bring(ctx context.Context) (there bool, err error) {
	want := r.cfg.Boot.Collected
	file := filepath.Join(r.paths.run, "collected.bundle")
	defer os.Remove(file)
	if there, err = r.fetchKept(ctx, "collected", file, link.MaxBundle); !there {
		return false, err
	}
	fetch := []string{"fetch", "--quiet", file, "+" + link.CollectedRef + ":" + collectedRef}
	if _, err := r.git.run(ctx, fetch...); err != nil {
		// The clone's history may not reach back to where the commits begin.
		if _, err := r.git.call(ctx, gitCall{transfer: true, args: []string{"fetch", "--unshallow", "origin"}}); err != nil {
			return false, gitFailed("The commits of this thread do not fit the repository any more.", err)
		}
		if _, err := r.git.run(ctx, fetch...); err != nil {
			return false, gitFailed("The commits of this thread do not fit the repository any more.", err)
		}
	}
	if got := r.git.resolve(ctx, collectedRef); got != want {
		return false, session.Errorf(session.Internal, "The bot handed out commit %.7s instead of %.7s.", got, want)
	}
	return true, nil
}

// fetchKept gets what the bot keeps of the session, by POST /git/WHAT, into a file, again while the bot does not answer; false if there is nothing to get.
func (r *runner) fetchKept(ctx context.Context, what, file string, limit int64) (there bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, collectedTimeout)
	defer cancel()
	for pause := askAgain; ; pause = min(2*pause, 10*time.Second) {
		there, err = r.tryKept(ctx, what, file, limit)
		if err == nil || session.CodeOf(err) != session.Unavailable {
			return there, err
		}
		again := time.NewTimer(pause)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return false, err
		}
	}
}

func (r *runner) tryKept(ctx context.Context, what, file string, limit int64) (there bool, err error) {
	const op = "runner.kept"
	broken := func(err error) error {
		return &session.Error{Code: session.Unavailable, Op: op, Message: "The bot did not hand over what it keeps of this thread.", Err: err}
	}
	rt, err := r.bot.Link(ctx)
	if err != nil {
		return false, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://bot/git/"+what, nil)
	if err != nil {
		return false, err
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return false, broken(err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusNoContent:
		return false, nil
	case http.StatusOK:
	default:
		var p link.Problem
		b, err := io.ReadAll(io.LimitReader(resp.Body, link.MaxToolBody))
		if err != nil || json.Unmarshal(b, &p) != nil || p.Message == "" {
			return false, broken(errors.New(resp.Status))
		}
		return false, &session.Error{Code: p.Code, Op: op, Message: p.Message}
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return false, session.Wrap(op, err)
	}
	n, err := io.Copy(f, io.LimitReader(resp.Body, limit+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return false, broken(err)
	}
	if n > limit {
		return false, session.Errorf(session.Invalid, "What the bot keeps of this thread is larger than %d MiB.", limit>>20)
	}
	return true, nil
}
