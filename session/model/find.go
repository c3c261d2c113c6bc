package model

import (
	"slices"
	"strings"

	"openinspect/session"
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
	ids := map[string]string{} // by every name a model has
	var known []string
	for _, m := range catalogue {
		for _, n := range append([]string{m.ID, m.Name}, m.Aliases...) {
			known = append(known, n)
			ids[n] = m.ID
		}
	}
	hits := session.Nearest(name, known, len(known))
	if _, bare, ok := strings.Cut(name, "/"); ok && len(hits) == 0 {
		hits = session.Nearest(bare, known, len(known))
	}
	var near []string
	for _, n := range hits {
		if id := ids[n]; len(near) < 3 && !slices.Contains(near, id) {
			near = append(near, id)
		}
	}
	return near
}

func (m Model) clone() Model {
	m.Aliases, m.Efforts = slices.Clone(m.Aliases), slices.Clone(m.Efforts)
	return m
}
