package sandbox

import (
	"context"

	"openinspect/session"
)

// best begins a session's sandbox from the best that there is: from its own files if it has any, else from its repository's image, else from the
// provider's base. What is not there is not waited for, and what is of no use is passed over.
func (m *Manager) best(ctx context.Context, r session.StartRequest) (session.Begun, error) {
	if r.Mode == session.BootFresh && r.Repo != (session.Repo{}) {
		if begun, ok, err := m.fromPrebuilt(ctx, r); ok || err != nil {
			return begun, err
		}
	}
	return m.create(ctx, r, r.Mode, r.Image, "")
}

// create asks the provider for the sandbox that a session asked for.
func (m *Manager) create(ctx context.Context, r session.StartRequest, mode session.BootMode, image, setup string) (session.Begun, error) {
	boot, err := m.order(ctx, r.Session, r.Start, r.Repo)
	if err != nil {
		return session.Begun{}, err
	}
	boot.Mode, boot.Base, boot.Anew, boot.Collected, boot.Patch, boot.Setup, boot.LogURL = mode, r.Base, r.Anew, r.Collected, r.Patch, setup, m.c.LogURL(r.Session)
	h, err := m.c.Provider.Create(ctx, Spec{Name: r.Name, Image: image, Boot: boot})
	if err != nil {
		return session.Begun{}, err
	}
	return session.Begun{Handle: h, Start: r.Start, Mode: mode, Image: image}, nil
}

// fromPrebuilt begins from the repository's image; not ok if there is none that is of use. An image that its provider does not know any more, or from
// which nothing begins where it does from the base, is bad from then on. The error is one that may be over soon.
func (m *Manager) fromPrebuilt(ctx context.Context, r session.StartRequest) (begun session.Begun, ok bool, err error) {
	m.blame(ctx, r.Repo, r.Bad, "No sandbox became ready from it.")
	for tried := ""; ; {
		p, err := m.library.of(ctx, r.Repo)
		if err != nil {
			m.c.Report(r.Session, "look for the repository's image", err) // it is there to save time, and nothing else
		}
		if err != nil || !p.Good() || p.Base != r.Base || p.Image == tried || p.Image == r.Bad {
			return session.Begun{}, false, nil
		}
		begun, err = m.create(ctx, r, session.BootImage, p.Image, p.Setup)
		if err == nil || ctx.Err() != nil || session.CodeOf(err) == session.Unavailable {
			return begun, err == nil, err
		}
		m.c.Report(r.Session, "begin from the repository's image", err)
		if err := m.destroyNamed(ctx, r.Name, session.Handle{}); err != nil { // what there may be of it would be taken for a base's
			return session.Begun{}, false, err
		}
		if session.CodeOf(err) != session.NotFound {
			begun, base := m.create(ctx, r, r.Mode, "", "")
			if base == nil {
				m.blame(ctx, r.Repo, p.Image, session.Sentence(err))
			}
			return begun, base == nil, base
		}
		m.blame(ctx, r.Repo, p.Image, "It does not exist any more.")
		tried = p.Image // another one may have taken its place a moment ago
	}
}

// blame has nothing begin from an image any more, if it is still the repository's.
func (m *Manager) blame(ctx context.Context, r session.Repo, image, why string) {
	if image == "" || r == (session.Repo{}) {
		return
	}
	err := m.library.change(ctx, r, func(p *session.Prebuilt) bool {
		if p.Image != image || p.Bad != "" {
			return false
		}
		p.Bad = why
		return true
	})
	if err != nil {
		m.c.Report("", "give up an image", err)
	}
}
