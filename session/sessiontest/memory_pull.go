package sessiontest

import (
	"context"
	"maps"
	"slices"
	"strings"

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

// MergeRule implements Pulls.
func (m *Memory) MergeRule(ctx context.Context, repo session.Repo) (session.MergeRule, error) {
	end, err := m.begin(ctx, "MergeRule")
	if err != nil {
		return session.MergeRule{}, err
	}
	defer end()
	r, ok := m.rules[strings.ToLower(repo.String())]
	if !ok {
		return r, session.Errorf(session.NotFound, "%s has no rule for merging", repo)
	}
	return clone(r), nil
}

// MergeRules implements Pulls.
func (m *Memory) MergeRules(ctx context.Context) ([]session.MergeRule, error) {
	end, err := m.begin(ctx, "MergeRules")
	if err != nil {
		return nil, err
	}
	defer end()
	var all []session.MergeRule
	for _, repo := range slices.Sorted(maps.Keys(m.rules)) {
		all = append(all, clone(m.rules[repo]))
	}
	return all, nil
}

// PutMergeRule implements Pulls.
func (m *Memory) PutMergeRule(ctx context.Context, r session.MergeRule) error {
	end, err := m.begin(ctx, "PutMergeRule")
	if err != nil {
		return err
	}
	defer end()
	key := strings.ToLower(r.Repo.String())
	if was, known := m.rules[key]; known && was.On == r.On && was.By.Slack == r.By.Slack {
		return nil // told again after a crash
	}
	m.rules[key] = clone(r)
	m.audit = append(m.audit, r.Audit())
	return nil
}
