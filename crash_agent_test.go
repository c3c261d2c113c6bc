//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"openinspect/sandbox/local"
	"openinspect/sandbox/runner/opencode"
	"openinspect/session/model/modeltest"
)

// realAnswers are the model's in TestCrashRealAgent. The first script that matches answers, and a prompt that was not answered is still there
// when the next one comes.
const realAnswers = `
script note
match add a note
say I look first.
tool bash {"command":"ls && cat checkout.sh | head -3","description":"Look"}
step
tool write {"filePath":"note.txt","content":"note\n"}
step
tool inspect_propose_pull_request {"title":"Add a note","body":"As asked."}
step
say Noted.

script again
match once more
say Here I am.

script slow
match work slowly
say I begin.
gate slow
say Never said.
`

// realEvening is an evening on this computer's sandboxes, with the real agent and real time.
func realEvening(t *testing.T, box string, kills ...string) *evening {
	t.Helper()
	agent, err := opencode.Find(t.Context(), os.Getenv("INSPECT_OPENCODE"), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	e, err := newEveningWith(map[string]string{
		envProvider: "", envClock: "", "INSPECT_OPENCODE": agent, "INSPECT_LOCAL_ISOLATION": box, "XDG_CACHE_HOME": cache,
	}, false, kills...)
	if err != nil {
		t.Fatal(err)
	}
	scripts, err := modeltest.Parse("answers", realAnswers)
	if err == nil {
		err = e.stage.model.Add(scripts...)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("--- thread\n%s--- bot\n%s", e.stage.slack.Render(e.channel, e.thread), e.log())
		}
		e.ending()
		e.running().kill()
		if err := errors.Join(endSandboxes(e.dir, local.Isolation(box)), e.close()); err != nil {
			t.Error(err)
		}
	})
	return e
}

// playReal has ada ask and bob approve, stops the bot in good order, and returns what came of it.
func (e *evening) playReal(ctx context.Context) (*outcome, error) {
	m, err := e.stage.slack.As("ada").Mention(stageChannel, "add a note")
	if err != nil {
		return nil, err
	}
	e.channel, e.thread = m.Channel, m.TS
	if err := e.sees(ctx, "Noted.", "Changes ready", "note.txt"); err != nil {
		return nil, err
	}
	if err := e.approves(ctx, "bob", "Changes ready"); err != nil {
		return nil, err
	}
	if err := e.sees(ctx, "Opened as #1 by Bob", "Pull request #1"); err != nil {
		return nil, err
	}
	o, err := e.ends(ctx, false)
	if err != nil {
		return nil, err
	}
	messages := 0
	for _, m := range e.stage.slack.Thread(e.channel, e.thread) {
		if m.User == e.stage.slack.Bot().ID {
			messages++
		}
	}
	o = o.lasting()
	o.lines = append(o.lines, fmt.Sprintf("thread | %d messages of the bot", messages))
	return o, nil
}

// TestCrashRealAgent kills the bot at a few commits of a session with the real agent in a sandbox on this computer, and then the agent.
func TestCrashRealAgent(t *testing.T) {
	t.Parallel()
	box := isolation(t)
	bounded := func(t *testing.T) context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 2*waitLimit)
		t.Cleanup(cancel)
		return ctx
	}
	e, ctx := realEvening(t, box), bounded(t)
	want, err := e.playReal(ctx)
	if err != nil {
		t.Fatal(err)
	}
	commits, err := e.commits()
	if err != nil {
		t.Fatal(err)
	}
	parts := []int64{4, 8}
	if os.Getenv("TEST_LONG") == "1" {
		parts = []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	}
	for _, part := range parts {
		at := max(1, commits*part/11)
		t.Run(fmt.Sprintf("killed at commit %d", at), func(t *testing.T) {
			deaths := int32(0)
			for ; deaths == 0 && at > 0; at = at * 2 / 3 { // a busy bot commits less often
				e, ctx := realEvening(t, box, strconv.FormatInt(at, 10)), bounded(t)
				got, err := e.playReal(ctx)
				if err != nil {
					t.Fatal(err)
				}
				deaths = e.deaths.Load()
				if d := diff(want, got); d != "" {
					t.Errorf("%d deaths:\n%s", deaths, d)
				}
			}
			if deaths != 1 {
				t.Errorf("the bot was killed %d times", deaths)
			}
		})
	}
	t.Run("the agent is killed", func(t *testing.T) {
		e, ctx := realEvening(t, box), bounded(t)
		m, err := e.stage.slack.As("ada").Mention(stageChannel, "work slowly")
		if err != nil {
			t.Fatal(err)
		}
		e.channel, e.thread = m.Channel, m.TS
		select {
		case <-e.stage.model.Waiting("slow"):
		case <-ctx.Done():
			t.Fatal("the agent never asked the model")
		}
		if err := e.killAgents(); err != nil {
			t.Fatal(err)
		}
		for _, act := range []func() error{
			func() error { return e.sees(ctx, "This turn failed.") },
			func() error { return e.reply("bob", "once more") },
			func() error { return e.sees(ctx, "This turn failed.", "Here I am.") },
		} {
			if err := act(); err != nil {
				t.Fatal(err)
			}
		}
		e.ending()
	})
}

// killAgents ends the agent's processes with SIGKILL: the descendants of sandboxes that run its program.
func (e *evening) killAgents() error {
	records, err := filepath.Glob(filepath.Join(e.dir, "data", "sandboxes", "*.json"))
	if err != nil {
		return err
	}
	below := map[int]bool{}
	for _, r := range records {
		var process struct {
			PID int `json:"pid"`
		}
		b, err := os.ReadFile(r)
		if err == nil {
			err = json.Unmarshal(b, &process)
		}
		if err != nil {
			return err
		}
		below[process.PID] = true
	}
	killed := 0
	for again := true; again; {
		again = false
		stats, err := filepath.Glob("/proc/[0-9]*/stat")
		if err != nil {
			return err
		}
		for _, path := range stats {
			b, err := os.ReadFile(path)
			if err != nil {
				continue // it has ended
			}
			pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
			_, rest, _ := strings.Cut(string(b), ") ")
			fields := strings.Fields(rest)
			parent, _ := strconv.Atoi(fields[1])
			if below[pid] || !below[parent] {
				continue
			}
			below[pid], again = true, true
			command, err := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
			if words := strings.Split(string(command), "\x00"); err == nil && len(words) > 1 && words[1] == "serve" {
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
					return err
				}
				killed++
			}
		}
	}
	if killed == 0 {
		return errors.New("no agent was found")
	}
	return nil
}
