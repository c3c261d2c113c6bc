package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"openinspect/sandbox"
	"openinspect/session"
)

// copiesDir is where directories are copied to until they are whole, below the provider's.
const copiesDir = ".copies"

// copyLimit is how much of what cp says is read, and copyWords how much of that is passed on: it has a line for each file that it cannot copy.
const (
	copyLimit = 8 << 10
	copyWords = 500
)

// copyOf copies an image for a sandbox that is to begin from it: many begin from one that was prebuilt, so it stays as it is. Where the file system can,
// the copy takes no room until it is written to. It does not hold the lock meanwhile: others must not wait for it.
func (p *Provider) copyOf(ctx context.Context, s sandbox.Spec) error {
	if there, err := p.lend(ctx, s); there || err != nil {
		return err
	}
	err := p.copy(ctx, s.Image, s.Name)
	unlock, e := p.lock(context.WithoutCancel(ctx))
	if e != nil {
		return e
	}
	defer unlock()
	if p.lent[s.Image]--; p.lent[s.Image] == 0 {
		delete(p.lent, s.Image)
	}
	copied := filepath.Join(copiesDir, s.Name)
	if err != nil {
		return errors.Join(err, p.remove(copied))
	}
	return errors.Join(p.remove(s.Name), os.Rename(p.path(copied), p.path(s.Name)))
}

// lend keeps an image from being deleted, or reports that the sandbox is there already.
func (p *Provider) lend(ctx context.Context, s sandbox.Spec) (there bool, err error) {
	unlock, err := p.lock(ctx)
	if err != nil {
		return false, err
	}
	defer unlock()
	if r, err := p.named(s.Name); r != nil || err != nil {
		return true, err
	}
	if !validName(s.Image) {
		return false, session.Errorf(session.NotFound, "The image %q does not exist.", s.Image)
	}
	r, err := p.read(s.Image)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !r.Image {
		return false, session.Errorf(session.NotFound, "The image %s does not exist any more.", s.Image)
	}
	if err == nil && r.Name != "" && r.alive() { // who writes there could have cp follow a link that was a directory a moment ago
		err = session.Errorf(session.Conflict, "The image %s is in use by the sandbox %s.", s.Image, r.Name)
	}
	if err == nil {
		p.lent[s.Image]++
	}
	return false, err
}

// copy copies all of an image but what belonged to the runner that worked in it. cp keeps modes, times and links, and follows none.
func (p *Provider) copy(ctx context.Context, image, name string) error {
	copied := filepath.Join(copiesDir, name)
	to := p.path(copied)
	if err := errors.Join(p.remove(copied), os.MkdirAll(to, 0o700)); err != nil {
		return err
	}
	entries, err := os.ReadDir(p.path(image))
	if err != nil {
		return err
	}
	args := []string{"--archive", "--reflink=auto", "--target-directory=" + to, "--"}
	for _, e := range entries {
		if e.Name() != "run" {
			args = append(args, "./"+e.Name())
		}
	}
	cmd := exec.CommandContext(ctx, "cp", args...)
	cmd.Dir, cmd.Env = p.path(image), []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	said := &beginning{left: copyLimit}
	cmd.Stderr = said
	if err := cmd.Run(); err != nil {
		return &session.Error{Code: session.Internal, Message: "The repository's image could not be copied; the operator's log says why.",
			Err: fmt.Errorf("cp: %w: %s", err, session.OneLine(string(said.b), copyWords))}
	}
	return nil
}

// beginning keeps the beginning of what is written to it.
type beginning struct {
	b    []byte
	left int
}

func (s *beginning) Write(p []byte) (int, error) {
	n := min(len(p), s.left)
	s.b, s.left = append(s.b, p[:n]...), s.left-n
	return len(p), nil
}

// clear removes directories without a record: those that were being made when a bot ended. It is called before any is made.
func (p *Provider) clear() error {
	entries, err := os.ReadDir(p.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), doorSuffix)
		if !e.IsDir() || name != copiesDir && !validName(name) {
			continue
		}
		if _, e := os.Lstat(p.path(name) + ".json"); errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, p.remove(name))
		}
	}
	return err
}
