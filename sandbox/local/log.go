package local

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Limits of NAME.log.
const (
	maxLog   = 4 << 20                // bytes, beyond which it is cut
	keptLog  = 1 << 20                // of its newest part, which stay
	logPause = 100 * time.Millisecond // between two looks at logs that are written to all the time
)

// logs keeps what living sandboxes print within bounds. A sandbox holds its log open, so nobody but the kernel knows when it writes: inotify(7)
// tells, and nothing is done while nothing is printed. The zero value is ready.
type logs struct {
	mu      sync.Mutex       // held while a log is cut, too: none is cut twice at once, or once it is forgotten
	file    *os.File         // the inotify instance; nil while no log is watched
	paths   map[int32]string // by watch
	watches map[string]int32 // by path
	report  func(sandbox string, err error)
}

// watch bounds a log from now on.
func (l *logs) watch(path string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.watches[path]; ok {
		return nil
	}
	if l.file == nil {
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
		if err != nil {
			return os.NewSyscallError("inotify_init1", err)
		}
		l.file, l.paths, l.watches = os.NewFile(uintptr(fd), "inotify"), map[int32]string{}, map[string]int32{}
		go l.follow(l.file)
	}
	w, err := l.add(path)
	if err != nil {
		l.closeUnused()
		return err
	}
	l.paths[w], l.watches[path] = path, w
	return trim(path) // it may have grown while nobody watched
}

func (l *logs) add(path string) (w int32, err error) {
	raw, err := l.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		n, err := unix.InotifyAddWatch(int(fd), path, unix.IN_MODIFY)
		w, failed = int32(n), os.NewSyscallError("inotify_add_watch", err)
	})
	return w, errors.Join(err, failed)
}

// forget ends watching a log, and all of it with the last.
func (l *logs) forget(path string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w, ok := l.watches[path]
	if !ok {
		return
	}
	delete(l.watches, path)
	delete(l.paths, w)
	if raw, err := l.file.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _, _ = unix.InotifyRmWatch(int(fd), uint32(w)) }) // it went with a file that was removed
	}
	l.closeUnused()
}

func (l *logs) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.watches)
	clear(l.paths)
	l.closeUnused()
}

// closeUnused closes the instance when no log is watched: a user has 128 of them.
func (l *logs) closeUnused() {
	if l.file != nil && len(l.watches) == 0 {
		_ = l.file.Close() // which ends follow
		l.file = nil
	}
}

// follow cuts logs that became too long, until file is closed.
func (l *logs) follow(file *os.File) {
	buf := make([]byte, 4096)
	for {
		n, err := file.Read(buf)
		if err != nil {
			return
		}
		written := map[int32]bool{}
		for b := buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
			written[int32(binary.NativeEndian.Uint32(b))] = true
			b = b[min(len(b), unix.SizeofInotifyEvent+int(binary.NativeEndian.Uint32(b[12:]))):]
		}
		for w := range written {
			if path, err := l.cut(w); err != nil && !errors.Is(err, fs.ErrNotExist) {
				l.report(strings.TrimSuffix(filepath.Base(path), ".log"), err)
			}
		}
		time.Sleep(logPause) // who prints without end must not keep us busy
	}
}

// cut trims the log of a watch, unless it was forgotten since it was written to.
func (l *logs) cut(w int32) (path string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if path = l.paths[w]; path != "" {
		err = trim(path)
	}
	return path, err
}

// trim cuts a log that became too long down to its newest part. What is printed meanwhile may be lost. Whoever prints goes on at the new end.
func trim(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() <= maxLog {
		return err
	}
	newest := make([]byte, keptLog)
	n, err := f.ReadAt(newest, info.Size()-keptLog)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	newest = newest[:n]
	if _, after, ok := bytes.Cut(newest, []byte("\n")); ok {
		newest = after
	}
	kept := append([]byte("(what came before was cut off)\n"), newest...)
	if _, err := f.WriteAt(kept, 0); err != nil { // before the cut, or what is printed in between would come first
		return err
	}
	return f.Truncate(int64(len(kept)))
}
