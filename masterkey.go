package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// readOrMakeKey returns the key in a file, or makes the file. The file is complete before it has its name.
func readOrMakeKey(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(path)
	}
	if err != nil {
		return nil, &ConfigError{"INSPECT_MASTER_KEY", "is not set, and its file cannot be read: " + err.Error()}
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(key) != 32 {
		return nil, &ConfigError{"INSPECT_MASTER_KEY", "is not set, and " + path + " does not hold 32 bytes in base64. Restore that file: without it nothing sealed can be read."}
	}
	return key, nil
}

func makeKey(path string) ([]byte, error) {
	failed := func(err error) ([]byte, error) {
		return nil, &ConfigError{"INSPECT_MASTER_KEY", "is not set, and no key could be made: " + err.Error()}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return failed(err)
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key)                                    // never fails: crypto/rand
	f, err := os.CreateTemp(filepath.Dir(path), ".master-*") // 0600
	if err != nil {
		return failed(err)
	}
	defer os.Remove(f.Name())
	if _, err := f.WriteString(base64.StdEncoding.EncodeToString(key) + "\n"); err != nil {
		return failed(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return failed(err)
	}
	if err := os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
		return readOrMakeKey(path) // another process was faster
	} else if err != nil {
		return failed(err)
	}
	if err := syncPath(filepath.Dir(path)); err != nil { // what it seals must not outlast it
		return failed(err)
	}
	return key, nil
}

// syncPath makes a file, or the names in a directory, durable.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
