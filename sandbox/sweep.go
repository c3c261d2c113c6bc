package sandbox

import (
	"context"
	"errors"
	"slices"

	"openinspect/session"
)

// Sweep ends and deletes what nobody has: sandboxes, images, and records of spare sandboxes that are gone.
//
// ofSession tells what sessions have, and must know all of them. With an owner it is asked whether that session has the sandbox or the image of a name, or
// may come to have it; the owner is the session that it was made for, or that took it. With "" for the owner it is asked whether the sandbox of any session
// began from the image of that id.
//
// All there is is listed before anything is asked, so that nothing that is begun meanwhile is taken for nobody's. After a failure Sweep goes on where it
// can; its error joins them all.
func (m *Manager) Sweep(ctx context.Context, ofSession func(owner session.ID, name string) bool) error {
	const op = "sandbox.Sweep"
	list, err := m.c.Provider.List(ctx)
	if err != nil {
		return session.Wrap(op, err)
	}
	var all []error
	var kept []string
	if p, ok := m.c.Provider.(ImageLister); ok {
		kept, err = p.Images(ctx)
		all = append(all, err)
	}
	remembered, err := m.c.Archive.Images(ctx)
	all = append(all, err)
	known, spares, err := m.spareOwners(ctx, ofSession)
	if err != nil {
		return session.Wrap(op, errors.Join(append(all, err)...)) // whose anything is cannot be told
	}
	images, err := m.prebuiltUse(ctx)
	if err != nil {
		return session.Wrap(op, errors.Join(append(all, err)...))
	}
	there := map[string]bool{}
	for _, h := range list {
		if there[h.Name] = true; !known(h.Name) {
			all = append(all, m.c.Provider.Destroy(ctx, h))
		}
	}
	for _, image := range kept {
		if there[image] = true; !images.current[image] && !images.built(session.SandboxOwner(image)) && !known(image) {
			all = append(all, m.delete(ctx, image))
		}
	}
	for _, i := range remembered {
		switch {
		case i.Kind == session.ImageSnapshot && ofSession(i.Session, i.ID):
		case i.Kind == session.ImagePrebuilt && (images.current[i.ID] || images.building[i.Repo] || ofSession("", i.ID)):
		case slices.ContainsFunc(spares, func(sp session.Spare) bool { return sp.Image == i.ID }):
		default:
			all = append(all, m.delete(ctx, i.ID))
		}
	}
	all = append(all, m.forgetSpares(ctx, spares, known, func(name string) bool { return there[name] }, images.built)...)
	return session.Wrap(op, errors.Join(all...))
}

// prebuiltUse tells which images repositories have at a moment, and which builds go on.
type prebuiltUse struct {
	current  map[string]bool       // images, by id, that repositories have
	building map[session.Repo]bool // repositories of which a build goes on: an image that it has made is not theirs yet
	builds   map[session.ID]bool   // the spares of those builds
}

// built reports whether a build that goes on has an id.
func (u prebuiltUse) built(id session.ID) bool { return u.builds[id] }

func (m *Manager) prebuiltUse(ctx context.Context) (prebuiltUse, error) {
	u := prebuiltUse{map[string]bool{}, map[session.Repo]bool{}, map[session.ID]bool{}}
	if m.c.Prebuilt == nil {
		return u, nil
	}
	all, err := m.c.Prebuilt.Prebuilts(ctx)
	for _, p := range all {
		u.current[p.Image] = true
		if p.State == session.BuildGoesOn {
			u.building[p.Repo], u.builds[p.Build] = true, true
		}
	}
	return u, err
}
