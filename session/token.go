package session

// FindToken returns where in s the first thing stands that has the shape of a token or private key, in bytes; -1 if there is none. It is what
// refuses a commit, so it is stricter than a Redactor: an Authorization header with some word behind it is ordinary documentation.
func FindToken(s string) int {
	at := -1
	for i := 0; i+4 <= len(s); i++ {
		k := key(s, i)
		if h := mix(k); shapesAlone.filter[h>>6]&(1<<(h&63)) == 0 {
			continue
		}
		for _, sh := range shapesAlone.at[k].shapes {
			if sh.loose {
				continue
			}
			if from, to := sh.match(s, i, i == 0 || !alnum.has(s[i-1])); to > from && (at < 0 || from < at) {
				at = from
			}
		}
		if at >= 0 {
			break
		}
	}
	return at
}
