//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"openinspect/session"
	"openinspect/session/boltdb"
)

// stallLimit is how long a reader of a backup may take for one piece: a snapshot is open meanwhile.
const stallLimit = time.Minute

// brokenOff is the trailer of a backup that is not whole: it says why.
const brokenOff = "Broken-Off"

// serveBackup answers with a backup of the running bot's data directory. After an error it has no manifest, and so is none; why is told behind it.
func serveBackup(dataDir string, source backupSource) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out := &steady{w: w, control: http.NewResponseController(w)}
		if err := writeArchive(r.Context(), out, dataDir, source); err != nil {
			w.Header().Set(http.TrailerPrefix+brokenOff, session.OneLine(reason(err), 500))
		}
	}
}

// reason is an error in words for the operator.
func reason(err error) string {
	if _, ours := errors.AsType[*session.Error](err); !ours {
		return err.Error()
	}
	words := session.Sentence(err)
	if cause := cause(err); cause != "" {
		words += " (" + cause + ")"
	}
	return words
}

// received is the body of a running bot's backup, which ends with the reason if it is not whole.
type received struct {
	io.ReadCloser
	resp *http.Response
}

func (r received) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if why := r.resp.Trailer.Get(brokenOff); err == io.EOF && why != "" {
		err = session.Errorf(session.Unavailable, "%s", why)
	}
	return n, err
}

// steady writes to a reader that has to keep up.
type steady struct {
	w       io.Writer
	control *http.ResponseController
}

func (s *steady) Write(p []byte) (int, error) {
	if err := s.control.SetWriteDeadline(time.Now().Add(stallLimit)); err != nil {
		return 0, err
	}
	return s.w.Write(p)
}

type backupCommand struct {
	data
	File string `arg:"" help:"File to make; - writes to standard output."`
}

// Run makes a backup, of a bot that runs or of a data directory at rest, and checks it as it is written.
func (c *backupCommand) Run(ctx context.Context) error {
	dir, err := c.dir()
	if err != nil {
		return err
	}
	out, finish := io.Writer(os.Stdout), func() error { return nil }
	if c.File != "-" {
		if _, err := os.Lstat(c.File); !errors.Is(err, fs.ErrNotExist) {
			return session.Errorf(session.Conflict, "%s exists already. Name a file that does not.", c.File)
		}
		f, err := os.CreateTemp(filepath.Dir(c.File), ".backup-*") // 0600
		if err != nil {
			return session.Errorf(session.Invalid, "No file can be made beside %s: %v", c.File, err)
		}
		defer os.Remove(f.Name())
		defer f.Close()
		out = f
		finish = func() error {
			if err := errors.Join(f.Sync(), f.Close()); err != nil {
				return err
			}
			return errors.Join(os.Rename(f.Name(), c.File), syncPath(filepath.Dir(c.File)))
		}
	}
	in, err := openBackup(ctx, dir)
	if err != nil {
		return err
	}
	defer in.Close()
	r := io.TeeReader(in, out)
	m, err := readArchive(r, func(_ string, _ int64, r io.Reader) error {
		_, err := io.Copy(io.Discard, r)
		return err
	})
	if err == nil {
		_, err = io.Copy(io.Discard, r) // what tar puts at the end
	}
	if err == nil {
		err = finish()
	}
	if err != nil {
		return notMade(err)
	}
	fmt.Fprintf(os.Stderr, "Backed up: %s. The master key is not in it; keep it elsewhere, or the backup cannot be used.\n", m.summary())
	for _, name := range m.Damaged {
		fmt.Fprintf(os.Stderr, "Damaged in the data directory, and so not in the backup: %s\n", name)
	}
	return nil
}

// notMade says that there is no backup, and why. What reading it found damaged is for whoever restores one: here it broke off.
func notMade(err error) error {
	message := "The backup was not made."
	if e, ok := errors.AsType[*session.Error](err); ok && e.Code != session.Invalid {
		message += " " + session.Sentence(err)
	}
	return &session.Error{Code: session.Unavailable, Op: "backup", Message: message, Err: err}
}

// openBackup returns the running bot's backup or, if none runs, that of the directory.
func openBackup(ctx context.Context, dir string) (io.ReadCloser, error) {
	if client, ok := dialControl(dir); ok {
		req, err := http.NewRequestWithContext(ctx, "GET", "http://bot/backup", nil)
		if err != nil {
			return nil, err
		}
		resp, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusOK {
			defer resp.Body.Close()
			return nil, remoteError(resp)
		}
		return received{resp.Body, resp}, nil
	}
	file := filepath.Join(dir, storeName)
	if err := hasStore(dir); err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	go func() {
		w.CloseWithError(writeArchive(ctx, w, dir, func(ctx context.Context, add boltdb.Add) ([]string, error) {
			return boltdb.BackupFile(ctx, file, add)
		}))
	}()
	return r, nil
}

type restoreCommand struct {
	data
	File string `arg:"" help:"Backup to restore; - reads standard input."`
}

// Run puts a backup into a data directory that is empty or does not exist: all of it or nothing.
func (c *restoreCommand) Run(ctx context.Context) (err error) {
	dir, err := c.dir()
	if err != nil {
		return err
	}
	if err := empty(dir); err != nil {
		return err
	}
	if there, err := filepath.EvalSymlinks(dir); err == nil {
		dir = there
	}
	key, err := existingKey(systemEnvironment())
	if err != nil {
		return err
	}
	in := os.Stdin
	if c.File != "-" {
		if in, err = os.Open(c.File); err != nil {
			return session.Errorf(session.Invalid, "%s cannot be read: %v", c.File, err)
		}
		defer in.Close()
	}
	made := firstMissing(dir)
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	defer func() {
		if err != nil && made != "" {
			removeEmpty(filepath.Dir(dir), made)
		}
	}()
	temp, err := os.MkdirTemp(workshop(dir), ".restore-*") // 0700
	if err != nil {
		return session.Errorf(session.Invalid, "Nothing can be written beside or in %s: %v", dir, err)
	}
	defer os.RemoveAll(temp)
	m, err := readArchive(in, func(name string, _ int64, r io.Reader) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return extract(filepath.Join(temp, filepath.FromSlash(name)), r)
	})
	if err != nil {
		return err
	}
	sessions, err := accept(ctx, temp, key)
	if err != nil {
		return err
	}
	if err := place(temp, dir); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return &session.Error{Code: session.Conflict, Op: "restore", Message: "Something was put into " + dir + " meanwhile, so nothing was restored. Stop the bot and move its directory away first.", Err: err}
		}
		return session.Wrap("restore", err)
	}
	fmt.Fprintf(os.Stderr, "Restored into %s: %d sessions; %s, as of %s.\n", dir, sessions, m.summary(), m.Made.Local().Format("2006-01-02 15:04"))
	return nil
}

// empty refuses a directory that has anything in it.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &ConfigError{"INSPECT_DATA_DIR", "cannot be read: " + err.Error()}
	}
	for _, e := range entries {
		if e.Name() != "lost+found" { // of a file system of its own
			return &ConfigError{"INSPECT_DATA_DIR", "is " + dir + ", which is not empty. A backup is restored into an empty directory; move the old one away first."}
		}
	}
	return nil
}

// extract writes one file, durably.
func extract(path string, r io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Sync(), f.Close())
}

// bareConfig is the configuration of a quarantine. It is not taken from a backup: a git configuration can name programs to run.
const bareConfig = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"

// accept checks a restored store with the master key, brings it up to date and marks it; and it completes the repositories with commits.
func accept(ctx context.Context, dir string, key []byte) (sessions int, err error) {
	db, err := boltdb.Open(filepath.Join(dir, storeName), boltdb.Options{MasterKey: key})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.MarkRestored(ctx); err != nil {
		return 0, err
	}
	list, err := db.List(ctx, 1<<30)
	if err != nil {
		return 0, err
	}
	repositories, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(quarantineDir), "*.git"))
	if err != nil {
		return 0, err
	}
	for _, r := range repositories {
		err := errors.Join(os.MkdirAll(filepath.Join(r, "refs"), 0o700), os.MkdirAll(filepath.Join(r, "objects", "info"), 0o700),
			os.WriteFile(filepath.Join(r, "config"), []byte(bareConfig), 0o600))
		if err != nil {
			return 0, err
		}
	}
	return len(list), nil
}

// workshop returns where a directory is made ready: beside it, so that one rename puts it in place; or, where it is a file system of its own
// or nothing can be made beside it, inside.
func workshop(dir string) string {
	parent := filepath.Dir(dir)
	var in, out syscall.Stat_t
	if syscall.Stat(dir, &in) != nil {
		return parent // it does not exist yet
	}
	if syscall.Stat(parent, &out) != nil || in.Dev != out.Dev || syscall.Access(parent, 0x2) != nil {
		return dir
	}
	return parent
}

// place puts what was restored into place: by one rename, or by several, and the store last. A store that a bot made there meanwhile stays.
func place(temp, dir string) error {
	if err := syncTree(temp); err != nil {
		return err
	}
	if parent := filepath.Dir(dir); filepath.Dir(temp) == parent {
		return errors.Join(os.Rename(temp, dir), syncPath(parent)) // also over an empty directory
	}
	var put []string
	for _, name := range []string{boltdb.BlobDir, "git", storeName} {
		move := os.Rename
		if name == storeName {
			move = os.Link // takes no other file's place
		}
		err := move(filepath.Join(temp, name), filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) && name != storeName {
			continue
		}
		if err != nil {
			for _, name := range put {
				err = errors.Join(err, os.RemoveAll(filepath.Join(dir, name)))
			}
			return err
		}
		put = append(put, name)
	}
	return syncPath(dir)
}

// syncTree makes everything in a directory durable.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && (d.IsDir() || d.Type().IsRegular()) {
			err = syncPath(p)
		}
		return err
	})
}

// firstMissing returns the topmost directory on the way to dir that does not exist, "" if its parent does.
func firstMissing(dir string) string {
	missing := ""
	for d := filepath.Dir(dir); ; d = filepath.Dir(d) {
		if _, err := os.Lstat(d); !errors.Is(err, fs.ErrNotExist) || d == filepath.Dir(d) {
			return missing
		}
		missing = d
	}
}

// removeEmpty removes the directories from dir up to top that a restore made for nothing.
func removeEmpty(dir, top string) {
	for ; len(dir) >= len(top); dir = filepath.Dir(dir) {
		if os.Remove(dir) != nil {
			return
		}
	}
}
