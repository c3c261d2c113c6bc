//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// modalTrouble are the parts of the verb modal by which more than a call goes wrong; done is false for others.
//
//	modal open         there is a Modal, before the bot is
//	modal disk SIZE    likewise, and all its sandboxes and images share a disk of that size
//	modal fill, free   the disk is full, or not any more
//	modal block, let   no connection gets into any sandbox, or they do again
//	modal wrote TEXT   waits until a runner's journal in a sandbox that runs holds the text
func (p *play) modalTrouble(ctx context.Context, args []string) (done bool, err error) {
	switch {
	case len(args) == 1 && args[0] == "open":
		return true, p.openModal(map[string]string{"INSPECT_OPENCODE": p.agent})
	case len(args) == 2 && args[0] == "disk":
		dir := filepath.Join(p.dir, "modal")
		if err := errors.Join(os.Mkdir(dir, 0o700), syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,size="+args[1])); err != nil {
			return true, err
		}
		p.disk = dir
		return true, nil
	case len(args) == 1 && args[0] == "fill":
		return true, fill(p.disk)
	case len(args) == 1 && args[0] == "free":
		return true, os.Remove(filepath.Join(p.disk, filler))
	case len(args) == 1 && args[0] == "block" && p.modal != nil:
		p.modal.BlockTunnels(true)
		return true, nil
	case len(args) == 1 && args[0] == "let" && p.modal != nil:
		p.modal.BlockTunnels(false)
		return true, nil
	case len(args) == 2 && args[0] == "wrote" && p.modal != nil:
		return true, p.modalWrote(ctx, args[1])
	}
	return false, nil
}

func (p *play) modalWrote(ctx context.Context, text string) error {
	for {
		for _, home := range p.modalHomes() {
			journals, err := filepath.Glob(filepath.Join(filepath.Dir(home), "run", "journals", "*"))
			if err != nil {
				return err
			}
			for _, j := range journals {
				if b, err := os.ReadFile(j); err == nil && bytes.Contains(b, []byte(text)) {
					return nil
				}
			}
		}
		select {
		case <-time.After(10 * time.Millisecond): // between looks: another process writes the file
		case <-ctx.Done():
			return fmt.Errorf("no journal ever held %q", text)
		}
	}
}

// modalHomes are the agent's home directories in the sandboxes that run.
func (p *play) modalHomes() (homes []string) {
	for _, name := range p.modal.Live() {
		homes = append(homes, filepath.Join(p.modal.Root(name), "sandbox", "home"))
	}
	return homes
}
