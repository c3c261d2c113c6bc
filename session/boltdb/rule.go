package boltdb

import (
	"context"
	"strings"

	"go.etcd.io/bbolt"

	"openinspect/session"
)

// MergeRule returns a repository's rule; NotFound if it has none.
func (db *DB) MergeRule(ctx context.Context, repo session.Repo) (r session.MergeRule, err error) {
	err = db.view(ctx, func(tx *bbolt.Tx) error {
		v := tx.Bucket(bMergeRules).Get(ruleKey(repo))
		if v == nil {
			return session.Errorf(session.NotFound, "%s has no rule for merging", repo)
		}
		r, err = decode[session.MergeRule](v)
		return err
	})
	return r, wrap("boltdb.MergeRule", err)
}

// MergeRules returns all rules by repository.
func (db *DB) MergeRules(ctx context.Context) ([]session.MergeRule, error) {
	all, err := everything[session.MergeRule](ctx, db, bMergeRules)
	return all, wrap("boltdb.MergeRules", err)
}

// PutMergeRule sets a repository's rule. It is audited, unless it is told again after a crash.
func (db *DB) PutMergeRule(ctx context.Context, r session.MergeRule) error {
	body, err := encode(r)
	if err == nil {
		err = db.update(ctx, func(tx *bbolt.Tx) error {
			rules := tx.Bucket(bMergeRules)
			if old := rules.Get(ruleKey(r.Repo)); old != nil {
				if was, err := decode[session.MergeRule](old); err != nil || was.On == r.On && was.By.Slack == r.By.Slack {
					return err
				}
			}
			if err := rules.Put(ruleKey(r.Repo), body); err != nil {
				return err
			}
			return db.keys.record(tx, r.Audit())
		})
	}
	return wrap("boltdb.PutMergeRule", err)
}

// ruleKey is a repository's name as GitHub compares it.
func ruleKey(r session.Repo) []byte { return []byte(strings.ToLower(r.String())) }
