package boltdb

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"

	"go.etcd.io/bbolt"

	"openinspect/session"
)

// What the master key's children are for: they name the HKDF outputs and must never change.
const (
	infoSecrets = "openinspect store secrets 1"
	infoAudit   = "openinspect store audit 1"
)

const keySize = 32

// keyIDSize is how much of the master key's SHA-256 stands before a sealed value, to tell a wrong key from a damaged value.
const keyIDSize = 4

// keys are what the store makes of the master key.
type keys struct {
	id    []byte
	seal  cipher.AEAD // AES-256-GCM, nonces at random
	audit []byte
}

func newKeys(master []byte) (keys, error) {
	if len(master) != keySize {
		return keys{}, session.Errorf(session.Invalid, "the master key has %d bytes; it needs %d", len(master), keySize)
	}
	secret, err := hkdf.Key(sha256.New, master, nil, infoSecrets, keySize)
	if err != nil {
		return keys{}, &session.Error{Code: session.Internal, Err: err}
	}
	audit, err := hkdf.Key(sha256.New, master, nil, infoAudit, keySize)
	if err != nil {
		return keys{}, &session.Error{Code: session.Internal, Err: err}
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return keys{}, &session.Error{Code: session.Internal, Err: err}
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return keys{}, &session.Error{Code: session.Internal, Err: err}
	}
	id := sha256.Sum256(master)
	return keys{id: id[:keyIDSize], seal: aead, audit: audit}, nil
}

// close seals a value for its place: elsewhere it does not open. The form is key id, nonce, ciphertext.
func (k keys) close(bucket []byte, key string, value []byte) []byte {
	return append(bytes.Clone(k.id), k.seal.Seal(nil, nil, value, join(string(bucket), key))...)
}

func (k keys) open(bucket []byte, key string, sealed []byte) ([]byte, error) {
	if len(sealed) < keyIDSize || !bytes.Equal(sealed[:keyIDSize], k.id) {
		return nil, session.Errorf(session.Invalid, "The master key is not the one this data directory was made with. Give that one by INSPECT_MASTER_KEY or INSPECT_MASTER_KEY_FILE, or restore master.key in the configuration directory.")
	}
	value, err := k.seal.Open(nil, nil, sealed[keyIDSize:], join(string(bucket), key))
	if err != nil {
		return nil, &session.Error{Code: session.Internal, Message: "a sealed value in the store was changed from outside", Err: err}
	}
	return value, nil
}

// verify checks the master key against a value sealed when the file was made.
func (k keys) verify(meta *bbolt.Bucket) error {
	const name = "verifier"
	sealed := meta.Get([]byte(name))
	if sealed == nil {
		return meta.Put([]byte(name), k.close(bMeta, name, nil))
	}
	_, err := k.open(bMeta, name, sealed)
	return err
}

// PutSecret seals a value and stores it. Its key is not secret.
func (db *DB) PutSecret(ctx context.Context, key string, value []byte) error {
	sealed := db.keys.close(bSecrets, key, value)
	return wrap("boltdb.PutSecret", db.update(ctx, func(tx *bbolt.Tx) error {
		return tx.Bucket(bSecrets).Put([]byte(key), sealed)
	}))
}

// closeAll seals the values of changes; a nil value stays nil.
func (k keys) closeAll(changes []session.SecretChange) []session.SecretChange {
	sealed := make([]session.SecretChange, 0, len(changes))
	for _, c := range changes {
		if c.Value != nil {
			c.Value = k.close(bSecrets, c.Key, c.Value)
		}
		sealed = append(sealed, c)
	}
	return sealed
}

// putSecrets carries out changes whose values are sealed.
func putSecrets(tx *bbolt.Tx, sealed []session.SecretChange) error {
	for _, c := range sealed {
		err := error(nil)
		if c.Value == nil {
			err = tx.Bucket(bSecrets).Delete([]byte(c.Key))
		} else {
			err = tx.Bucket(bSecrets).Put([]byte(c.Key), c.Value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Secret returns a value that was stored sealed.
func (db *DB) Secret(ctx context.Context, key string) ([]byte, error) {
	const op = "boltdb.Secret"
	var sealed []byte
	err := db.view(ctx, func(tx *bbolt.Tx) error {
		if sealed = bytes.Clone(tx.Bucket(bSecrets).Get([]byte(key))); sealed == nil {
			return session.Errorf(session.NotFound, "there is no secret %q", key)
		}
		return nil
	})
	if err != nil {
		return nil, wrap(op, err)
	}
	value, err := db.keys.open(bSecrets, key, sealed)
	return value, wrap(op, err)
}

// DeleteSecret forgets a secret. An unknown key is no error.
func (db *DB) DeleteSecret(ctx context.Context, key string) error {
	return wrap("boltdb.DeleteSecret", db.update(ctx, func(tx *bbolt.Tx) error {
		return tx.Bucket(bSecrets).Delete([]byte(key))
	}))
}

// Secrets returns the keys that begin with prefix, sorted.
func (db *DB) Secrets(ctx context.Context, prefix string) ([]string, error) {
	var found []string
	err := db.view(ctx, func(tx *bbolt.Tx) error {
		c := tx.Bucket(bSecrets).Cursor()
		for k, _ := c.Seek([]byte(prefix)); k != nil && bytes.HasPrefix(k, []byte(prefix)); k, _ = c.Next() {
			found = append(found, string(k))
		}
		return nil
	})
	return found, wrap("boltdb.Secrets", err)
}
