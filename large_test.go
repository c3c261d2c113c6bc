//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A large repository: 2 GB of what cannot be compressed with TEST_LONG=1, a few MB otherwise. A session works in it, its sandbox has it once, and the bot's
// memory does not know of its size.
func TestLargeRepository(t *testing.T) {
	t.Parallel()
	files := 4 // of 2 MiB
	if os.Getenv("TEST_LONG") == "1" {
		files = 1000
	}
	s, err := newStage(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := grow(s.github.Path(stageRepo), files); err != nil {
		t.Fatal(err)
	}
	p := &play{stage: s, dir: t.TempDir(), isolation: isolation(t)}
	defer func() {
		if err := p.end(); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*waitLimit)
	defer cancel()
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%v\n--- thread\n%s--- bot\n%s", err, s.slack.Render(p.channel, p.thread), p.logTail())
		}
	}
	do(p.cmdBot(ctx, nil, []string{"script"}))
	do(s.link(ctx, "ada"))
	start := time.Now()
	stop := make(chan struct{})
	most := make(chan int64)
	go func() {
		var peak int64
		for {
			select {
			case <-stop:
				most <- peak
				return
			case <-time.After(100 * time.Millisecond):
				peak = max(peak, resident(p.bot.cmd.Process.Pid))
			}
		}
	}()
	do(p.cmdSlack(ctx, nil, []string{"mention", "ada", "write it !write small.txt a ;; !say Written."}))
	do(p.cmdThread(ctx, nil, []string{"wait", "Changes ready"}))
	t.Logf("from the mention to the card: %s", time.Since(start).Round(100*time.Millisecond))
	close(stop)
	peak := <-most
	var disk int64
	do(filepath.WalkDir(filepath.Join(p.dir, "data", "sandboxes"), func(path string, d os.DirEntry, err error) error {
		if info, e := d.Info(); err == nil && e == nil && d.Type().IsRegular() {
			disk += info.Size()
		}
		return nil
	}))
	t.Logf("the bot had at most %d MB, the sandbox has %d MB on disk, the repository %d MB", peak>>20, disk>>20, files*2)
	if peak > 150<<20 {
		t.Errorf("the bot's memory grew to %d MB", peak>>20)
	}
	out, err := exec.Command("du", "-sm", filepath.Join(p.dir, "data", "git")).CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the bot's mirror, MB: %s", out)
}

// resident is what a process has of its own, in bytes.
func resident(pid int) int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	var kb int64
	for line := range strings.Lines(string(b)) {
		if n, _ := fmt.Sscanf(line, "RssAnon: %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	return 0
}

// grow adds files of 2 MiB to a bare repository's main branch, as fast as git takes them.
func grow(dir string, files int) (err error) {
	cmd := exec.Command("git", "-c", "core.compression=0", "-C", dir, "fast-import", "--quiet", "--force")
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	const size = 2 << 20
	random := rand.NewChaCha8([32]byte{7})
	fmt.Fprint(in, "commit refs/heads/main\ncommitter Grace <grace@acme.test> 1700000000 +0000\ndata 4\nGrow\nfrom refs/heads/main^0\n")
	for n := range files {
		fmt.Fprintf(in, "M 644 inline data/%04d.bin\ndata %d\n", n, size)
		if _, err := io.CopyN(in, random, size); err != nil {
			return err
		}
		fmt.Fprintln(in)
	}
	fmt.Fprint(in, "\ndone\n")
	if err := in.Close(); err != nil {
		return err
	}
	return cmd.Wait()
}
