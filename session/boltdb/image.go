package boltdb

import (
	"context"

	"go.etcd.io/bbolt"

	"openinspect/session"
)

// PutImage remembers an image, by its id; one that is known stays as it is.
func (db *DB) PutImage(ctx context.Context, i session.Image) error {
	body, err := encode(i)
	if err == nil {
		err = db.update(ctx, func(tx *bbolt.Tx) error {
			if b := tx.Bucket(bImages); b.Get([]byte(i.ID)) == nil {
				return b.Put([]byte(i.ID), body)
			}
			return nil
		})
	}
	return wrap("boltdb.PutImage", err)
}

// Images returns all images that are remembered, in order of their ids.
func (db *DB) Images(ctx context.Context) ([]session.Image, error) {
	all, err := everything[session.Image](ctx, db, bImages)
	return all, wrap("boltdb.Images", err)
}

// ForgetImage forgets one that was deleted, if it is there.
func (db *DB) ForgetImage(ctx context.Context, id string) error {
	return wrap("boltdb.ForgetImage", db.update(ctx, func(tx *bbolt.Tx) error { return tx.Bucket(bImages).Delete([]byte(id)) }))
}

// Prebuilt returns what is known of a repository's image; NotFound if nothing is.
func (db *DB) Prebuilt(ctx context.Context, repo session.Repo) (p session.Prebuilt, err error) {
	err = db.view(ctx, func(tx *bbolt.Tx) error {
		v := tx.Bucket(bPrebuilt).Get(ruleKey(repo))
		if v == nil {
			return session.Errorf(session.NotFound, "%s has no image", repo)
		}
		p, err = decode[session.Prebuilt](v)
		return err
	})
	return p, wrap("boltdb.Prebuilt", err)
}

// Prebuilts returns what is known of all repositories' images.
func (db *DB) Prebuilts(ctx context.Context) ([]session.Prebuilt, error) {
	all, err := everything[session.Prebuilt](ctx, db, bPrebuilt)
	return all, wrap("boltdb.Prebuilts", err)
}

// PutPrebuilt stores what is known of a repository's image. That it was switched on or off is audited, unless it is told again after a crash.
func (db *DB) PutPrebuilt(ctx context.Context, p session.Prebuilt) error {
	body, err := encode(p)
	if err == nil {
		err = db.update(ctx, func(tx *bbolt.Tx) error {
			b := tx.Bucket(bPrebuilt)
			var was session.Prebuilt
			if old := b.Get(ruleKey(p.Repo)); old != nil {
				var err error
				if was, err = decode[session.Prebuilt](old); err != nil {
					return err
				}
			}
			if err := b.Put(ruleKey(p.Repo), body); err != nil || !p.Switched(was) {
				return err
			}
			return db.keys.record(tx, p.Audit())
		})
	}
	return wrap("boltdb.PutPrebuilt", err)
}
