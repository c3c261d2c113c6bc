//go:build linux

package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"openinspect/session"
	"openinspect/session/boltdb"
)

// A backup is a tar file. Its first entry tells the format; then come the store, its blobs, and the commits that the bot holds; its last
// entry is the manifest, with the size and SHA-256 of each. Without that it is not whole. Neither the master key nor sandboxes' files
// nor mirrors of repositories are in it.
const (
	archiveMark   = "openinspect-backup"
	archiveFormat = "1"
	manifestName  = "manifest.json"
	storeName     = "openinspect.db"
	maxManifest   = 256 << 20
)

// inventory is the last entry of a backup.
type inventory struct {
	Format  string    `json:"format"`
	Version string    `json:"version"` // of the program that made it
	Made    time.Time `json:"made"`
	Files   []filed   `json:"files"`
	Damaged []string  `json:"damaged,omitempty"` // blobs that could not be read, and are not in it
	total   int64     // bytes of the files
}

type filed struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// backupSource is a store that can be backed up.
type backupSource func(ctx context.Context, add boltdb.Add) (damaged []string, err error)

// writeArchive writes a backup of a data directory to w.
func writeArchive(ctx context.Context, w io.Writer, dataDir string, store backupSource) error {
	t := tar.NewWriter(w)
	m := inventory{Format: archiveFormat, Version: version(), Made: time.Now().UTC()}
	entry := func(name string, size int64, write func(io.Writer) error) error {
		return errors.Join(t.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: size, ModTime: m.Made, Format: tar.FormatPAX}), write(t))
	}
	text := func(name string, b []byte) error {
		return entry(name, int64(len(b)), func(w io.Writer) error { _, err := w.Write(b); return err })
	}
	add := func(name string, size int64, write func(io.Writer) error) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		sum := sha256.New()
		if err := entry(name, size, func(w io.Writer) error { return write(io.MultiWriter(w, sum)) }); err != nil {
			return err
		}
		m.Files = append(m.Files, filed{name, size, hex.EncodeToString(sum.Sum(nil))})
		return nil
	}
	if err := text(archiveMark, []byte(archiveFormat+"\n")); err != nil {
		return err
	}
	var err error
	if m.Damaged, err = store(ctx, add); err != nil {
		return err
	}
	// After the store: whatever commit a card in it promises is there by now. Refs before objects: what a ref names was there before it.
	for _, objects := range []bool{false, true} {
		if err := addCommits(dataDir, objects, add); err != nil {
			return err
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return errors.Join(text(manifestName, b), t.Close())
}

// quarantineDir is where package github keeps the commits it has checked.
const quarantineDir = "git/quarantine"

// commitFile is a name of a file that belongs to commits the bot holds: no configuration and no hook.
var commitFile = regexp.MustCompile(`^git/quarantine/[a-z2-7]{10}\.git/(HEAD|packed-refs|refs/.+|objects/([0-9a-f]{2}/[0-9a-f]{38}|pack/pack-[0-9a-f]{40}\.(pack|idx|rev|promisor)))$`)

func addCommits(dataDir string, objects bool, add boltdb.Add) error {
	root := filepath.Join(dataDir, filepath.FromSlash(quarantineDir))
	return filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // none yet, or gone meanwhile
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(dataDir, p)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		if !validName(name) || strings.HasSuffix(name, ".lock") || strings.Contains(name, "/objects/") != objects {
			return nil
		}
		f, err := os.Open(p)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		return add(name, info.Size(), func(w io.Writer) error {
			_, err := io.CopyN(w, f, info.Size())
			return err
		})
	})
}

var blobName = regexp.MustCompile(`^blobs/[0-9a-f]{64}$`)

// validName reports whether a file of that name belongs into a backup, and so into a data directory.
func validName(name string) bool {
	if name == storeName || blobName.MatchString(name) {
		return true
	}
	return commitFile.MatchString(name) && filepath.IsLocal(name) && path.Clean(name) == name && !strings.ContainsAny(name, "\\\x00")
}

// damagedArchive says that a backup cannot be used.
func damagedArchive(format string, args ...any) error {
	return session.Errorf(session.Invalid, "This backup cannot be used: "+format+". Nothing was restored.", args...)
}

// readArchive reads a backup to its end, hands each file to take, and checks all of them against the manifest.
func readArchive(r io.Reader, take func(name string, size int64, r io.Reader) error) (*inventory, error) {
	t := tar.NewReader(r)
	broken := func(err error) error {
		if _, ok := errors.AsType[*session.Error](err); ok {
			return err // whoever makes the backup says why it breaks off
		}
		return &session.Error{Code: session.Invalid, Message: session.Sentence(damagedArchive("it breaks off or is damaged")), Err: err}
	}
	seen := map[string]filed{}
	for first := true; ; first = false {
		h, err := t.Next()
		if err != nil {
			return nil, broken(err) // io.EOF too: there was no manifest
		}
		switch {
		case first:
			b, err := io.ReadAll(io.LimitReader(t, 64))
			if err != nil || h.Name != archiveMark {
				return nil, damagedArchive("it is no backup of openinspect")
			}
			if f := strings.TrimSpace(string(b)); f != archiveFormat {
				return nil, damagedArchive("it has format %q, and this openinspect knows %s; use a newer one", session.OneLine(f, 20), archiveFormat)
			}
			continue
		case h.Typeflag != tar.TypeReg || sparse(h):
			return nil, damagedArchive("%q in it is not a plain file", session.OneLine(h.Name, 100))
		case h.Name == manifestName:
			return readManifest(t, seen, broken)
		case !validName(h.Name):
			return nil, damagedArchive("%q does not belong into one", session.OneLine(h.Name, 100))
		}
		if _, twice := seen[h.Name]; twice {
			return nil, damagedArchive("%q is in it twice", session.OneLine(h.Name, 100))
		}
		sum := sha256.New()
		if err := take(h.Name, h.Size, io.TeeReader(t, sum)); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return nil, broken(err)
			}
			return nil, err
		}
		seen[h.Name] = filed{h.Name, h.Size, hex.EncodeToString(sum.Sum(nil))}
	}
}

// sparse reports whether an entry says that it has holes, and so may be read as much more than there is of it.
func sparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

func readManifest(t *tar.Reader, seen map[string]filed, broken func(error) error) (*inventory, error) {
	b, err := io.ReadAll(io.LimitReader(t, maxManifest))
	if err != nil {
		return nil, broken(err)
	}
	m := &inventory{}
	if err := json.NewDecoder(bytes.NewReader(b)).Decode(m); err != nil {
		return nil, broken(err)
	}
	for _, f := range m.Files {
		if seen[f.Name] != f {
			return nil, damagedArchive("%s in it is damaged or missing", session.OneLine(f.Name, 200))
		}
		m.total += f.Size
	}
	if len(seen) != len(m.Files) {
		return nil, damagedArchive("it holds files that its manifest does not name")
	}
	if _, ok := seen[storeName]; !ok {
		return nil, damagedArchive("there is no store in it")
	}
	if _, err := t.Next(); err != io.EOF {
		return nil, damagedArchive("something follows its manifest")
	}
	return m, nil
}

// summary says in words what a backup holds.
func (m *inventory) summary() string {
	blobs, repositories := 0, map[string]bool{}
	for _, f := range m.Files {
		if strings.HasPrefix(f.Name, "blobs/") {
			blobs++
		}
		if rest, ok := strings.CutPrefix(f.Name, quarantineDir+"/"); ok {
			id, _, _ := strings.Cut(rest, "/")
			repositories[id] = true
		}
	}
	return fmt.Sprintf("the store, %d large log entries, commits of %d sessions, %.1f MB", blobs, len(repositories), float64(m.total)/1e6)
}
