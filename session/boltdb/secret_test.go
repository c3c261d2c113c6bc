package boltdb

import (
	"bytes"
	"os"
	"testing"

	"go.etcd.io/bbolt"

	"openinspect/session"
)

func TestSecretsAreSealed(t *testing.T) {
	path := file(t)
	db := open(t, path, nil)
	value := []byte("a value that must not be readable on the disk")
	for range 3 {
		if err := db.PutSecret(t.Context(), "user/1", value); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(raw, []byte("user/1")) {
		t.Error("the file does not have the secret's key: is this the right file?")
	}
	for _, secret := range [][]byte{value, testKey} {
		if bytes.Contains(raw, secret) {
			t.Errorf("the file has %q", secret)
		}
	}
}

func TestMasterKeyIsTheFiles(t *testing.T) {
	path := file(t)
	if err := open(t, path, nil).Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Open(path, Options{MasterKey: bytes.Repeat([]byte{8}, 32)})
	refused(t, err, session.Invalid, "The master key is not the one this data directory was made with")
	open(t, path, nil) // the refusal let go of the file
}

// TestSecretsStayInTheirPlace: who can write to the file cannot give one key's value to another.
func TestSecretsStayInTheirPlace(t *testing.T) {
	db := open(t, file(t), nil)
	if err := db.PutSecret(t.Context(), "user/1", []byte("one")); err != nil {
		t.Fatal(err)
	}
	change := func(change func(secrets *bbolt.Bucket, sealed []byte) error) {
		t.Helper()
		err := db.bolt.Update(func(tx *bbolt.Tx) error {
			b := tx.Bucket(bSecrets)
			return change(b, bytes.Clone(b.Get([]byte("user/1"))))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	change(func(b *bbolt.Bucket, sealed []byte) error { return b.Put([]byte("user/2"), sealed) })
	_, err := db.Secret(t.Context(), "user/2")
	refused(t, err, session.Internal, "changed from outside")
	for _, cut := range []func(sealed []byte) []byte{
		func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		func(b []byte) []byte { return b[:keyIDSize+3] },
	} {
		change(func(b *bbolt.Bucket, sealed []byte) error { return b.Put([]byte("user/3"), cut(sealed)) })
		_, err = db.Secret(t.Context(), "user/3")
		refused(t, err, session.Internal, "changed from outside")
	}
	change(func(b *bbolt.Bucket, sealed []byte) error { return b.Put([]byte("user/4"), sealed[:2]) })
	_, err = db.Secret(t.Context(), "user/4")
	refused(t, err, session.Invalid, "master key")
	if v, err := db.Secret(t.Context(), "user/1"); err != nil || string(v) != "one" {
		t.Errorf("the secret itself is %q, %v", v, err)
	}
}
