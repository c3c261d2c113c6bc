package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// readerBuffer is how many bytes may wait for one reader; beyond that it reads on from the file and misses deltas.
const readerBuffer = 1 << 20

// journal is the log of one runner start: a file of link.Line, numbered from 1 without gaps, so that line i has number i.
// An event is on the file (write(2)) before any reader sees it; no fsync is needed, because a crash of the machine makes
// another journal id. Deltas pass live readers by and are never written.
type journal struct {
	id    string
	path  string
	clock session.Clock
	seen  map[string]bool // prompts that the journal already held when it was opened

	order   sync.Mutex // held by whoever appends: while the disk is full, everybody waits for their turn
	spare   bool       // there is a reserve; whoever holds order
	mu      sync.Mutex
	f       *os.File
	n       int64
	size    int64
	err     error
	broken  chan struct{} // closed with err set: nothing can be told any more
	readers map[*reader]bool
}

// kernelBootID names this run of the kernel.
func kernelBootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(b)), nil
}

// openJournal opens or makes the journal at path. A last line without its newline was torn by a crash; nobody has seen it, and it is dropped.
func openJournal(path, id string, clock session.Clock) (*journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	j := &journal{id: id, path: path, clock: clock, f: f, seen: map[string]bool{}, broken: make(chan struct{}), readers: map[*reader]bool{}}
	old, err := io.ReadAll(f)
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, err
	}
	whole := old[:bytes.LastIndexByte(old, '\n')+1]
	if len(whole) != len(old) {
		if err := f.Truncate(int64(len(whole))); err != nil {
			_ = f.Close() // nothing was written
			return nil, err
		}
	}
	for line := range bytes.Lines(whole) {
		var l link.Line
		if json.Unmarshal(line, &l) == nil && l.Event != nil && l.Event.PromptID != "" {
			j.seen[l.Event.PromptID] = true
		}
		j.n++
	}
	j.size = int64(len(whole))
	j.reserve()
	return j, nil
}

// reserveSize is what a journal keeps free for itself on its disk, in a file of its own: enough to tell that the disk is full.
const (
	reserveSize   = 32 << 10
	reserveSuffix = ".reserve"
)

func (j *journal) reserved() string { return j.path + reserveSuffix }

// reserve takes it, if there is room.
func (j *journal) reserve() {
	if err := os.WriteFile(j.reserved(), make([]byte, reserveSize), 0o600); err == nil {
		j.spare = true
		return
	}
	_ = os.Remove(j.reserved()) // what there was room for
}

// fullDisk is told of the turn whose event found no room.
const fullDisk = "The sandbox's disk is full: what the agent writes there fails, and what it does is shown only as far as there is room. " +
	"Stop the turn, or wait for its end, and ask the agent to remove what is not needed."

// roomEvery is how often a journal on a full disk looks whether there is room again.
const roomEvery = time.Second

// append numbers an event, writes it and shows it to the readers. On a full disk it says so, and then waits for room: what the agent does must be told, and a
// runner that gave up would only be started again on the same disk.
func (j *journal) append(e session.Event) error {
	if e.At.IsZero() {
		e.At = j.clock.Now()
	}
	j.order.Lock()
	defer j.order.Unlock()
	for {
		err := j.enter(e)
		if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
			if err == nil && !j.spare {
				j.reserve()
			}
			return err
		}
		if j.spare {
			j.spare = false
			_ = os.Remove(j.reserved()) // if it is gone, there is no more room than before
			_ = j.enter(session.Event{At: e.At, Kind: session.KindError, PromptID: e.PromptID, Error: &session.Failure{Code: session.Unavailable, Message: fullDisk}})
			continue
		}
		room := make(chan struct{})
		stop := j.clock.AfterFunc(roomEvery, func() { close(room) })
		select {
		case <-room:
		case <-j.broken:
			stop()
			return err
		}
	}
}

// enter writes one event. A full disk is its only error after which it may be called again.
func (j *journal) enter(e session.Event) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return j.err
	}
	line, err := encodeLine(j.n+1, e)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if _, err := j.f.Write(line); err != nil {
		err = fmt.Errorf("journal: %w", err)
		// A torn line must not be followed by another; opening drops it otherwise.
		torn := j.f.Truncate(j.size)
		if torn != nil || !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
			j.fail(err)
			return j.err
		}
		return err
	}
	j.n++
	j.size += int64(len(line))
	for r := range j.readers {
		r.offer(line, true)
	}
	return nil
}

// delta shows a delta to the readers that are live.
func (j *journal) delta(d session.Delta) {
	line, err := json.Marshal(link.Line{Delta: &d})
	if err != nil || len(line) >= link.MaxLine {
		return // the finished part follows anyway
	}
	line = append(line, '\n')
	j.mu.Lock()
	defer j.mu.Unlock()
	for r := range j.readers {
		r.offer(line, false)
	}
}

// newest returns the number of the last event.
func (j *journal) newest() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.n
}

func (j *journal) fail(err error) {
	if j.err == nil {
		j.err = err
		close(j.broken)
		for r := range j.readers {
			r.wake()
		}
	}
}

// errClosed ends the readers of a journal that was closed.
var errClosed = errors.New("journal: closed")

func (j *journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.fail(errClosed)
	_ = os.Remove(j.reserved()) // there may be none
	return j.f.Close()
}

// reader is one GET /events. It is behind, and reads the file, or live, and gets lines through its queue.
type reader struct {
	offset int64 // bytes of the file served
	behind bool
	queue  []queued
	bytes  int
	beat   bool // a heartbeat is due
	woken  chan struct{}
}

type queued struct {
	line     []byte
	numbered bool
}

func (r *reader) wake() {
	select {
	case r.woken <- struct{}{}:
	default:
	}
}

// offer is called with the journal locked.
func (r *reader) offer(line []byte, numbered bool) {
	switch {
	case r.behind:
	case r.bytes+len(line) > readerBuffer:
		r.behind, r.queue, r.bytes = true, nil, 0
	default:
		r.queue = append(r.queue, queued{line, numbered})
		r.bytes += len(line)
	}
	r.wake()
}

// follow writes every line after a number, first from the file, then as they come, and a heartbeat when nothing came for
// link.Heartbeat. It flushes whenever it has caught up. It returns ctx's error, w's, or the journal's.
func (j *journal) follow(ctx context.Context, after int64, w io.Writer, flush func()) error {
	f, err := os.Open(j.path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := &reader{behind: true, woken: make(chan struct{}, 1)}
	if r.offset, err = skipLines(f, after); err != nil {
		return err
	}
	j.mu.Lock()
	j.readers[r] = true
	j.mu.Unlock()
	defer func() {
		j.mu.Lock()
		delete(j.readers, r)
		j.mu.Unlock()
	}()
	for {
		stop := j.clock.AfterFunc(link.Heartbeat, func() {
			j.mu.Lock()
			r.beat = true
			j.mu.Unlock()
			r.wake()
		})
		err := j.serve(ctx, r, f, w)
		stop()
		if err != nil {
			return err
		}
		flush()
	}
}

// serve waits until there is something for r and writes it.
func (j *journal) serve(ctx context.Context, r *reader, f io.ReaderAt, w io.Writer) error {
	for {
		j.mu.Lock()
		size, broken, queue, beat := j.size, j.err, r.queue, r.beat
		lagging := r.behind && size > r.offset
		if !lagging {
			r.behind = false
		}
		r.queue, r.bytes, r.beat = nil, 0, false
		j.mu.Unlock()
		switch {
		case lagging:
			n, err := io.Copy(w, io.NewSectionReader(f, r.offset, size-r.offset))
			r.offset += n
			return err
		case len(queue) > 0:
			return r.write(w, queue)
		case broken != nil:
			return broken
		case beat:
			_, err := w.Write([]byte("{}\n"))
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.woken:
		}
	}
}

// chunkSize is from how many bytes on lines are written together: each write is a frame of the link, and with a usual line more it still fits into the
// bot's buffer of 64 KiB.
const chunkSize = 62 << 10

// write writes lines of the queue.
func (r *reader) write(w io.Writer, queue []queued) error {
	var chunk []byte
	for i, q := range queue {
		if chunk = append(chunk, q.line...); len(chunk) < chunkSize && i < len(queue)-1 {
			continue
		}
		if _, err := w.Write(chunk); err != nil {
			return err
		}
		chunk = chunk[:0]
	}
	for _, q := range queue {
		if q.numbered {
			r.offset += int64(len(q.line))
		}
	}
	return nil
}

// skipLines returns how many bytes the first n lines of f take.
func skipLines(f io.ReaderAt, n int64) (int64, error) {
	var offset int64
	buffer := make([]byte, 64<<10)
	for n > 0 {
		got, err := f.ReadAt(buffer, offset)
		for i, c := range buffer[:got] {
			if c != '\n' {
				continue
			}
			if n--; n == 0 {
				return offset + int64(i) + 1, nil
			}
		}
		offset += int64(got)
		if err == io.EOF {
			return offset, nil
		}
		if err != nil {
			return 0, err
		}
	}
	return offset, nil
}

// millis is how long something took, at least 1, because 0 means unknown.
func millis(d time.Duration) int64 { return max(1, d.Milliseconds()) }
