// Package boltdb keeps everything the bot must not forget in one bbolt file: sessions and their logs, the inbox and outbox, people,
// sealed secrets and the audit log.
//
// One goroutine writes. It takes what is queued, runs it as one transaction and commits; what queues during a commit is the next
// transaction. A write is durable when its method returns, and a write that is refused undoes nobody else's. Readers copy what they
// need out of short transactions and decode it afterwards.
//
// Buckets:
//
//	sessions     id → record, unfinished, presented, and the buckets prompts, events, effects, cards, approvals, files; patch
//	drafts       session → what its pull request will say; apart from the record, which every commit writes, and whose page it would share
//	open         sessions that are not at rest: what a start must read
//	threads      team, channel, ts → session
//	unpresented  sessions with events that no message shows yet
//	inbox, seen  Slack events not handled; identities of a day
//	outbox       messages, each after the time of its newest version; pending (order → key) and posted (channel, ts → key) are its indexes
//	users        people; identities (GitHub id → Slack user) is its index
//	blobs        SHA-256 of a large event → how many logs refer to it, its size; the bytes lie in the directory blobs beside the file
//	removed      sessions that retention removed → when, after how many days, and whether their thread was rooted
//	sandboxes    those that are no session's: a Spare; images: those that were made and are not deleted; prebuilt: what is known of each repository's
//	channels, preferences (of people), routes, secrets, audit, meta (what sandboxes lived is under lived/DAY there, in nanoseconds; under retired, when sessions were removed last)
//
// A file of an older layout is brought up to date when it is opened (migrate.go). When the disk refuses, nothing is acknowledged, and
// the store goes on by itself once there is room again (disk.go).
package boltdb

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bolterr "go.etcd.io/bbolt/errors"

	"openinspect/session"
)

// lockWait is how long Open waits for another process to let go of the file.
const lockWait = time.Second

// mapSize is how much address space is reserved for the file: as long as it fits, growing it never waits for readers, one of which may be a
// backup that takes its time. It costs nothing until it is used.
const mapSize = min(1<<36, 1<<(strconv.IntSize-3))

var (
	bSessions    = []byte("sessions")
	bDrafts      = []byte("drafts")
	bOpen        = []byte("open")
	bThreads     = []byte("threads")
	bFollowed    = []byte("followed") // sessions with an open pull request: a Followed
	bUnpresented = []byte("unpresented")
	bInbox       = []byte("inbox")
	bSeen        = []byte("seen")
	bOutbox      = []byte("outbox")
	bPending     = []byte("pending")
	bPosted      = []byte("posted")
	bUsers       = []byte("users")
	bIdentities  = []byte("identities")
	bChannels    = []byte("channels")
	bPreferences = []byte("preferences")
	bRoutes      = []byte("routes")
	bMergeRules  = []byte("merge_rules")
	bSpares      = []byte("sandboxes")
	bImages      = []byte("images")
	bPrebuilt    = []byte("prebuilt") // by repository
	bSecrets     = []byte("secrets")
	bBlobs       = []byte("blobs")
	bRemoved     = []byte("removed")
	bWatermarks  = []byte("watermarks")
	bAudit       = []byte("audit")
	bMeta        = []byte("meta")
)

var buckets = [][]byte{
	bSessions, bDrafts, bOpen, bThreads, bFollowed, bUnpresented, bInbox, bSeen, bOutbox, bPending, bPosted,
	bUsers, bIdentities, bChannels, bPreferences, bRoutes, bMergeRules, bSpares, bImages, bPrebuilt, bSecrets, bBlobs, bRemoved, bWatermarks,
	bAudit, bMeta,
}

// Options are what a store needs besides its path.
type Options struct {
	MasterKey []byte        // 32 bytes; seals secrets and keys the audit log. It must be the one the file was made with.
	Clock     session.Clock // default: the computer's
	// Report is told once when the disk begins to refuse, and with nil when a write goes through again. It must return at once.
	Report func(error)

	// Witness, of tests, is called around every write transaction after Open, by whomever it is: with durable false when the nth, from 1, is
	// about to be committed, and with durable true when it is on the disk and nobody knows it yet.
	Witness func(n uint64, durable bool)
}

// DB is an open store. Its methods may be called from any goroutine.
type DB struct {
	bolt        *bbolt.DB
	clock       session.Clock
	keys        keys
	blobs       blobs
	disk        disk
	apply       func(func(*bbolt.Tx) error) error // runs and commits a transaction
	queue       chan *write
	stop        chan struct{}
	ended       chan struct{}
	witness     func(n uint64, durable bool)
	commits     uint64 // of the writer alone
	waitingLock sync.Mutex
	waiting     map[string]waiting // what Pending returned last, by key

	closed sync.Once
	err    error // of closing
}

var _ session.Store = (*DB)(nil)

// Open opens the store at path, making the file (0600) and its directory (0700) if they are missing, and forgets what is over a
// day old (see Prune). Conflict if another process has it open, Invalid for a master key that is not the file's.
func Open(path string, o Options) (*DB, error) {
	const op = "boltdb.Open"
	keys, err := newKeys(o.MasterKey)
	if err != nil {
		return nil, wrap(op, err)
	}
	if err := makeDirs(filepath.Dir(path)); err != nil {
		return nil, wrap(op, err)
	}
	b, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:         lockWait,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: mapSize,
	})
	if errors.Is(err, bolterr.ErrTimeout) {
		return nil, wrap(op, inUse(path))
	}
	if err != nil {
		return nil, unopened(op, path, err)
	}
	db := &DB{
		bolt: b, clock: o.Clock, keys: keys, blobs: blobs{dir: filepath.Join(filepath.Dir(path), BlobDir), sync: syncDir, inUse: map[hash]int{}},
		disk: disk{report: o.Report}, apply: b.Update, witness: o.Witness,
		queue: make(chan *write), stop: make(chan struct{}), ended: make(chan struct{}),
	}
	if db.clock == nil {
		db.clock = session.SystemClock{}
	}
	if db.witness == nil {
		db.witness = func(uint64, bool) {}
	}
	if err := db.prepare(path); err != nil {
		return nil, wrap(op, errors.Join(err, b.Close()))
	}
	go db.write()
	return db, nil
}

// makeDirs makes a directory and those above it that are missing, durably.
func makeDirs(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	above := filepath.Dir(dir)
	if err := makeDirs(above); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(above)
}

func inUse(path string) error {
	return session.Errorf(session.Conflict, "another openinspect uses %s; stop it first", filepath.Dir(path))
}

func unopened(op, path string, err error) error {
	return &session.Error{Code: session.Unavailable, Op: op, Message: "the store " + path + " cannot be opened", Err: err}
}

// prepare brings the file up to date, checks the master key, and prunes.
func (db *DB) prepare(path string) error {
	if err := os.Chmod(path, 0o600); err != nil {
		return err
	}
	if err := anchor(path, db.bolt.Info().PageSize); err != nil {
		return db.refusal(err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil { // the file may be new
		return db.refusal(err)
	}
	if err := db.migrate(); err != nil {
		return err
	}
	err := db.bolt.Update(func(tx *bbolt.Tx) error {
		if err := db.keys.verify(tx.Bucket(bMeta)); err != nil {
			return err
		}
		return prune(tx, db.clock.Now())
	})
	return errors.Join(err, db.sweep(true))
}

// Close finishes the write that is under way, refuses what comes after, and closes the file. It may be called more than once.
func (db *DB) Close() error {
	db.closed.Do(func() {
		close(db.stop)
		<-db.ended
		db.err = wrap("boltdb.Close", db.bolt.Close())
	})
	return db.err
}

var errClosed = session.Errorf(session.Unavailable, stopping)

const stopping = "The bot is stopping; please try again in a moment."

// view runs a short reading transaction. f copies out what it needs.
func (db *DB) view(ctx context.Context, f func(tx *bbolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	db.disk.readers.RLock()
	defer db.disk.readers.RUnlock()
	return db.bolt.View(f)
}

// wrap names the operation. An error that is none of ours comes from the disk or from a context that ended: Unavailable.
func wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*session.Error](err); ok {
		return &session.Error{Code: e.Code, Op: op, Message: e.Message, Err: e.Err}
	}
	for _, e := range []error{bolterr.ErrKeyRequired, bolterr.ErrKeyTooLarge, bolterr.ErrValueTooLarge} {
		if errors.Is(err, e) {
			return &session.Error{Code: session.Invalid, Op: op, Message: "This cannot be stored: a name in it is empty or something is too long.", Err: err}
		}
	}
	message := "The bot's storage does not answer just now; please try again in a moment."
	if errors.Is(err, bolterr.ErrDatabaseNotOpen) {
		message = stopping
	}
	return &session.Error{Code: session.Unavailable, Op: op, Message: message, Err: err}
}

// number and numberOf write a number so that keys sort by it: 8 bytes, big-endian.
func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func numberOf(b []byte) uint64 {
	if len(b) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// join makes a key of parts that have no zero byte: Slack's ids and our own names.
func join(parts ...string) []byte {
	var key []byte
	for i, p := range parts {
		if i > 0 {
			key = append(key, 0)
		}
		key = append(key, p...)
	}
	return key
}

// encode and decode hold a stored form's errors to one meaning: a defect of ours, or a damaged file.
func encode(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, &session.Error{Code: session.Internal, Err: err}
	}
	return b, nil
}

func decode[T any](b []byte) (T, error) {
	var v T
	if err := json.Unmarshal(b, &v); err != nil {
		return v, &session.Error{Code: session.Internal, Err: err}
	}
	return v, nil
}

func decodeAll[T any](values [][]byte) ([]T, error) {
	all := make([]T, 0, len(values))
	for _, b := range values {
		v, err := decode[T](b)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}
