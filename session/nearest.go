package session

import (
	"slices"
	"strings"
)

// Nearest returns at most n of known, those closest to name first, for messages that say what somebody may have meant. Case does not count;
// names that share nothing with it are left out, unless that would leave none.
func Nearest(name string, known []string, n int) []string {
	type candidate struct {
		name string
		cost int
	}
	lower := strings.ToLower(name)
	var near, all []candidate
	for _, k := range known {
		l := strings.ToLower(k)
		c := candidate{k, editDistance(lower, l)}
		if lower != "" && (strings.Contains(l, lower) || strings.Contains(lower, l)) {
			c.cost = min(c.cost, 1)
		}
		all = append(all, c)
		if c.cost <= max(len(l), len(lower))/2 {
			near = append(near, c)
		}
	}
	if len(near) == 0 {
		near = all
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return a.cost - b.cost })
	var out []string
	for _, c := range near[:min(n, len(near))] {
		out = append(out, c.name)
	}
	return out
}

// editDistance is Levenshtein's, in bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
