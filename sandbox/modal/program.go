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
	exitNobody    = 12
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
		return "", 0, because(ctx, err)
	}
	defer proc.Stdout.Close()
	ctx, cancel = context.WithTimeout(ctx, limit)
	defer cancel()
	defer context.AfterFunc(ctx, func() { detach(sb) })()
	if err := feed(proc.Stdin, in); err != nil {
		return "", 0, because(ctx, err)
	}
	b, err := io.ReadAll(io.LimitReader(proc.Stdout, maxSaid))
	if err != nil {
		return "", 0, because(ctx, err)
	}
	if code, err = proc.Wait(ctx); err != nil {
		return "", 0, because(ctx, err)
	}
	return strings.TrimSpace(string(b)), code, nil
}

// because prefers the reason why a call was broken off to what the call makes of that.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = errors.Join(ctx.Err(), err)
		return &session.Error{Code: session.Unavailable, Message: saysNothing, Err: err}
	}
	return judge(err)
}

// feed writes in pieces: the SDK makes one message of each write, however large.
func feed(to io.WriteCloser, from io.Reader) error {
	piece := make([]byte, 0)
	if from != nil {
		piece = make([]byte, maxPiece)
	}
	for from != nil {
		n, err := io.ReadFull(from, piece)
		if n > 0 {
			if _, err := to.Write(piece[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return session.Wrap("modal.feed", err)
		}
	}
	return to.Close()
}

// working returns the start id of the runner that works in a sandbox. NotFound, with the end of its log, when none does.
func (p *Provider) working(ctx context.Context, sb *sdk.Sandbox) (start string, err error) {
	said, code, err := p.run(ctx, sb, findLimit, findScript, nil, insideDir)
	switch {
	case err != nil:
		return "", err
	case code == exitNobody:
		return "", &session.Error{Code: session.NotFound, Message: "The sandbox's runner has ended.", Err: fmt.Errorf("its log ends: %s", session.OneLine(said, 600))}
	case code != exitDone:
		return "", &session.Error{Code: session.Unavailable, Message: saysNothing, Err: fmt.Errorf("looking for the runner: exit status %d: %s", code, session.OneLine(said, 600))}
	}
	if !validName(said) { // the sandbox's word
		return "", nil
	}
	return said, nil
}
