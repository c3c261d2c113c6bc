package runner

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// shelf is the directory of a sandbox's journals, one for each start of a runner. A runner that died may have written what the bot has not
// read; the one after it hands that out before its own, and throws a journal away when the bot asks for a later one.
type shelf struct {
	dir string
	own volume

	mu    sync.Mutex
	older []volume // those of earlier starts, oldest first
}

// volume is one journal. Its file is NUMBER-ID.jsonl: numbers go up with the starts, whatever their ids are.
type volume struct {
	number int
	id     string
}

var volumeName = regexp.MustCompile(`^([0-9]{1,9})-([A-Za-z0-9_-]{1,200})\.jsonl$`)

func (v volume) file() string { return fmt.Sprintf("%04d-%s.jsonl", v.number, v.id) }

// openShelf looks through dir, which it makes if need be, and finds the place of the journal that is to be written.
func openShelf(dir, own string) (*shelf, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	s := &shelf{dir: dir, own: volume{number: 1, id: own}}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), reserveSuffix) {
			_ = os.Remove(filepath.Join(dir, e.Name())) // of a runner that was killed
			continue
		}
		m := volumeName.FindStringSubmatch(e.Name())
		if m == nil || !e.Type().IsRegular() {
			continue
		}
		n, err := strconv.Atoi(m[1])
		if v := (volume{n, m[2]}); err == nil && v.file() == e.Name() {
			s.older = append(s.older, v)
		}
	}
	slices.SortFunc(s.older, func(a, b volume) int { return a.number - b.number })
	if last := len(s.older) - 1; last >= 0 {
		if s.own.number = s.older[last].number + 1; s.older[last].id == own { // the same start again
			s.own, s.older = s.older[last], s.older[:last]
		}
	}
	return s, nil
}

func (s *shelf) path(v volume) string { return filepath.Join(s.dir, v.file()) }

// after returns what comes next for a bot that has stored the journal id up to a number: lines of an earlier journal, or nil when the rest is
// in the one that is being written. What the bot can have no use for any more is thrown away. The caller closes the reading.
func (s *shelf) after(id string, n int64) (*reading, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.IndexFunc(s.older, func(v volume) bool { return v.id == id })
	if id == s.own.id {
		at = len(s.older)
	}
	if at < 0 {
		return nil, nil // not of this sandbox: the bot has had nothing from here
	}
	for _, v := range s.older[:at] {
		if err := os.Remove(s.path(v)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	s.older = slices.Delete(s.older, 0, at)
	for i, v := range s.older {
		if i > 0 {
			n = 0
		}
		r, err := s.read(v, n)
		if r != nil || err != nil {
			return r, err
		}
	}
	return nil, nil
}

// reading is the rest of an earlier journal.
type reading struct {
	*io.SectionReader
	f     *os.File
	id    string
	after int64
}

func (r *reading) Close() error { return r.f.Close() }

// read opens a journal after line n; nil when it has no more whole lines, or is gone.
func (s *shelf) read(v volume, n int64) (*reading, error) {
	f, err := os.OpenFile(s.path(v), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0) // the agent can put anything there
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	from, err := skipLines(f, n)
	if err == nil {
		var to int64
		if to, err = wholeLines(f); err == nil && to > from {
			return &reading{SectionReader: io.NewSectionReader(f, from, to-from), f: f, id: v.id, after: n}, nil
		}
	}
	return nil, errors.Join(err, f.Close())
}

// wholeLines returns how many bytes of f are lines that were ended; the last may have been torn when its runner died.
func wholeLines(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	buffer := make([]byte, 64<<10)
	for end := info.Size(); end > 0; {
		begin := max(0, end-int64(len(buffer)))
		part := buffer[:end-begin]
		if _, err := f.ReadAt(part, begin); err != nil {
			return 0, err
		}
		for i := len(part) - 1; i >= 0; i-- {
			if part[i] == '\n' {
				return begin + int64(i) + 1, nil
			}
		}
		end = begin
	}
	return 0, nil
}
