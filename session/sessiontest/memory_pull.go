package sessiontest

import (
	"context"

	"openinspect/session"
)

// Followed implements Pulls.
func (m *Memory) Followed(ctx context.Context) ([]session.Followed, error) {
	end, err := m.begin(ctx, "Followed")
	if err != nil {
		return nil, err
	}
	defer end()
	var all []session.Followed
	for _, k := range m.sessions {
		if f, ok := k.session.Follows(); ok {
			all = append(all, f)
		}
	}
	return all, nil
}
