package boltdb

import (
	"bytes"
	"context"
	"time"

	"go.etcd.io/bbolt"

	"openinspect/session"
)

// User returns what is remembered of a Slack user.
func (db *DB) User(ctx context.Context, slack string) (u session.User, err error) {
	err = db.view(ctx, func(tx *bbolt.Tx) error {
		u, err = user(tx, slack)
		return err
	})
	return u, wrap("boltdb.User", err)
}

// PutUser stores what is remembered of a Slack user. Conflict if the GitHub account is linked to another.
func (db *DB) PutUser(ctx context.Context, u session.User) error {
	return wrap("boltdb.PutUser", db.update(ctx, func(tx *bbolt.Tx) error { return putUser(tx, u) }))
}

// LinkUser links a GitHub account to a Slack user, each to one of the other. Linking the same account again takes over its
// login. Conflict, with a sentence for that user, if either is linked to another. The secrets change in the same transaction.
func (db *DB) LinkUser(ctx context.Context, slack string, id session.Identity, secrets ...session.SecretChange) error {
	now, sealed := db.clock.Now(), db.keys.closeAll(secrets)
	return wrap("boltdb.LinkUser", db.update(ctx, func(tx *bbolt.Tx) error {
		if err := putSecrets(tx, sealed); err != nil {
			return err
		}
		u, err := user(tx, slack)
		if err != nil && session.CodeOf(err) != session.NotFound {
			return err
		}
		if u.GitHub != nil && u.GitHub.ID != id.ID {
			return session.Errorf(session.Conflict, "You have linked the GitHub account %s already; unlink it first to link %s.", u.GitHub.Login, id.Login)
		}
		if u.GitHub == nil {
			u.LinkedAt = now
		}
		u.Slack, u.GitHub = slack, &id
		if err := putUser(tx, u); err != nil {
			return err
		}
		return db.keys.record(tx, session.AuditRecord{At: now, Action: "link", By: session.Person{Slack: slack, GitHub: &id}, Result: "linked"})
	}))
}

// UnlinkUser forgets a Slack user's GitHub account, if there is one. The secrets change in the same transaction.
func (db *DB) UnlinkUser(ctx context.Context, slack string, secrets ...session.SecretChange) error {
	now, sealed := db.clock.Now(), db.keys.closeAll(secrets)
	return wrap("boltdb.UnlinkUser", db.update(ctx, func(tx *bbolt.Tx) error {
		if err := putSecrets(tx, sealed); err != nil {
			return err
		}
		u, err := user(tx, slack)
		if session.CodeOf(err) == session.NotFound {
			return nil
		}
		if err != nil {
			return err
		}
		was := u.GitHub
		if was == nil {
			return nil
		}
		u.GitHub, u.LinkedAt = nil, time.Time{}
		if err := putUser(tx, u); err != nil {
			return err
		}
		return db.keys.record(tx, session.AuditRecord{At: now, Action: "unlink", By: session.Person{Slack: slack, GitHub: was}, Result: "unlinked"})
	}))
}

func user(tx *bbolt.Tx, slack string) (session.User, error) {
	v := tx.Bucket(bUsers).Get([]byte(slack))
	if v == nil {
		return session.User{}, session.Errorf(session.NotFound, "nothing is known of the Slack user %s", slack)
	}
	return decode[session.User](v)
}

// putUser stores u and keeps the index by GitHub account.
func putUser(tx *bbolt.Tx, u session.User) error {
	old, err := user(tx, u.Slack)
	if err != nil && session.CodeOf(err) != session.NotFound {
		return err
	}
	body, err := encode(u)
	if err != nil {
		return err
	}
	identities := tx.Bucket(bIdentities)
	if u.GitHub != nil {
		key := number(uint64(u.GitHub.ID))
		if other := identities.Get(key); other != nil && !bytes.Equal(other, []byte(u.Slack)) {
			return session.Errorf(session.Conflict, "The GitHub account %s is linked to another Slack user, who has to unlink it first.", u.GitHub.Login)
		}
		if err := identities.Put(key, []byte(u.Slack)); err != nil {
			return err
		}
	}
	if old.GitHub != nil && (u.GitHub == nil || u.GitHub.ID != old.GitHub.ID) {
		if err := identities.Delete(number(uint64(old.GitHub.ID))); err != nil {
			return err
		}
	}
	return tx.Bucket(bUsers).Put([]byte(u.Slack), body)
}

// Channel returns what is remembered of a Slack channel.
func (db *DB) Channel(ctx context.Context, id string) (session.Channel, error) {
	var body []byte
	err := db.view(ctx, func(tx *bbolt.Tx) error {
		if body = bytes.Clone(tx.Bucket(bChannels).Get([]byte(id))); body == nil {
			return session.Errorf(session.NotFound, "nothing is known of the channel %s", id)
		}
		return nil
	})
	if err != nil {
		return session.Channel{}, wrap("boltdb.Channel", err)
	}
	c, err := decode[session.Channel](body)
	return c, wrap("boltdb.Channel", err)
}

// PutChannel stores what is remembered of a Slack channel, and in the audit log who changed it.
func (db *DB) PutChannel(ctx context.Context, c session.Channel) error {
	body, err := encode(c)
	now := db.clock.Now()
	if err == nil {
		err = db.update(ctx, func(tx *bbolt.Tx) error {
			if bytes.Equal(tx.Bucket(bChannels).Get([]byte(c.ID)), body) {
				return nil // told again after a crash
			}
			if err := tx.Bucket(bChannels).Put([]byte(c.ID), body); err != nil || c.By.Slack == "" {
				return err
			}
			return db.keys.record(tx, c.Audit(now))
		})
	}
	return wrap("boltdb.PutChannel", err)
}

// Routes returns the routes by keyword.
func (db *DB) Routes(ctx context.Context) (all []session.Route, err error) {
	err = db.view(ctx, func(tx *bbolt.Tx) error {
		return tx.Bucket(bRoutes).ForEach(func(_, v []byte) error {
			r, err := decode[session.Route](v)
			all = append(all, r)
			return err
		})
	})
	return all, wrap("boltdb.Routes", err)
}

// PutRoute sets the route of a keyword, or forgets it if it has no repository. NotFound if there is none to forget, Conflict if there are too
// many. It is audited.
func (db *DB) PutRoute(ctx context.Context, r session.Route) error {
	body, err := encode(r)
	if err != nil {
		return wrap("boltdb.PutRoute", err)
	}
	return wrap("boltdb.PutRoute", db.update(ctx, func(tx *bbolt.Tx) error {
		routes, key := tx.Bucket(bRoutes), []byte(r.Keyword)
		old := routes.Get(key)
		known := old != nil
		if known {
			if was, err := decode[session.Route](old); err != nil || was.Repo == r.Repo && was.By.Slack == r.By.Slack {
				return err // told again after a crash
			}
		}
		var err error
		switch {
		case r.Repo == (session.Repo{}) && !known:
			return session.Errorf(session.NotFound, "No route has the keyword “%s”.", r.Keyword)
		case r.Repo == (session.Repo{}):
			err = routes.Delete(key)
		case !known && len(keysOf(routes)) >= session.MaxRoutes:
			return session.TooManyRoutes()
		default:
			err = routes.Put(key, body)
		}
		if err != nil {
			return err
		}
		return db.keys.record(tx, r.Audit())
	}))
}

// Preferences returns what a Slack user wants.
func (db *DB) Preferences(ctx context.Context, slack string) (session.Preferences, error) {
	var body []byte
	err := db.view(ctx, func(tx *bbolt.Tx) error {
		if body = bytes.Clone(tx.Bucket(bPreferences).Get([]byte(slack))); body == nil {
			return session.Errorf(session.NotFound, "%s has no preferences", slack)
		}
		return nil
	})
	if err != nil {
		return session.Preferences{}, wrap("boltdb.Preferences", err)
	}
	p, err := decode[session.Preferences](body)
	return p, wrap("boltdb.Preferences", err)
}

// PutPreferences stores what a Slack user wants.
func (db *DB) PutPreferences(ctx context.Context, p session.Preferences) error {
	body, err := encode(p)
	if err == nil {
		err = db.update(ctx, func(tx *bbolt.Tx) error {
			return tx.Bucket(bPreferences).Put([]byte(p.Slack), body)
		})
	}
	return wrap("boltdb.PutPreferences", err)
}
