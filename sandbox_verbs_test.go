//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// sandbox wrote TEXT: waits until a runner's journal holds the text, whether the bot runs or not. sandbox kill: ends every sandbox's
// process with SIGKILL, the runner with it; its directory stays.
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
	case len(args) == 1 && args[0] == "kill":
		records, err := filepath.Glob(filepath.Join(dir, "*.json"))
		if err != nil {
			return err
		}
		for _, r := range records {
			var process struct {
				PID int `json:"pid"`
			}
			b, err := os.ReadFile(r)
			if err != nil {
				return err
			}
			if err := json.Unmarshal(b, &process); err != nil {
				return err
			}
			if process.PID > 1 {
				if err := syscall.Kill(process.PID, syscall.SIGKILL); err != nil {
					return fmt.Errorf("kill %d: %w", process.PID, err)
				}
			}
		}
		return nil
	}
	return usage("sandbox wrote TEXT, sandbox kill")
}
