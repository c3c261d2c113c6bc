package boltdb

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"go.etcd.io/bbolt"

	"openinspect/session"
)

// An event of up to maxInline bytes lies in the log; a larger one is a blob, and the log has a reference to it. One beyond maxBlob is
// not kept: a note takes its place.
const (
	maxInline = 64 << 10
	maxBlob   = 16 << 20
)

// A reference is this byte, the blob's SHA-256, its size (8 bytes), and as JSON what of the event does not need the blob. Events begin with a
// brace.
const (
	refMark = 0x01
	refHead = 1 + sha256.Size + 8
)

// hash is the SHA-256 of a blob, and its name in hexadecimal.
type hash [sha256.Size]byte

func (h hash) String() string { return hex.EncodeToString(h[:]) }

// blobs are files beside the store, named by what is in them. The bucket blobs counts how many events refer to each. A file is durable
// before a transaction refers to it, and goes after the one that took the last reference away; a crash in between leaves a file that
// nothing refers to, which a sweep removes.
type blobs struct {
	dir  string
	sync func(dir string) error // makes the names in a directory durable

	mu    sync.Mutex
	lasts bool         // the directory's name is durable
	inUse map[hash]int // written for transactions under way: a sweep leaves them alone
	held  int          // backups under way: nothing is removed
}

// put writes a blob, durably, unless it is there. Until release is called no sweep removes it.
func (b *blobs) put(body []byte) (h hash, release func(), err error) {
	h = sha256.Sum256(body)
	b.mu.Lock()
	b.inUse[h]++
	b.mu.Unlock()
	release = func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.inUse[h]--; b.inUse[h] == 0 {
			delete(b.inUse, h)
		}
	}
	if err := b.write(h, body); err != nil {
		release()
		return h, nil, err
	}
	return h, release, nil
}

func (b *blobs) write(h hash, body []byte) error {
	path := filepath.Join(b.dir, h.String())
	if err := b.makeDir(); err != nil {
		return err
	}
	if f, err := os.Open(path); err == nil {
		// Whoever wrote it may not have come as far as making it durable.
		there, err := io.ReadAll(io.LimitReader(f, int64(len(body))+1))
		err = errors.Join(err, f.Sync(), f.Close())
		if err == nil && bytes.Equal(there, body) {
			return b.sync(b.dir)
		}
	}
	f, err := os.CreateTemp(b.dir, tempBlob+"*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return b.sync(b.dir)
}

// makeDir makes the directory, durably: a file in it is no more so than its name. One that is there is taken for durable only if this process
// saw to it: whoever made it may not have come as far.
func (b *blobs) makeDir() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := os.Mkdir(b.dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		err = nil
	} else {
		b.lasts = false
	}
	if err == nil && !b.lasts {
		err = b.sync(filepath.Dir(b.dir))
		b.lasts = err == nil
	}
	return err
}

// tempBlob begins the names of blobs that are being written.
const tempBlob = ".new-"

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// read returns a blob, or an error if it is missing or not what its name says.
func (b *blobs) read(h hash) ([]byte, error) {
	body, err := os.ReadFile(filepath.Join(b.dir, h.String()))
	if err == nil && sha256.Sum256(body) != h {
		err = fmt.Errorf("blob %s is damaged", h)
	}
	return body, err
}

// hold keeps every blob until release is called.
func (b *blobs) hold() (release func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held++
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.held--
	}
}

// Sweep removes the blobs that nothing refers to: a crash between a file and its transaction leaves one.
func (db *DB) Sweep(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return wrap("boltdb.Sweep", err)
	}
	return wrap("boltdb.Sweep", db.sweep(false))
}

// sweep looks at every blob. While it looks at one, nobody can begin to refer to it. What is half written goes only before there are writers.
func (db *DB) sweep(halves bool) error {
	entries, err := os.ReadDir(db.blobs.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var all []error
	for _, e := range entries {
		raw, err := hex.DecodeString(e.Name())
		if err == nil && len(raw) == sha256.Size {
			all = append(all, db.collect(hash(raw)))
		} else if halves && strings.HasPrefix(e.Name(), tempBlob) {
			all = append(all, os.Remove(filepath.Join(db.blobs.dir, e.Name())))
		}
	}
	return errors.Join(all...)
}

// collect removes a blob if nothing refers to it and nothing is about to.
func (db *DB) collect(h hash) error {
	db.blobs.mu.Lock()
	defer db.blobs.mu.Unlock()
	if db.blobs.held > 0 || db.blobs.inUse[h] > 0 {
		return nil
	}
	referred := true
	// Whoever refers to it now began after it was in use, and that is over: the transaction is committed, or never will be.
	err := db.view(context.Background(), func(tx *bbolt.Tx) error {
		referred = tx.Bucket(bBlobs).Get(h[:]) != nil
		return nil
	})
	if err != nil || referred {
		return err
	}
	if err := os.Remove(filepath.Join(db.blobs.dir, h.String())); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// refer counts a reference to a blob.
func refer(tx *bbolt.Tx, h hash, size int) error {
	bucket := tx.Bucket(bBlobs)
	return bucket.Put(h[:], append(number(numberOf(bucket.Get(h[:]))+1), number(uint64(size))...))
}

// unrefer takes a reference away and reports whether it was the last.
func unrefer(tx *bbolt.Tx, h hash) (last bool, err error) {
	bucket := tx.Bucket(bBlobs)
	v := bucket.Get(h[:])
	if n := numberOf(v); n > 1 {
		return false, bucket.Put(h[:], append(number(n-1), v[8:]...))
	}
	return true, bucket.Delete(h[:])
}

// reference returns what the log has in the place of an event whose body is a blob.
func reference(e session.Event, h hash, size int) ([]byte, error) {
	head, err := encode(headOf(e))
	if err != nil {
		return nil, err
	}
	ref := append([]byte{refMark}, h[:]...)
	return append(append(ref, number(uint64(size))...), head...), nil
}

// headOf is an event without what makes it large.
func headOf(e session.Event) session.Event {
	return session.Event{Seq: e.Seq, At: e.At, Kind: e.Kind, PromptID: e.PromptID}
}

// referred takes a reference apart; false if v is an event.
func referred(v []byte) (h hash, size int, head []byte, ok bool) {
	if len(v) < refHead || v[0] != refMark {
		return h, 0, nil, false
	}
	return hash(v[1 : 1+sha256.Size]), int(numberOf(v[1+sha256.Size:])), v[refHead:], true
}

// event decodes an event as a log has it. In the place of an event whose blob is damaged or missing stands a note that says so: the log goes on.
func (db *DB) event(v []byte) (session.Event, error) {
	h, size, head, ok := referred(v)
	if !ok {
		return parse(v)
	}
	e, err := decode[session.Event](head)
	if err != nil {
		return e, err
	}
	body, err := db.blobs.read(h)
	if err != nil {
		return without(e, fmt.Sprintf("This entry of the log (%s, %d KiB) cannot be shown: its file in the bot's data directory is damaged or missing.", e.Kind, size>>10)), nil
	}
	return parse(body)
}

func parse(body []byte) (session.Event, error) {
	e, err := session.ParseEvent(body)
	if err != nil {
		return e, &session.Error{Code: session.Internal, Err: err}
	}
	return e, nil
}

// without is a note in the place of an event whose body is not to be had.
func without(e session.Event, words string) session.Event {
	e = headOf(e)
	e.Kind, e.Note = session.KindNote, &session.Note{Kind: session.NoteUpdate, Text: words}
	return e
}

// large is an event's body on its way to a blob.
type large struct {
	at   int // its place among the commit's events
	e    session.Event
	body []byte
	hash hash
}

// shelter writes a commit's large bodies to blobs and puts references in their places. release is called when the commit is over.
func (db *DB) shelter(c *commit) (release func(), err error) {
	var releases []func()
	release = func() {
		for _, r := range releases {
			r()
		}
	}
	for i := range c.large {
		l := &c.large[i]
		h, done, err := db.blobs.put(l.body)
		if err != nil {
			release()
			return nil, db.refusal(err)
		}
		releases = append(releases, done)
		l.hash = h
		if c.events[l.at].apart, err = reference(l.e, h, len(l.body)); err != nil {
			release()
			return nil, err
		}
	}
	return release, nil
}
