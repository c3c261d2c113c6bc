package boltdb

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterr "go.etcd.io/bbolt/errors"

	"openinspect/session"
)

// disk is what the store knows of the disk below it.
type disk struct {
	report   func(error)
	readers  sync.RWMutex // read-locked by whoever reads: see settle
	settling atomic.Bool  // the writer waits for a disk, and then for readers

	mu      sync.Mutex
	refuses bool
	last    time.Time // it refused
}

// calm is how long a disk must not have refused anything to be called good again: on a full one small writes go through between others.
const calm = 10 * time.Second

// anchorPause is how long an attempt to make a commit certain waits for the next.
const anchorPause = 250 * time.Millisecond

// settle finds out what became of transaction id, for which bbolt returned err, and returns what its writers are told.
//
// bbolt writes new pages where no live ones are, flushes them, and then writes one of two meta pages, which makes them true, and
// flushes that. When anything up to the first flush fails, the meta pages are as before: nothing happened, and the next transaction may
// succeed. When the meta page was written and its flush failed, bbolt says error too; but every reader sees the transaction, the kernel may
// never write that page although a later flush succeeds, and the next transaction would overwrite pages that the meta page on the disk
// still counts on. So nothing else is written until that page is known to be on the disk; the transaction then took place, and its writers
// are told so. Readers that began before it end first, because bbolt has forgotten which pages they need.
func (db *DB) settle(id int, err error) error {
	if err == nil {
		db.works()
		return nil
	}
	if id == 0 || errors.Is(err, bolterr.ErrDatabaseNotOpen) {
		return err
	}
	refusal := db.refusal(err)
	defer db.disk.settling.Store(false)
	for newest := 0; ; {
		if e := db.bolt.View(func(tx *bbolt.Tx) error { newest = tx.ID(); return nil }); e != nil {
			return refusal
		}
		if newest < id {
			return refusal
		}
		db.disk.settling.Store(true)
		if anchor(db.bolt.Path(), db.bolt.Info().PageSize) == nil {
			break
		}
		select {
		case <-db.stop:
			return refusal // it is not known; whoever opens the file next anchors it first
		case <-time.After(anchorPause):
		}
	}
	db.disk.readers.Lock()
	defer db.disk.readers.Unlock()
	db.works()
	return nil
}

// anchor writes the meta pages of a file again, as they are, and flushes them: what readers of the file see is then what is on the disk.
// A process that died may have left them otherwise. Only the writer may call it.
func anchor(path string, pageSize int) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	metas := make([]byte, 2*pageSize)
	if _, err = f.ReadAt(metas, 0); err == nil {
		_, err = f.WriteAt(metas, 0)
	}
	return errors.Join(err, f.Sync(), f.Close())
}

// refusal is the error for a write that the disk refused. The first of a row is reported.
func (db *DB) refusal(err error) error {
	db.disk.mu.Lock()
	first := !db.disk.refuses
	db.disk.refuses, db.disk.last = true, db.clock.Now()
	db.disk.mu.Unlock()
	if first && db.disk.report != nil {
		db.disk.report(err)
	}
	message := "The bot's disk refuses to store anything just now. Please tell its operator, and try again later."
	if full(err) {
		message = "The bot's disk is full, so nothing can be stored just now. Please tell its operator, and try again later."
	}
	return &session.Error{Code: session.Unavailable, Message: message, Err: fmt.Errorf("%w: %w", session.ErrStorage, err)}
}

// works notes that a write went through.
func (db *DB) works() {
	db.disk.mu.Lock()
	again := db.disk.refuses && db.clock.Now().Sub(db.disk.last) >= calm
	if again {
		db.disk.refuses = false
	}
	db.disk.mu.Unlock()
	if again && db.disk.report != nil {
		db.disk.report(nil)
	}
}

// full reports whether an error says that there is no room. bbolt keeps only the words of some.
func full(err error) bool {
	for _, no := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, no) || strings.Contains(err.Error(), no.Error()) {
			return true
		}
	}
	return false
}
