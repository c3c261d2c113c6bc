package session

import (
	"cmp"
	"slices"
	"strings"
)

// Nearest returns at most n of known that somebody who wrote name may have meant, the likeliest first; none if nothing comes near. It is for
// sentences that say there is no such thing. Case does not count.
func Nearest(name string, known []string, n int) []string {
	type hit struct {
		name       string
		away, rest int // rest is what stands around it in name
	}
	name = strings.ToLower(strings.TrimSpace(name))
	if name == "" || len(name) > 200 {
		return nil
	}
	var hits []hit
	for _, k := range known {
		low := strings.ToLower(k)
		away := distance(name, low)
		if len(name) >= 3 && strings.Contains(low, name) || len(low) >= 3 && strings.Contains(name, low) {
			away = min(away, 1) // a piece of a name, or a name with something around it, is a better sign than equal letters
		}
		rest := 0
		if strings.Contains(name, low) {
			rest = len(name) - len(low)
		}
		if away <= max(1, (min(len(name), len(low))+1)/3) {
			hits = append(hits, hit{k, away, rest})
		}
	}
	slices.SortStableFunc(hits, func(a, b hit) int { return cmp.Or(a.away-b.away, a.rest-b.rest) })
	var near []string
	for _, h := range hits[:min(n, len(hits))] {
		near = append(near, h.name)
	}
	return near
}

// distance is how many characters to insert, delete, replace or swap with their neighbour to make b of a.
func distance(a, b string) int {
	from, to := []rune(a), []rune(b)
	before, last := make([]int, len(to)+1), make([]int, len(to)+1) // the two rows above the one that is made
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(from); i++ {
		row := make([]int, len(to)+1)
		row[0] = i
		for j := 1; j <= len(to); j++ {
			change := last[j-1]
			if from[i-1] != to[j-1] {
				change++
			}
			row[j] = min(change, row[j-1]+1, last[j]+1)
			if i > 1 && j > 1 && from[i-1] == to[j-2] && from[i-2] == to[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(to)]
}
