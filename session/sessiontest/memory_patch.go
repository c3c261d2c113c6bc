package sessiontest

import (
	"bytes"
	"context"

	"openinspect/session"
)

// KeepPatch implements Files.
func (m *Memory) KeepPatch(ctx context.Context, id session.ID, from string, patch []byte) error {
	end, err := m.begin(ctx, "KeepPatch")
	if err != nil {
		return err
	}
	defer end()
	k, err := m.find(id)
	if err != nil {
		return err
	}
	if total := k.attached() + len(patch); len(patch) > 0 && total > session.MaxSessionFiles {
		return noRoom()
	}
	k.patch, k.from = bytes.Clone(patch), from
	return nil
}

// Patch implements Files.
func (m *Memory) Patch(ctx context.Context, id session.ID) (string, []byte, error) {
	end, err := m.begin(ctx, "Patch")
	if err != nil {
		return "", nil, err
	}
	defer end()
	k, err := m.find(id)
	if err != nil {
		return "", nil, err
	}
	if len(k.patch) == 0 {
		return "", nil, session.Errorf(session.NotFound, "session %s has no patch", id)
	}
	return k.from, bytes.Clone(k.patch), nil
}

// attached returns how many bytes the session's files have.
func (k *kept) attached() (total int) {
	for _, f := range k.files {
		total += len(f)
	}
	return total
}

func noRoom() error {
	return session.Errorf(session.Invalid, "This thread has no room for more files: it has had %d MiB of them.", session.MaxSessionFiles>>20)
}
