package session

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
)

// Values shorter than these turn up in ordinary words, or in the encodings of others.
const (
	minSecret  = 6
	minEncoded = 12 // of a base64 or hexadecimal form
	minLine    = 24 // of a line of a value that has many
)

// index finds values and shapes in one pass: filters over the next three and four bytes say where to look closer.
type index struct {
	sources sources
	values  []string // every form of every secret
	longest int
	rough   [1 << 14]uint8        // by three bytes, the first or the second of a value or an anchor
	filter  [1 << 10]uint64       // by its first four
	at      map[uint32]candidates // by the first four bytes
}

// candidates are what may begin at a place.
type candidates struct {
	values []string // longest first
	shapes []shape
}

var shapesAlone = newIndex(nil)

func newIndex(secrets []string) *index {
	x := &index{sources: sources{fixed: secrets}, at: map[uint32]candidates{}}
	seen := map[string]bool{}
	for _, s := range secrets {
		for _, form := range forms(strings.TrimSpace(s)) {
			if !strings.Contains(redacted, form) && !seen[form] {
				seen[form] = true
				x.values = append(x.values, form)
			}
		}
	}
	slices.SortFunc(x.values, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	for _, v := range x.values {
		x.longest = max(x.longest, len(v))
		k := key(v, 0)
		c := x.at[k]
		c.values = append(c.values, v)
		x.enter(k, c)
	}
	for _, s := range shapes {
		for _, anchor := range s.anchors {
			k := key(anchor, 0)
			c := x.at[k]
			c.shapes = append(c.shapes, s)
			x.enter(k, c)
		}
	}
	return x
}

func (x *index) enter(k uint32, c candidates) {
	x.at[k] = c
	h := mix(k)
	x.filter[h>>6] |= 1 << (h & 63)
	x.rough[mix3(uint64(k))], x.rough[mix3(uint64(k>>8))] = 1, 1
}

// key is four bytes of s from i on.
func key[S string | []byte](s S, i int) uint32 {
	return uint32(s[i]) | uint32(s[i+1])<<8 | uint32(s[i+2])<<16 | uint32(s[i+3])<<24
}

// mix spreads a key over the filter's bits.
func mix(k uint32) uint16 { return uint16(k * 0x9E3779B1 >> 16) }

// mix3 spreads the lowest three bytes over the rough filter.
func mix3(w uint64) uint32 { return uint32(w) << 8 * 0x9E3779B1 >> 18 }

// forms returns how a secret may appear: as it is, as it reads when it is unescaped and unbroken, its long lines, and what base64 and hexadecimal make of it.
func forms(s string) []string {
	if len(s) < minSecret {
		return nil
	}
	all := []string{s}
	if v := look(s); v != nil && len(v.text) >= minSecret {
		all = append(all, string(v.text))
	}
	if strings.Contains(s, "\n") {
		for line := range strings.Lines(s) {
			if line = strings.TrimSpace(line); len(line) >= minLine && !strings.HasPrefix(line, "-----") {
				all = append(all, line)
			}
		}
	}
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			// What stands before and after decides the first and the last digit in part, so these are left out.
			whole := enc.EncodeToString(append(make([]byte, before), s...))
			if f := whole[(before*8+5)/6 : (before+len(s))*8/6]; len(f) >= minEncoded {
				all = append(all, f)
			}
		}
	}
	if h := hex.EncodeToString([]byte(s)); len(h) >= minEncoded {
		all = append(all, h, strings.ToUpper(h))
	}
	return all
}

// span is a secret's place in a string, in bytes.
type span struct{ from, to int }

// sought is what is looked for besides values.
type sought uint8

const (
	words    sought = 1 << iota // shapes without spaces
	passages                    // shapes with spaces
)

// spans finds secrets of s, in order and without overlaps: values, whether disguised or not; shapes as they are, and if nothing at all was
// found, shapes in disguise: one that ends with its line is not to be joined to the next. passages are looked for where first asks for them: taking something out must not
// make another of its surroundings.
func (x *index) spans(s string, first bool) []span {
	raw := words
	if first {
		raw |= passages
	}
	found := x.find(s, nil, raw)
	if v := look(s); v != nil {
		defer v.release()
		what := words
		if len(found) > 0 {
			what = 0
		}
		if suspect(x, v.text, 0) < len(v.text) {
			for _, p := range x.find(string(v.text), v, what) {
				found = append(found, v.place(p))
			}
		}
	}
	return merge(found)
}

// holds reports whether there may be anything to find in raw or in what its escapes stand for.
func (x *index) holds(raw []byte) bool {
	if suspect(x, raw, 0) == len(raw) && quiet(raw, 0) == len(raw) {
		return false
	}
	s := string(raw)
	if len(x.find(s, nil, words|passages)) > 0 {
		return true
	}
	v := look(s)
	if v == nil {
		return false
	}
	defer v.release()
	return suspect(x, v.text, 0) < len(v.text) && len(x.find(string(v.text), v, words|passages)) > 0
}

// find looks through s, which is v's text unless that is nil.
func (x *index) find(s string, v *view, what sought) []span {
	var found []span
	covered := 0 // by the shape found last: what may begin in it ends with it
	for i := suspect(x, s, 0); i < len(s); i = suspect(x, s, i+1) {
		c := x.at[key(s, i)]
		for _, value := range c.values {
			if strings.HasPrefix(s[i:], value) {
				found = append(found, span{i, i + len(value)})
				break
			}
		}
		for _, shape := range c.shapes {
			if i < covered {
				break
			}
			if shape.spaced && what&passages == 0 || !shape.spaced && what&words == 0 {
				continue
			}
			from, to := shape.match(s, i, i == 0 || !alnum.has(s[i-1]) || v != nil && v.gap(i))
			if to > from && s[from:to] != redacted {
				found = append(found, span{from, to})
				covered = to
				break
			}
		}
	}
	return found
}

// suspect returns the first place from i on where something that is looked for may begin; the length of s when there is none. It looks at three bytes in
// every two places: whatever begins at an odd one shows there with its second.
func suspect[S string | []byte](x *index, s S, i int) int {
	begin := i
	for ; len(s)-i >= 8; i += 6 {
		w := word8(s, i)
		if x.rough[mix3(w)]|x.rough[mix3(w>>16)]|x.rough[mix3(w>>32)] == 0 {
			continue
		}
		for at := max(begin, i-1); at < i+5; at++ {
			if x.known(key(s, at)) {
				return at
			}
		}
	}
	for at := max(begin, i-1); at+4 <= len(s); at++ {
		if x.known(key(s, at)) {
			return at
		}
	}
	return len(s)
}

// known reports whether something begins with four bytes.
func (x *index) known(k uint32) bool {
	if h := mix(k); x.filter[h>>6]&(1<<(h&63)) == 0 {
		return false
	}
	_, ok := x.at[k]
	return ok
}

// merge sorts spans and joins those that overlap.
func merge(found []span) []span {
	if len(found) < 2 {
		return found
	}
	slices.SortFunc(found, func(a, b span) int { return a.from - b.from })
	merged := found[:1]
	for _, p := range found[1:] {
		if last := &merged[len(merged)-1]; p.from < last.to {
			last.to = max(last.to, p.to)
		} else {
			merged = append(merged, p)
		}
	}
	return merged
}

// begun returns the length of the longest end of s that is a beginning of a value, but not all of it.
func (x *index) begun(s string) int {
	for n := min(len(s), x.longest-1); n > 0; n-- {
		end := s[len(s)-n:]
		if n < 4 {
			for _, v := range x.values {
				if len(v) > n && strings.HasPrefix(v, end) {
					return n
				}
			}
			continue
		}
		k := key(end, 0)
		if h := mix(k); x.filter[h>>6]&(1<<(h&63)) == 0 {
			continue
		}
		for _, v := range x.at[k].values {
			if len(v) > n && strings.HasPrefix(v, end) {
				return n
			}
		}
	}
	return 0
}
