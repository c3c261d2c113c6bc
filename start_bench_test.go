//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sys/unix"

	"openinspect/bot/slacktest"
	"openinspect/sandbox"
	"openinspect/sandbox/link"
	"openinspect/sandbox/sandboxtest"
	"openinspect/session"
	"openinspect/session/boltdb"
	weblite "openinspect/web-lite"
)

// BenchmarkStart starts the bot, a process of its own, on 10,000 stored sessions of 20 events, whose file is not in memory, until it has its
// socket to Slack. The goal is 500 ms; what is read of the disk meanwhile shows that it is only what is open.
func BenchmarkStart(b *testing.B) {
	r := benchRig(b, nil)
	const sessions = 10_000
	if err := r.store(func(db *boltdb.DB) error { return storeSessions(b, db, sessions, 20) }); err != nil {
		b.Fatal(err)
	}
	file := filepath.Join(r.dir, "data", "openinspect.db")
	info, err := os.Stat(file)
	if err != nil {
		b.Fatal(err)
	}
	var took time.Duration
	var read float64
	for range b.N {
		if err := forget(file); err != nil {
			b.Fatal(err)
		}
		begin := time.Now()
		if err := errors.Join(r.start(""), r.connected(b.Context())); err != nil || r.bot.ended() {
			b.Fatal(err, r.log())
		}
		took += time.Since(begin)
		read += readFromDisk(b, r.bot.cmd.Process.Pid)
		r.bot.kill()
		if err := r.stage.slack.Wait(b.Context(), func(n *slacktest.Snapshot) bool { return n.Sockets() == 0 }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(took.Seconds()*1e3/float64(b.N), "ms-ready")
	b.ReportMetric(float64(info.Size())/(1<<20), "MiB-stored")
	b.ReportMetric(read/(1<<20)/float64(b.N), "MiB-read")
	b.ReportMetric(0, "ns/op") // setting up is in it
}

// storeSessions stores sessions at rest, many at a time.
func storeSessions(b *testing.B, db *boltdb.DB, sessions, events int) error {
	next := make(chan int)
	errs := make(chan error, 100)
	var wg sync.WaitGroup
	for range cap(errs) {
		wg.Go(func() {
			var err error
			for n := range next {
				if err == nil {
					s := restingSession(n)
					err = commitLog(b, db, &s, events)
				}
			}
			errs <- err
		})
	}
	for n := range sessions {
		next <- n
	}
	close(next)
	wg.Wait()
	close(errs)
	var all error
	for err := range errs {
		all = errors.Join(all, err)
	}
	return all
}

// forget drops a file from the page cache.
func forget(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
}

// readFromDisk is how many bytes a process has had fetched from the disk.
func readFromDisk(b *testing.B, pid int) float64 {
	return procNumber(b, fmt.Sprintf("/proc/%d/io", pid), "\nread_bytes:")
}

// memory is how much memory a process has that is its own, in bytes: not its program, nor what it has mapped of the store's file, which
// the kernel takes back as it likes. In kB, in proc_pid_status(5).
func memory(b *testing.B, pid int) float64 {
	return procNumber(b, fmt.Sprintf("/proc/%d/status", pid), "\nRssAnon:") * 1024
}

func procNumber(b *testing.B, file, name string) float64 {
	all, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut("\n"+string(all), name)
	rest, _, _ = strings.Cut(strings.TrimSpace(rest), "\n")
	n, err := strconv.ParseFloat(strings.TrimSuffix(rest, " kB"), 64)
	if err != nil {
		b.Fatalf("%s: %v", file, err)
	}
	return n
}

// benchRig is a rig on the computer's own clock.
func benchRig(b *testing.B, run func(context.Context, link.Boot) error) *rig {
	b.Helper()
	r, err := newRig(run)
	if err != nil {
		b.Fatal(err)
	}
	r.settings[envClock], r.settings["INSPECT_LOG_LEVEL"] = "", "warn"
	b.Cleanup(func() {
		if err := r.close(); err != nil {
			b.Error(err)
		}
	})
	return r
}

func (r *rig) log() string {
	log, _ := os.ReadFile(filepath.Join(r.dir, "bot.log")) // what there is of it
	return string(log)
}

// BenchmarkIdle holds 1,000 sessions whose sandboxes are ready, with the link to each and one reader of each log in a WebSocket, and
// looks at the bot's process. The goal is 120 MB in all.
func BenchmarkIdle(b *testing.B) {
	const sessions = 1000
	scripts := map[string]*sandboxtest.Script{}
	var mu sync.Mutex
	r := benchRig(b, func(ctx context.Context, boot link.Boot) error {
		s := &sandboxtest.Script{}
		mu.Lock()
		scripts[string(boot.Session)] = s
		mu.Unlock()
		return s.Run(ctx, boot)
	})
	var ids []session.ID
	if err := r.store(func(db *boltdb.DB) error {
		for n := range sessions {
			s := restingSession(n)
			ids = append(ids, s.ID)
			if err := idle(b, r, db, &s); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	address, err := freeAddress()
	if err != nil {
		b.Fatal(err)
	}
	r.settings["INSPECT_HTTP_ADDR"], r.settings["INSPECT_PUBLIC_URL"] = address, "http://"+address
	r.settings["INSPECT_MAX_SANDBOXES"] = strconv.Itoa(sessions)                                                            // else idle ones make room
	pages, err := logPages(make([]byte, 32), weblite.Config{Sessions: (*session.Hub)(nil), PublicURL: "http://" + address}) // signs as the bot does
	if err != nil {
		b.Fatal(err)
	}
	if err := errors.Join(r.start(""), r.connected(b.Context())); err != nil || r.bot.ended() {
		b.Fatal(err, r.log())
	}
	mu.Lock()
	for _, s := range scripts {
		for s.Dials() == 0 {
			time.Sleep(10 * time.Millisecond)
		}
	}
	mu.Unlock()
	links := memory(b, r.bot.cmd.Process.Pid)
	for _, id := range ids {
		client := enter(b, pages.Link(id))
		conn, _, err := websocket.Dial(b.Context(), "http://"+address+"/s/"+string(id)+"/live?after=0", &websocket.DialOptions{HTTPClient: client})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.CloseNow() })
		if _, _, err := conn.Read(b.Context()); err != nil {
			b.Fatal(err)
		}
		go func() { // as a page does
			for err == nil {
				_, _, err = conn.Read(context.Background())
			}
		}()
		client.CloseIdleConnections()
	}
	if os.Getenv("TEST_LONG") == "1" {
		time.Sleep(90 * time.Second) // until what starting needed is given back
	}
	b.ReportMetric(links/1e6, "MB-with-links")
	b.ReportMetric(memory(b, r.bot.cmd.Process.Pid)/1e6, "MB-with-links-and-readers")
	b.ReportMetric(0, "ns/op") // nothing is timed
}

// idle stores a session whose sandbox is ready, and makes that sandbox.
func idle(b *testing.B, r *rig, db *boltdb.DB, s *session.Session) error {
	token := "token-of-" + string(s.ID)
	start := string(s.ID) + "-1"
	h, err := r.sandboxes.Create(b.Context(), sandbox.Spec{Name: "inspect-" + start, Boot: link.Boot{Session: s.ID, Start: start, TokenHash: link.HashToken(token)}})
	if err != nil {
		return err
	}
	s.Sandbox = session.Sandbox{State: session.SandboxReady, Name: h.Name, Start: start, Mode: session.BootFresh, Handle: h, Starts: 1}
	s.IdleAt = time.Now().Add(24 * time.Hour)
	return errors.Join(db.PutSecret(b.Context(), "link/"+string(s.ID)+"/"+start, []byte(token)), commitLog(b, db, s, 20))
}

// BenchmarkRunner looks at a runner that waits for prompts, without its agent. The goal is 40 MB.
func BenchmarkRunner(b *testing.B) {
	r := benchRig(b, nil)
	r.settings[envProvider], r.settings[envAgent], r.settings["INSPECT_LOCAL_ISOLATION"] = "", "script", "none"
	b.Cleanup(func() {
		if err := endSandboxes(r.dir, "none"); err != nil {
			b.Error(err)
		}
	})
	if err := errors.Join(r.start(""), r.connected(b.Context())); err != nil || r.bot.ended() {
		b.Fatal(err, r.log())
	}
	m, err := r.stage.slack.As("ada").Mention(stageChannel, "look around !say Nothing to do.")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(b.Context(), waitLimit)
	defer cancel()
	if _, err := r.stage.message(ctx, m.Channel, m.TS, func(_ slacktest.Message, text string) bool { return strings.Contains(text, "Nothing to do.") }); err != nil {
		b.Fatal(err, r.log())
	}
	b.ReportMetric(memory(b, runnerOf(b, r))/1e6, "MB")
	b.ReportMetric(0, "ns/op") // nothing is timed
}

// runnerOf returns the process id of the one runner that works.
func runnerOf(b *testing.B, r *rig) int {
	records, err := filepath.Glob(filepath.Join(r.dir, "data", "sandboxes", "*.json"))
	if err != nil || len(records) != 1 {
		b.Fatalf("%d sandboxes, %v", len(records), err)
	}
	body, err := os.ReadFile(records[0])
	if err != nil {
		b.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(body), `"pid":`)
	pid, err := strconv.Atoi(rest[:max(0, strings.IndexAny(rest, ",}"))])
	if !ok || err != nil {
		b.Fatalf("no process in %s: %v", body, err)
	}
	return pid
}
