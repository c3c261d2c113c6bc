//go:build linux

package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"openinspect/session"
	"openinspect/session/boltdb"
)

// archived is a small backup, made of these files by a source that has them, and of commits in a directory.
func archived(t testing.TB, files map[string]string) []byte {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"HEAD", "config", "refs/checked/x", "objects/pack/tmp_pack_1", "objects/info/alternates", "incoming-1/pack/pack-" + strings.Repeat("a", 40) + ".pack", "objects/aa/" + strings.Repeat("b", 38)} {
		path := filepath.Join(dir, "git", "quarantine", "aaaaaaaaaa.git", filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(name), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	err := writeArchive(t.Context(), &b, dir, func(_ context.Context, add boltdb.Add) ([]string, error) {
		for name, text := range files {
			if err := add(name, int64(len(text)), func(w io.Writer) error { _, err := io.WriteString(w, text); return err }); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func drain(_ string, _ int64, r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

func TestArchive(t *testing.T) {
	blob := "blobs/" + strings.Repeat("0", 64)
	whole := archived(t, map[string]string{storeName: "the store", blob: "a blob"})
	got := map[string]string{}
	m, err := readArchive(bytes.NewReader(whole), func(name string, _ int64, r io.Reader) error {
		b, err := io.ReadAll(r)
		got[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	commits := "git/quarantine/aaaaaaaaaa.git/"
	want := []string{storeName, blob, commits + "HEAD", commits + "refs/checked/x", commits + "objects/aa/" + strings.Repeat("b", 38)}
	if len(got) != len(want) || len(m.Files) != len(want) {
		t.Errorf("the backup holds %v", got)
	}
	for _, name := range want {
		if got[name] == "" {
			t.Errorf("the backup lacks %s", name)
		}
	}
	end := bytes.LastIndexByte(whole, '}') // of the manifest; tar's padding follows
	for n := 0; n < end; n += 100 {
		if _, err := readArchive(bytes.NewReader(whole[:n]), drain); session.CodeOf(err) != session.Invalid {
			t.Fatalf("cut at %d of %d bytes: %v", n, len(whole), err)
		}
	}
	// Any byte that is not padding is covered: by tar's own checksum, by a hash, or by being the hash.
	for n := 0; n < end; n += 7 {
		bent := bytes.Clone(whole)
		if bent[n] == 0 {
			continue
		}
		bent[n] ^= 1
		m, err := readArchive(bytes.NewReader(bent), drain)
		if err == nil && (len(m.Files) != len(want) || bytes.Equal(bent, whole)) {
			t.Errorf("bent at byte %d it was taken", n)
		}
	}
}

func TestArchivesThatAreRefused(t *testing.T) {
	made := func(entries ...string) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, e := range entries {
			name, text, _ := strings.Cut(e, "=")
			h := &tar.Header{Name: name, Mode: 0o600, Size: int64(len(text))}
			if strings.HasPrefix(text, "->") {
				h.Typeflag, h.Linkname, h.Size, text = tar.TypeSymlink, text[2:], 0, ""
			}
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(w, text); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	const mark, none = "openinspect-backup=1\n", `manifest.json={"format":"1"}`
	for why, c := range map[string]struct {
		file []byte
		want string
	}{
		"nothing":           {nil, "breaks off"},
		"no tar":            {[]byte(strings.Repeat("no tar file ", 100)), "breaks off or is damaged"},
		"another tar":       {made("README.md=hello"), "no backup of openinspect"},
		"a newer format":    {made("openinspect-backup=2\n"), `has format "2"`},
		"no manifest":       {made(mark, "openinspect.db=x"), "breaks off"},
		"no store":          {made(mark, none), "no store in it"},
		"not in manifest":   {made(mark, "openinspect.db=x", none), "that its manifest does not name"},
		"missing":           {made(mark, `manifest.json={"files":[{"name":"openinspect.db","size":1,"sha256":"x"}]}`), "openinspect.db in it is damaged or missing"},
		"twice":             {made(mark, "openinspect.db=x", "openinspect.db=y", none), "twice"},
		"outside":           {made(mark, "../evil=x", none), "does not belong"},
		"absolute":          {made(mark, "/etc/passwd=x", none), "does not belong"},
		"up in a ref":       {made(mark, "git/quarantine/aaaaaaaaaa.git/refs/../../../../evil=x", none), "does not belong"},
		"git configuration": {made(mark, "git/quarantine/aaaaaaaaaa.git/config=[core]", none), "does not belong"},
		"a hook":            {made(mark, "git/quarantine/aaaaaaaaaa.git/hooks/pre-push=x", none), "does not belong"},
		"a link":            {made(mark, "openinspect.db=->/etc/passwd", none), "is not a plain file"},
		"another file":      {made(mark, "master.key=x", none), "does not belong"},
	} {
		_, err := readArchive(bytes.NewReader(c.file), drain)
		if session.CodeOf(err) != session.Invalid || !strings.Contains(session.Sentence(err), c.want) {
			t.Errorf("%s: %v, want %q", why, err, c.want)
		}
	}
}

// TestSparseEntriesAreRefused: a small file cannot say that it is a terabyte of nothing.
func TestSparseEntriesAreRefused(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	const holes = "0\n"
	for _, h := range []*tar.Header{{Name: archiveMark, Size: 2}, {Name: storeName, Size: 512, PAXRecords: map[string]string{
		"GNV.sparse.major": "1", "GNV.sparse.minor": "0", "GNV.sparse.name": storeName, "GNV.sparse.realsize": "1048576"}}} {
		h.Mode, h.Format = 0o600, tar.FormatPAX
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		text := archiveFormat + "\n"
		if h.Name == storeName {
			text = holes + strings.Repeat("\x00", 512-len(holes))
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	// The writer does not take those keys; the checksum is not over them.
	hostile := bytes.ReplaceAll(b.Bytes(), []byte("GNV.sparse"), []byte("GNU.sparse"))
	_, err := readArchive(bytes.NewReader(hostile), func(name string, size int64, _ io.Reader) error {
		t.Errorf("%s was handed out with %d bytes", name, size)
		return nil
	})
	if session.CodeOf(err) != session.Invalid || !strings.Contains(session.Sentence(err), "not a plain file") {
		t.Error(err)
	}
}

// TestBackupThatIsNotMade: whoever makes one is told why it broke off, by a running bot too, and has no file.
func TestBackupThatIsNotMade(t *testing.T) {
	no := session.Errorf(session.Unavailable, "The disk refused a write meanwhile; make the backup again.")
	for name, c := range map[string]struct {
		cause error
		want  string
	}{
		"with a sentence": {no, "The backup was not made. The disk refused a write meanwhile; make the backup again."},
		"without":         {errors.New("read openinspect.db: input/output error"), "The backup was not made. read openinspect.db: input/output error"},
		"another process": {nil, "another openinspect uses"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if c.cause != nil {
				stop, err := serveControl(t.Context(), dir, nil, func(_ context.Context, add boltdb.Add) ([]string, error) {
					return nil, errors.Join(add(storeName, 5, func(w io.Writer) error { _, err := io.WriteString(w, "whole"); return err }), c.cause)
				})
				if err != nil {
					t.Fatal(err)
				}
				defer stop()
			} else {
				db, err := boltdb.Open(filepath.Join(dir, storeName), boltdb.Options{MasterKey: make([]byte, 32)})
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
			}
			to := t.TempDir()
			err := (&backupCommand{data: data{DataDir: dir}, File: filepath.Join(to, "b.tar")}).Run(t.Context())
			if got := session.Sentence(err); !strings.Contains(got, "The backup was not made.") || !strings.Contains(got, c.want) {
				t.Errorf("told was %q", got)
			}
			if left, err := os.ReadDir(to); err != nil || len(left) > 0 {
				t.Errorf("left are %v, %v", left, err)
			}
		})
	}
}

// FuzzReadArchive: whatever a file says, nothing is handed out under a name that does not belong into a data directory.
func FuzzReadArchive(f *testing.F) {
	f.Add(archived(f, map[string]string{storeName: "the store"}))
	f.Add([]byte("openinspect-backup"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := readArchive(bytes.NewReader(b), func(name string, _ int64, r io.Reader) error {
			if !validName(name) || !filepath.IsLocal(name) || strings.Contains(name, "..") {
				t.Errorf("%q was handed out", name)
			}
			return drain(name, 0, r)
		})
		if err != nil && session.CodeOf(err) == session.Internal {
			t.Errorf("%v has no sentence", err)
		}
	})
}

// TestRestoreInPlace: where the data directory is a file system of its own, or a link, it stays what it is.
func TestRestoreInPlace(t *testing.T) {
	dir := t.TempDir()
	data, link := filepath.Join(dir, "data"), filepath.Join(dir, "link")
	if err := errors.Join(os.Mkdir(data, 0o700), os.Mkdir(filepath.Join(data, "lost+found"), 0o700), os.Symlink(data, link)); err != nil {
		t.Fatal(err)
	}
	if err := empty(link); err != nil {
		t.Errorf("a directory with lost+found alone is not empty: %v", err)
	}
	temp := filepath.Join(data, ".restore-1")
	for _, name := range []string{storeName, "blobs/x", "git/quarantine/y"} {
		if err := extract(filepath.Join(temp, name), strings.NewReader(name)); err != nil {
			t.Fatal(err)
		}
	}
	alive := filepath.Join(data, storeName)
	if err := os.WriteFile(alive, []byte("of a bot that was started meanwhile"), 0o600); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(data, ".restore-2")
	if err := os.CopyFS(copied, os.DirFS(temp)); err != nil {
		t.Fatal(err)
	}
	if err := place(copied, data); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a bot's store was replaced: %v", err)
	}
	if b, err := os.ReadFile(alive); err != nil || string(b) != "of a bot that was started meanwhile" {
		t.Errorf("its store is %q, %v", b, err)
	}
	if err := errors.Join(os.Remove(alive), os.RemoveAll(copied)); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(data); err != nil || len(left) != 2 {
		t.Errorf("a restore that was given up left %v, %v", left, err)
	}
	if err := place(temp, data); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{storeName, "blobs/x", "git/quarantine/y"} {
		if b, err := os.ReadFile(filepath.Join(link, name)); err != nil || string(b) != name {
			t.Errorf("%s holds %q, %v", name, b, err)
		}
	}
	if err := empty(link); err == nil {
		t.Error("a full directory was called empty")
	}
}
