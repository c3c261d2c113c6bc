package modal

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime/debug"
	"sync"

	sdk "github.com/modal-labs/libmodal/modal-go"

	"openinspect/session"
)

// runnerPath is where the program of a hash is in a sandbox.
func runnerPath(hash string) string { return "/opt/openinspect/bin/" + hash + "/openinspect" }

// runner is the program that is sent into sandboxes: read when it is first needed, and compressed when it is first sent.
type runner struct {
	path string

	mu     sync.Mutex
	file   *os.File // the program, also when another has taken its place
	sum    string
	packed *os.File // compressed; it has no name any more
	size   int64
}

// hash returns the program's SHA-256.
func (r *runner) hash() (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sum != "" {
		return r.sum, nil
	}
	const op = "modal.hash"
	file, err := os.Open(r.path)
	if err != nil {
		return "", session.Wrap(op, badRunner(r.path, "cannot be read. "+setRunner+".", err))
	}
	if err = checkPlatform(file); err == nil {
		r.sum, err = copyHashed(io.Discard, file)
	}
	if err != nil {
		_ = file.Close() // the error to tell is err
		return "", session.Wrap(op, err)
	}
	r.file = file
	return r.sum, nil
}

// reader reads the compressed program from its beginning. Invalid if it is not any more what hash returned.
func (r *runner) reader() (io.Reader, error) {
	const op = "modal.reader"
	sum, err := r.hash()
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.packed != nil {
		return io.NewSectionReader(r.packed, 0, r.size), nil
	}
	to, err := os.CreateTemp("", "openinspect-runner-")
	if err != nil {
		return nil, session.Wrap(op, err)
	}
	z, err := gzip.NewWriterLevel(to, gzip.BestSpeed)
	now := ""
	if err == nil {
		now, err = copyHashed(z, r.file)
		err = errors.Join(err, z.Close())
	}
	size, seekErr := to.Seek(0, io.SeekEnd)
	if err = errors.Join(err, seekErr, os.Remove(to.Name())); err == nil && now != sum {
		err = session.Errorf(session.Invalid, "The file that INSPECT_RUNNER names was changed while the bot ran. Restart the bot.")
	}
	if err != nil {
		_ = to.Close() // the error to tell is err
		return nil, session.Wrap(op, err)
	}
	r.packed, r.size = to, size
	return io.NewSectionReader(to, 0, size), nil
}

// copyHashed copies a program, and returns its hash.
func copyHashed(to io.Writer, file *os.File) (sum string, err error) {
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(h, to), io.NewSectionReader(file, 0, math.MaxInt64))
	return hex.EncodeToString(h.Sum(nil)), err
}

func (r *runner) close() (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range []*os.File{r.file, r.packed} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}

// checkPlatform reports whether an executable is this program, and can run in Modal's sandboxes, which are linux/amd64.
func checkPlatform(file *os.File) error {
	f, err := elf.NewFile(file)
	if err != nil {
		return badRunner(file.Name(), "is not an executable for Linux. "+setRunner+".", err)
	}
	if f.Machine != elf.EM_X86_64 {
		return badRunner(file.Name(), fmt.Sprintf("is for another processor (%s). %s: GOARCH=amd64 go build.", f.Machine, setRunner), nil)
	}
	own, ok := debug.ReadBuildInfo()
	if built, err := buildinfo.Read(file); ok && (err != nil || built.Main.Path != own.Main.Path) {
		return badRunner(file.Name(), "is not openinspect. Set INSPECT_RUNNER to a build of it for linux/amd64.", err)
	}
	return nil
}

const setRunner = "Set INSPECT_RUNNER to a build of openinspect for linux/amd64"

// badRunner is the error of a program that cannot be the runner in a sandbox on Modal: why not, and what to do.
func badRunner(path, why string, err error) error {
	return &session.Error{Code: session.Invalid, Message: "The program that sandboxes on Modal are to run, " + path + ", " + why, Err: err}
}

// push sends the program into a sandbox.
func (p *Provider) push(ctx context.Context, sb *sdk.Sandbox, hash string) error {
	in, err := p.runner.reader()
	if err != nil {
		return err
	}
	said, code, err := p.run(ctx, sb, pushLimit, pushScript, in, runnerPath(hash), hash)
	if err == nil && code != exitDone {
		err = &session.Error{Code: session.Unavailable, Op: "modal.push", Err: scriptError(code, said),
			Message: "The runner could not be brought into the sandbox; the operator's log says why. Please send your message again."}
	}
	return err
}
