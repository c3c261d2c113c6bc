package sandbox

import (
	"context"
	"errors"
	"slices"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// checkVersion returns NotFound for an image that another version of the runner worked on: what lies there is not for this one.
func (m *Manager) checkVersion(ctx context.Context, image string) error {
	if image == "" {
		return nil
	}
	all, err := m.c.Archive.Images(ctx)
	if err != nil {
		return err
	}
	for _, i := range all {
		if i.ID == image && i.Version != 0 && i.Version != link.Version {
			return session.Errorf(session.NotFound, "The snapshot %s is of version %d of the runner; this bot has version %d.", image, i.Version, link.Version)
		}
	}
	return nil
}

// prune deletes the images of a session's sandboxes but those that something may begin from. What cannot be deleted now the next Sweep deletes.
func (m *Manager) prune(ctx context.Context, id session.ID, keep ...string) {
	all, err := m.c.Archive.Images(ctx)
	for _, i := range all {
		if i.Kind == session.ImageSnapshot && i.Session == id && !slices.Contains(keep, i.ID) {
			err = errors.Join(err, m.delete(ctx, i.ID))
		}
	}
	if err != nil {
		m.c.Report(id, "delete images", err)
	}
}

// delete deletes an image, unless it is also a sandbox's files, and forgets it.
func (m *Manager) delete(ctx context.Context, image string) error {
	if d, ok := m.c.Provider.(ImageDeleter); ok {
		switch err := d.DeleteImage(ctx, image); {
		case session.CodeOf(err) == session.Conflict:
			return nil
		case err != nil:
			return err
		}
	}
	return m.c.Archive.ForgetImage(ctx, image)
}
