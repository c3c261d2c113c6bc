package sessiontest

import (
	"context"
	"maps"
	"slices"
	"strings"

	"openinspect/session"
)

// PutSpare implements Spares.
func (m *Memory) PutSpare(ctx context.Context, s session.Spare) error {
	end, err := m.begin(ctx, "PutSpare")
	if err != nil {
		return err
	}
	defer end()
	m.spares[s.ID] = clone(s)
	return nil
}

// Spares implements Spares.
func (m *Memory) Spares(ctx context.Context) ([]session.Spare, error) {
	end, err := m.begin(ctx, "Spares")
	if err != nil {
		return nil, err
	}
	defer end()
	return sorted(m.spares), nil
}

// ForgetSpare implements Spares.
func (m *Memory) ForgetSpare(ctx context.Context, id session.ID, lived ...session.Lived) error {
	end, err := m.begin(ctx, "ForgetSpare")
	if err != nil {
		return err
	}
	defer end()
	if _, known := m.spares[id]; !known {
		return nil
	}
	for _, l := range lived {
		m.lived[l.Day] += l.For
	}
	delete(m.spares, id)
	return nil
}

// PutImage implements Images.
func (m *Memory) PutImage(ctx context.Context, i session.Image) error {
	end, err := m.begin(ctx, "PutImage")
	if err != nil {
		return err
	}
	defer end()
	if _, known := m.images[i.ID]; !known {
		m.images[i.ID] = clone(i)
	}
	return nil
}

// Images implements Images.
func (m *Memory) Images(ctx context.Context) ([]session.Image, error) {
	end, err := m.begin(ctx, "Images")
	if err != nil {
		return nil, err
	}
	defer end()
	return sorted(m.images), nil
}

// ForgetImage implements Images.
func (m *Memory) ForgetImage(ctx context.Context, id string) error {
	end, err := m.begin(ctx, "ForgetImage")
	if err != nil {
		return err
	}
	defer end()
	delete(m.images, id)
	return nil
}

// Prebuilt implements Images.
func (m *Memory) Prebuilt(ctx context.Context, r session.Repo) (session.Prebuilt, error) {
	end, err := m.begin(ctx, "Prebuilt")
	if err != nil {
		return session.Prebuilt{}, err
	}
	defer end()
	p, ok := m.prebuilt[strings.ToLower(r.String())]
	if !ok {
		return p, session.Errorf(session.NotFound, "%s has no image", r)
	}
	return clone(p), nil
}

// Prebuilts implements Images.
func (m *Memory) Prebuilts(ctx context.Context) ([]session.Prebuilt, error) {
	end, err := m.begin(ctx, "Prebuilts")
	if err != nil {
		return nil, err
	}
	defer end()
	return sorted(m.prebuilt), nil
}

// PutPrebuilt implements Images.
func (m *Memory) PutPrebuilt(ctx context.Context, p session.Prebuilt) error {
	end, err := m.begin(ctx, "PutPrebuilt")
	if err != nil {
		return err
	}
	defer end()
	key := strings.ToLower(p.Repo.String())
	if p.Switched(m.prebuilt[key]) {
		m.audit = append(m.audit, p.Audit())
	}
	m.prebuilt[key] = clone(p)
	return nil
}

// sorted returns copies of a map's values, in order of their keys.
func sorted[K ~string, V any](of map[K]V) []V {
	all := make([]V, 0, len(of))
	for _, k := range slices.Sorted(maps.Keys(of)) {
		all = append(all, clone(of[k]))
	}
	return all
}
