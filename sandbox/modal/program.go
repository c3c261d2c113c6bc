package modal

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	sdk "github.com/modal-labs/libmodal/modal-go"

	"openinspect/session"
)

// What is run in sandboxes. Their exit statuses are the exit constants.
var (
	//go:embed launch.sh
	launchScript string
	//go:embed find.sh
	findScript string
	//go:embed push.sh
	pushScript string
)

const (
	exitDone      = 0
	exitNoProgram = 10
	exitNoFiles   = 11
	exitNoRunner  = 12
)

// How long the scripts may take once they run.
const (
	launchLimit = time.Minute // an earlier runner may take half of it to end
	findLimit   = 15 * time.Second
	pushLimit   = 3 * time.Minute
)

// Sizes of what goes in and comes out of a script.
const (
	maxPiece = 1 << 20 // a message of Exec's input; Modal's limit is not published, a gRPC server's own is 4 MiB
	maxSaid  = 64 << 10
	maxShown = 600 // characters of it in an error
)

// run runs a script of ours to its end, with arguments and an input, and returns what it said. The handle is of no use after an error. limit
// is for the script; a sandbox that does not run yet is waited for before that.
func (p *Provider) run(ctx context.Context, sb *sdk.Sandbox, limit time.Duration, script string, in io.Reader, args ...string) (said string, code int, err error) {
	ctx, cancel := context.WithTimeout(ctx, scheduleLimit+limit)
	defer cancel()
	// What reads and writes in the SDK knows no context. It ends with the handle's connection.
	defer context.AfterFunc(ctx, func() { detach(sb) })()
	proc, err := sb.Exec(ctx, append([]string{"sh", "-c", script, "openinspect"}, args...), &sdk.SandboxExecParams{Timeout: limit, Stderr: sdk.Ignore, Workdir: "/"})
	if err != nil {
		return "", 0, brokenOff(ctx, err)
	}
	defer proc.Stdout.Close()
	ctx, cancel = context.WithTimeout(ctx, limit)
	defer cancel()
	defer context.AfterFunc(ctx, func() { detach(sb) })()
	if err := writePieces(proc.Stdin, in); err != nil {
		return "", 0, brokenOff(ctx, err)
	}
	b, err := io.ReadAll(io.LimitReader(proc.Stdout, maxSaid))
	if err != nil {
		return "", 0, brokenOff(ctx, err)
	}
	if code, err = proc.Wait(ctx); err != nil {
		return "", 0, brokenOff(ctx, err)
	}
	return strings.TrimSpace(string(b)), code, nil
}

// brokenOff prefers the reason why a call was broken off to what the call makes of that.
func brokenOff(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = errors.Join(ctx.Err(), err)
		return &session.Error{Code: session.Unavailable, Message: msgNoAnswer, Err: err}
	}
	return sessionError(err)
}

// writePieces writes in pieces, because the SDK makes one message of each write, however large, and closes. from may be nil.
func writePieces(to io.WriteCloser, from io.Reader) error {
	if from == nil {
		return to.Close()
	}
	piece := make([]byte, maxPiece)
	for {
		n, err := io.ReadFull(from, piece)
		if n > 0 {
			if _, err := to.Write(piece[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return to.Close()
		case err != nil:
			return session.Wrap("modal.writePieces", err)
		}
	}
}

// scriptError tells the operator how a script ended that should not have ended so.
func scriptError(code int, said string) error {
	return fmt.Errorf("exit status %d: %s", code, session.OneLine(said, maxShown))
}

// runningStart returns the start id of the runner that works in a sandbox. NotFound, with the end of its log, when none does.
func (p *Provider) runningStart(ctx context.Context, sb *sdk.Sandbox) (start string, err error) {
	said, code, err := p.run(ctx, sb, findLimit, findScript, nil, insideDir)
	switch {
	case err != nil:
		return "", err
	case code == exitNoRunner:
		return "", &session.Error{Code: session.NotFound, Message: "The sandbox's runner has ended.", Err: fmt.Errorf("its log ends: %s", session.OneLine(said, maxShown))}
	case code != exitDone:
		return "", &session.Error{Code: session.Unavailable, Message: msgNoAnswer, Err: fmt.Errorf("looking for the runner: %w", scriptError(code, said))}
	}
	if !validName(said) { // the sandbox's word
		return "", nil
	}
	return said, nil
}
