package sessiontest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"

	"openinspect/session"
)

// KeepFile implements Files.
func (m *Memory) KeepFile(ctx context.Context, id session.ID, body []byte) (string, error) {
	end, err := m.begin(ctx, "KeepFile")
	if err != nil {
		return "", err
	}
	defer end()
	k, err := m.find(id)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	if k.files[hash] != nil {
		return hash, nil
	}
	if k.attached()+len(k.patch)+len(body) > session.MaxSessionFiles {
		return "", noRoom()
	}
	if k.files == nil {
		k.files = map[string][]byte{}
	}
	k.files[hash] = append([]byte{}, body...)
	return hash, nil
}

// File implements Files.
func (m *Memory) File(ctx context.Context, id session.ID, hash string) ([]byte, error) {
	end, err := m.begin(ctx, "File")
	if err != nil {
		return nil, err
	}
	defer end()
	k, err := m.find(id)
	if err != nil {
		return nil, err
	}
	body := k.files[hash]
	if body == nil {
		return nil, session.Errorf(session.NotFound, "session %s has no such file", id)
	}
	return bytes.Clone(body), nil
}
