package model

import (
	"cmp"
	"slices"
	"strings"
)

// All returns the catalogue in order of preference.
func All() []Model {
	all := slices.Clone(catalogue)
	for i := range all {
		all[i] = all[i].clone()
	}
	return all
}

// Providers returns the providers of the catalogue.
func Providers() []Provider { return slices.Clone(providers) }

// Find returns the model of that name: an id ("anthropic/claude-sonnet-5"), an id without its provider, or an alias. Case and space around it
// do not matter.
func Find(name string) (Model, bool) {
	name = strings.ToLower(strings.TrimSpace(name))
	for _, m := range catalogue {
		if name == m.ID || name == m.Name || slices.Contains(m.Aliases, name) {
			return m.clone(), true
		}
	}
	return Model{}, false
}

// Default returns what to use when nobody named a model: the first of the catalogue whose provider is among those given, which are the ones
// there is a key for. It reports false if there is none.
func Default(withKey ...string) (Model, bool) {
	for _, m := range catalogue {
		if slices.Contains(withKey, m.Provider) {
			return m.clone(), true
		}
	}
	return Model{}, false
}

// Small returns the provider's model for little work, such as titles. It reports false for a provider that is not in the catalogue.
func Small(provider string) (Model, bool) {
	return Find(provider + "/" + small[provider])
}

// Nearest returns the ids of at most three models that somebody who wrote name may have meant, the likeliest first. It is for the sentence
// that says there is no such model, and is empty if nothing comes near.
func Nearest(name string) []string {
	name = strings.ToLower(strings.TrimSpace(name))
	if name == "" || len(name) > 100 {
		return nil
	}
	type hit struct {
		id   string
		away int
	}
	var hits []hit
	for _, m := range catalogue {
		best := -1
		for _, known := range append([]string{m.ID, m.Name}, m.Aliases...) {
			away := distance(name, known)
			switch {
			case len(name) >= 3 && strings.Contains(known, name), len(known) >= 3 && strings.Contains(name, known):
				away = 1 // a piece of a name, or a name with something around it, is a better sign than equal letters
			case away > max(1, min(len(name), len(known))/3):
				continue
			}
			if best < 0 || away < best {
				best = away
			}
		}
		if best >= 0 {
			hits = append(hits, hit{m.ID, best})
		}
	}
	slices.SortStableFunc(hits, func(a, b hit) int { return cmp.Compare(a.away, b.away) })
	var ids []string
	for _, h := range hits[:min(3, len(hits))] {
		ids = append(ids, h.id)
	}
	return ids
}

// distance is the number of bytes to insert, delete or replace to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func (m Model) clone() Model {
	m.Aliases, m.Efforts = slices.Clone(m.Aliases), slices.Clone(m.Efforts)
	return m
}
