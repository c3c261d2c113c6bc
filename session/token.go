package session

import "strings"

// FindToken returns where in s the first thing stands that has the shape of a token or private key, in bytes; -1 if there is none. It is what
// refuses a commit, so it is stricter than a Redactor: an Authorization header with some word behind it is ordinary documentation.
func FindToken(s string) int {
	for i := range len(s) {
		for _, sh := range shapes[s[i]] {
			if sh.anchor[0] == 'u' || sh.anchor[0] == 'U' || !strings.HasPrefix(s[i:], sh.anchor) {
				continue
			}
			if from, to := sh.match(s, i); to > from {
				return from
			}
		}
	}
	return -1
}
