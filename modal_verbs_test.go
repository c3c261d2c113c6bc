//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"openinspect/sandbox/modaltest"
	"openinspect/session"
	"openinspect/session/boltdb"
)

// envListen tells a served bot that its sandboxes share this computer's network, as modaltest's do.
const envListen = "OPENINSPECT_TEST_LISTEN"

// freeListen is where the runner of such a sandbox listens.
func freeListen() (string, error) {
	port, err := modaltest.FreePort()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), err
}

// canModal reports whether modaltest works on this computer.
func canModal(t *testing.T) bool {
	err := modaltest.Available()
	if err != nil && os.Getenv("TEST_ALL") == "1" {
		t.Fatal(err)
	}
	return err == nil
}

// ownProgram is the test binary, and where the bot would send it to in a sandbox: it is there from the beginning, which saves the sending.
var ownProgram = sync.OnceValues(func() (map[string]string, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return map[string]string{"/opt/openinspect/bin/" + hex.EncodeToString(h.Sum(nil)) + "/openinspect": path}, err
})

// openModal makes the play's Modal, if there is none yet, and tells a bot about it.
func (p *play) openModal(env map[string]string) error {
	authority := filepath.Join(p.dir, "modal.pem")
	if p.modal == nil {
		files, err := ownProgram()
		if err != nil {
			return err
		}
		if files = maps.Clone(files); env["INSPECT_OPENCODE"] != "" {
			files["/opt/bin/opencode"] = env["INSPECT_OPENCODE"] // where the base image would have it, on the search path
		}
		s := modaltest.New(modaltest.Config{Files: files, Dir: filepath.Join(p.dir, "modal"), Seen: p.wire.note})
		if err := errors.Join(s.Start(), modaltest.Authority(authority)); err != nil {
			return errors.Join(err, s.Close())
		}
		p.modal = s
	}
	env["MODAL_TOKEN_ID"], env["MODAL_TOKEN_SECRET"], env["MODAL_SERVER_URL"] = modaltest.TokenID, modaltest.TokenSecret, p.modal.URL()
	env["SSL_CERT_FILE"], env[envListen] = authority, "free"
	return nil
}

// owned names the sandboxes and the images that a bot's store in a file knows of. The bot does not run, or the file is a copy: whenever it was killed, what
// there is must be among them, or nobody would ever end it. Of images it is those of sessions, those of which their live sandboxes began, those of repositories,
// and those that the hourly sweep has on record.
func owned(path string) (names []string, err error) {
	ctx := context.Background()
	db, err := boltdb.Open(path, boltdb.Options{MasterKey: make([]byte, 32)})
	if err != nil {
		return nil, err
	}
	all, err := db.List(ctx, 1000)
	for _, s := range all {
		b := s.Sandbox
		if b.State.Live() || b.Handle != (session.Handle{}) {
			names = append(names, b.Name, b.From)
		}
		names = append(names, b.Image)
	}
	spares, wrong := db.Spares(ctx)
	for _, s := range spares {
		names = append(names, s.Name, s.Image)
	}
	err = errors.Join(err, wrong)
	prebuilt, wrong := db.Prebuilts(ctx)
	for _, p := range prebuilt {
		names = append(names, p.Image)
	}
	err = errors.Join(err, wrong)
	images, wrong := db.Images(ctx)
	for _, i := range images {
		names = append(names, i.ID)
	}
	err = errors.Join(err, wrong)
	return names, errors.Join(err, db.Close())
}

// noted waits until the bot, which is to be killed next, has written down every image that it was told of. Between the two it could not be blamed: Modal's
// images cannot be listed. An image of which nothing is written in good time is left to Orphans.
func (p *play) noted() error {
	if p.modal == nil || p.bot == nil || p.bot.ended() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !p.bot.ended() {
		images, settled := p.modal.Images()
		if settled && len(images) == 0 {
			return nil
		}
		names, err := p.ownedNow()
		if err != nil {
			return err
		}
		if names != nil && settled && !slices.ContainsFunc(images, func(id string) bool { return !slices.Contains(names, id) }) {
			return nil
		}
		select {
		case <-tick.C: // between looks
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// ownedNow is owned by a copy of what a bot that runs writes; nil if it wrote meanwhile. No write touches a page that the newest meta page leads to.
func (p *play) ownedNow() ([]string, error) {
	path := filepath.Join(p.dir, "data", "openinspect.db")
	before, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	after, err := os.ReadFile(path)
	metas := 2 * os.Getpagesize()
	if err != nil || len(before) < metas || len(after) < metas || !bytes.Equal(before[:metas], after[:metas]) {
		return nil, err
	}
	copied := filepath.Join(p.dir, "copy.db")
	defer os.Remove(copied)
	if err := os.WriteFile(copied, before, 0o600); err != nil {
		return nil, err
	}
	return owned(copied)
}

// modal live N [STEP]: waits until N sandboxes run; with STEP the bot's clock is stepped by so much now and then meanwhile. modal break METHOD FAULT N, modal mend METHOD: see modaltest.Break. modal vanish: takes every sandbox away.
// modal cut: ends every connection to one. modal forget: loses every image, snapshots too. modal snapshots N: waits until there are N. modal asked METHOD N:
// waits until a method has been called N times. modal written PATH: waits until the checkout of a sandbox that runs has it.
func (p *play) cmdModal(ctx context.Context, _ *testscript.TestScript, args []string) error {
	if done, err := p.modalTrouble(ctx, args); done {
		return err
	}
	switch {
	case p.modal == nil:
		return errors.New("there is no Modal: bot modal")
	case len(args) == 3 && args[0] == "live":
		err := p.until(ctx, args[2], func() bool { return strconv.Itoa(len(p.modal.Live())) == args[1] })
		if err != nil {
			return fmt.Errorf("there are %d, not %s: %w", len(p.modal.Live()), args[1], err)
		}
		return nil
	case len(args) == 2 && args[0] == "live":
		return counts(ctx, args[1], func() int { return len(p.modal.Live()) })
	case len(args) == 2 && args[0] == "snapshots":
		return counts(ctx, args[1], p.modal.Snapshots)
	case len(args) == 2 && args[0] == "written":
		return counts(ctx, "1", func() int {
			for _, name := range p.modal.Live() {
				if _, err := os.Stat(filepath.Join(p.modal.Root(name), "sandbox", "checkout", args[1])); err == nil {
					return 1
				}
			}
			return 0
		})
	case len(args) == 3 && args[0] == "asked":
		n, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		return p.modal.Wait(ctx, args[1], n)
	case len(args) == 4 && args[0] == "break":
		n, err := strconv.Atoi(args[3])
		if err != nil {
			return err
		}
		p.modal.Break(args[1], modaltest.Fault(args[2]), n)
		return nil
	case len(args) == 2 && args[0] == "mend":
		p.modal.Mend(args[1])
		return nil
	case len(args) == 1 && args[0] == "vanish":
		for _, name := range p.modal.Live() {
			if err := p.modal.Vanish(name); err != nil {
				return err
			}
		}
		return nil
	case len(args) == 1 && args[0] == "cut":
		for _, name := range p.modal.Live() {
			p.modal.CutTunnels(name)
		}
		return nil
	case len(args) == 1 && args[0] == "forget":
		p.modal.ForgetImages()
		return nil
	}
	return usage("modal live N [STEP], modal snapshots N, modal asked METHOD N, modal written PATH, modal break METHOD FAULT N, modal mend METHOD, modal vanish, modal cut, modal forget")
}

// counts waits until count returns a number.
func counts(ctx context.Context, number string, count func() int) error {
	n, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		is := count()
		if is == n {
			return nil
		}
		select {
		case <-tick.C: // between looks
		case <-ctx.Done():
			return fmt.Errorf("there are %d, not %d", is, n)
		}
	}
}
