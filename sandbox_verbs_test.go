//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// sandbox wrote TEXT: waits until a runner's journal holds the text, whether the bot runs or not. sandbox kill: ends every sandbox's
// process with SIGKILL, the runner with it; its directory stays. sandbox live N: waits until N live.
func (p *play) cmdSandbox(ctx context.Context, _ *testscript.TestScript, args []string) error {
	dir := filepath.Join(p.dir, "data", "sandboxes")
	switch {
	case len(args) == 2 && args[0] == "wrote":
		for {
			journals, err := filepath.Glob(filepath.Join(dir, "*", "run", "journals", "*"))
			if err != nil {
				return err
			}
			for _, j := range journals {
				if b, err := os.ReadFile(j); err == nil && bytes.Contains(b, []byte(args[1])) {
					return nil
				}
			}
			select {
			case <-time.After(10 * time.Millisecond): // between looks: another process writes the file
			case <-ctx.Done():
				return fmt.Errorf("no journal ever held %q", args[1])
			}
		}
	case len(args) == 2 && args[0] == "live":
		for {
			pids, err := processesOf(dir)
			if err != nil {
				return err
			}
			live := slices.DeleteFunc(pids, func(pid int) bool { return syscall.Kill(pid, 0) != nil })
			if fmt.Sprint(len(live)) == args[1] {
				return nil
			}
			select {
			case <-time.After(10 * time.Millisecond): // between looks
			case <-ctx.Done():
				return fmt.Errorf("%d sandboxes live, not %s", len(live), args[1])
			}
		}
	case len(args) == 1 && args[0] == "kill":
		pids, err := processesOf(dir)
		if err != nil {
			return err
		}
		for _, pid := range pids {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				return fmt.Errorf("kill %d: %w", pid, err)
			}
		}
		return nil
	}
	return usage("sandbox wrote TEXT, sandbox kill, sandbox live N")
}

// processesOf returns the processes that local sandboxes below a directory were started with.
func processesOf(dir string) (pids []int, err error) {
	records, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		var process struct {
			PID int `json:"pid"`
		}
		b, err := os.ReadFile(r)
		if errors.Is(err, fs.ErrNotExist) {
			continue // ended meanwhile
		}
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(b, &process); err != nil {
			return nil, err
		}
		if process.PID > 1 {
			pids = append(pids, process.PID)
		}
	}
	return pids, nil
}
