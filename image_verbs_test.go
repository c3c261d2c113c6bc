//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"openinspect/bot/slacktest"
)

// image wait PATTERN: ada asks how the repository's image stands until the newest answer matches; two seconds pass in between, which is as fast as the bot
// speaks. image kept N: waits until N images are kept, snapshots
// of sessions among them. image gone: loses every image, as whoever keeps them may.
func (p *play) cmdImage(ctx context.Context, _ *testscript.TestScript, args []string) error {
	switch {
	case len(args) == 2 && args[0] == "wait":
		re, err := regexp.Compile(args[1])
		if err != nil {
			return err
		}
		said := ""
		for {
			asked := len(p.stage.slack.Ephemerals("ada"))
			if _, err := p.stage.slack.As("ada").Command(stageChannel, "image "+stageRepo); err != nil {
				return err
			}
			err := p.stage.slack.Wait(ctx, func(n *slacktest.Snapshot) bool { return len(n.Ephemerals("ada")) > asked })
			if err != nil {
				return fmt.Errorf("the image is never told to be %q, but: %q", args[1], said)
			}
			all := p.stage.slack.Ephemerals("ada")
			if said = all[len(all)-1].Text; re.MatchString(said) {
				return nil
			}
			if err := p.bot.advance("2s"); err != nil {
				return err
			}
			select {
			case <-time.After(300 * time.Millisecond): // between looks: a build is other processes, and takes a few minutes of the clock at most
			case <-ctx.Done():
			}
		}
	case len(args) == 2 && args[0] == "kept":
		n, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		var kept []string
		err = p.until(ctx, "", func() bool { kept = p.images(); return len(kept) == n })
		if err != nil {
			return fmt.Errorf("%v are kept, not %d: %w", kept, n, err)
		}
		return nil
	case len(args) == 1 && args[0] == "gone":
		if p.modal != nil {
			p.modal.ForgetImages()
			return nil
		}
		for _, dir := range p.images() {
			if err := os.Remove(filepath.Join(p.dir, "data", "sandboxes", dir+".json")); err != nil {
				return err
			}
		}
		return nil
	}
	return usage("image wait PATTERN, image kept N, image gone")
}

// images are those that are kept of sandboxes, wherever these run.
func (p *play) images() (all []string) {
	if p.modal != nil {
		return make([]string, p.modal.Snapshots())
	}
	records, _ := filepath.Glob(filepath.Join(p.dir, "data", "sandboxes", "*.json")) // its pattern is well formed
	for _, path := range records {
		var r struct {
			Image bool `json:"image"`
		}
		if b, err := os.ReadFile(path); err == nil && json.Unmarshal(b, &r) == nil && r.Image {
			all = append(all, strings.TrimSuffix(filepath.Base(path), ".json"))
		}
	}
	return all
}
