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

// journalDir is the directory of a sandbox's journals, one for each start of a runner. A runner that died may have written what the bot has not
// read; the one after it hands that out before its own, and throws a journal away when the bot asks for a later one.
type journalDir struct {
	dir string
	own journalFile

	mu    sync.Mutex
	older []journalFile // those of earlier starts, oldest first
}

// journalFile is one journal. Its name is NUMBER-ID.jsonl: numbers go up with the starts, whatever their ids are.
type journalFile struct {
	number int
	id     string
}

var journalFileName = regexp.MustCompile(`^([0-9]{1,9})-([A-Za-z0-9_-]{1,200})\.jsonl$`)

func (f journalFile) base() string { return fmt.Sprintf("%04d-%s.jsonl", f.number, f.id) }

// openJournalDir looks through dir, which it makes if need be, and finds the place of the journal that is to be written.
func openJournalDir(dir, own string) (*journalDir, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	s := &journalDir{dir: dir, own: journalFile{number: 1, id: own}}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), reserveSuffix) {
			_ = os.Remove(filepath.Join(dir, e.Name())) // of a runner that was killed
			continue
		}
		m := journalFileName.FindStringSubmatch(e.Name())
		if m == nil || !e.Type().IsRegular() {
			continue
		}
		n, err := strconv.Atoi(m[1])
		if v := (journalFile{n, m[2]}); err == nil && v.base() == e.Name() {
			s.older = append(s.older, v)
		}
	}
	slices.SortFunc(s.older, func(a, b journalFile) int { return a.number - b.number })
	if last := len(s.older) - 1; last >= 0 {
		if s.own.number = s.older[last].number + 1; s.older[last].id == own { // the same start again
			s.own, s.older = s.older[last], s.older[:last]
		}
	}
	return s, nil
}

func (d *journalDir) path(f journalFile) string { return filepath.Join(d.dir, f.base()) }

// after returns what comes next for a bot that has stored the journal id up to a number: lines of an earlier journal, or nil when the rest is
// in the one that is being written. What the bot can have no use for any more is thrown away. The caller closes it.
func (d *journalDir) after(id string, n int64) (*journalReader, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := slices.IndexFunc(d.older, func(f journalFile) bool { return f.id == id })
	if id == d.own.id {
		at = len(d.older)
	}
	if at < 0 {
		return nil, nil // not of this sandbox: the bot has had nothing from here
	}
	for _, v := range d.older[:at] {
		if err := os.Remove(d.path(v)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	d.older = slices.Delete(d.older, 0, at)
	for i, v := range d.older {
		if i > 0 {
			n = 0
		}
		r, err := d.read(v, n)
		if r != nil || err != nil {
			return r, err
		}
	}
	return nil, nil
}

// journalReader is the rest of an earlier journal.
type journalReader struct {
	*io.SectionReader
	f     *os.File
	id    string
	after int64
}

func (r *journalReader) Close() error { return r.f.Close() }

// read opens a journal after line n; nil when it has no more whole lines, or is gone.
func (d *journalDir) read(v journalFile, n int64) (*journalReader, error) {
	f, err := os.OpenFile(d.path(v), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0) // the agent can put anything there
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
			return &journalReader{SectionReader: io.NewSectionReader(f, from, to-from), f: f, id: v.id, after: n}, nil
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
