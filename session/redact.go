package session

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"
)

// redacted stands where a secret was.
const redacted = "[redacted]"

// minSecret is the shortest value that is looked for as it is; shorter ones would turn up in ordinary words.
const minSecret = 6

// Redactor takes secrets out of what a sandbox sent: values it was given, and whatever has the shape of a token. The zero value knows
// shapes alone. It may be used from many goroutines.
type Redactor struct {
	secrets []string // longest first
}

// NewRedactor makes one that also replaces the given values, where they have at least six bytes. A value of several lines, such as a
// private key, is replaced as a whole.
func NewRedactor(secrets ...string) *Redactor {
	r := &Redactor{}
	for _, s := range secrets {
		s = strings.TrimSpace(s)
		if len(s) >= minSecret && !strings.Contains(redacted, s) && !slices.Contains(r.secrets, s) {
			r.secrets = append(r.secrets, s)
		}
	}
	slices.SortFunc(r.secrets, func(a, b string) int { return len(b) - len(a) })
	return r
}

// String returns s without secrets. A string that has none comes back as it is.
func (r *Redactor) String(s string) string {
	// What is taken out can leave a token standing alone that hid inside a longer word, so it is looked at again; a few rounds are enough.
	for range 4 {
		spans := r.spans(s)
		if len(spans) == 0 {
			return s
		}
		var b strings.Builder
		at := 0
		for _, p := range spans {
			b.WriteString(s[at:p.from])
			b.WriteString(redacted)
			at = p.to
		}
		b.WriteString(s[at:])
		s = b.String()
	}
	return s
}

// span is a secret's place in a string, in bytes.
type span struct{ from, to int }

// spans finds every secret of s, in order and without overlaps.
func (r *Redactor) spans(s string) []span {
	var found []span
	for _, secret := range r.secrets {
		for at := 0; ; {
			i := strings.Index(s[at:], secret)
			if i < 0 {
				break
			}
			found = append(found, span{at + i, at + i + len(secret)})
			at += i + len(secret)
		}
	}
	for i := 0; i < len(s); i++ {
		for _, shape := range shapes[s[i]] {
			if !strings.HasPrefix(s[i:], shape.anchor) {
				continue
			}
			if from, to := shape.match(s, i); to > from && s[from:to] != redacted {
				found = append(found, span{from, to})
				i = max(i, to-1)
				break
			}
		}
	}
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

// JSON returns raw without secrets in its strings, keys and numbers; still valid JSON. What is not JSON becomes a JSON string.
func (r *Redactor) JSON(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 || bytes.IndexByte(raw, '\\') < 0 && len(r.spans(string(raw))) == 0 && json.Valid(raw) {
		return raw // nothing is escaped, so nothing can hide
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if !json.Valid(raw) || d.Decode(&v) != nil {
		return encode(r.String(string(raw)))
	}
	v, changed := r.value(v)
	if !changed {
		return raw
	}
	return encode(v)
}

func encode(v any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // v was decoded from JSON, or is a string
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// value redacts what encoding/json decoded, and reports whether anything was changed.
func (r *Redactor) value(v any) (any, bool) {
	changed := false
	switch v := v.(type) {
	case string:
		s := r.String(v)
		return s, s != v
	case json.Number:
		if s := r.String(v.String()); s != v.String() {
			return s, true
		}
	case []any:
		for i := range v {
			n, c := r.value(v[i])
			v[i], changed = n, changed || c
		}
	case map[string]any:
		for _, k := range slices.Sorted(keys(v)) {
			n, c := r.value(v[k])
			v[k], changed = n, changed || c
			if nk := r.String(k); nk != k {
				delete(v, k)
				v[nk], changed = n, true
			}
		}
	}
	return v, changed
}

func keys(m map[string]any) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

var (
	timeType = reflect.TypeFor[time.Time]()
	rawType  = reflect.TypeFor[json.RawMessage]()
)

// Event redacts every string of e and of its payload, in place.
func (r *Redactor) Event(e *Event) { r.walk(reflect.ValueOf(e).Elem()) }

// walk goes through v by reflection, so that a field that is added later is not forgotten.
func (r *Redactor) walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if s := v.String(); len(s) >= minSecret {
			if t := r.String(s); t != s {
				v.SetString(t)
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			r.walk(v.Elem())
		}
	case reflect.Slice:
		if v.Type() == rawType {
			v.SetBytes(r.JSON(v.Bytes()))
			return
		}
		for i := range v.Len() {
			r.walk(v.Index(i))
		}
	case reflect.Struct:
		if v.Type() == timeType {
			return
		}
		for i := range v.NumField() {
			r.walk(v.Field(i))
		}
	default: // numbers and truth values hold no text; the payloads have no maps, which a test holds
	}
}
