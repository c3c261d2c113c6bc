package session

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// redacted stands where a secret was.
const redacted = "[redacted]"

// Redactor takes secrets out of what is stored, shown or logged: values it was given, and whatever has the shape of a token. The zero value
// knows shapes alone. It may be used from many goroutines.
//
// Values are found as they are, in any case of these disguises, and in most combinations of them: with characters escaped as JSON and most
// languages do (\u0068, \x68, \n, \"), as HTML and Slack do (&amp;), or percent-encoded; with terminal colours and other control characters inside, zero bytes of UTF-16 among them; broken
// over lines at any place, as a terminal wraps them; as base64 (both alphabets, at any offset, so also inside of a Basic header) and as hexadecimal
// digits of either case, where they are long enough to tell. Of a value of many lines, such as a private key, every long line is a value too.
//
// Tokens are found by shape under the same escapes, control characters and line breaks, where the break is early: of a token whose beginning
// has all that makes one, the rest on a next line stays. They are not found in base64.
//
// What a sandbox disguises on purpose is not found: other alphabets, ciphers, spaces in between, two escapes over each other, compression. No
// credential that is worth it is in a sandbox in the first place.
type Redactor struct {
	at atomic.Pointer[index] // nil: shapes alone
}

// NewRedactor makes one that also replaces the given values, where they have at least six bytes.
func NewRedactor(secrets ...string) *Redactor {
	r := &Redactor{}
	r.at.Store(newIndex(secrets))
	return r
}

// maxLearned is how many values that came later are known at a time.
const maxLearned = 64

// Learn adds a value that was not known at the start, such as a token that was just made. Of many the oldest are forgotten: they are
// to be short-lived.
func (r *Redactor) Learn(secret string) {
	r.change(func(k *sources) bool {
		if slices.Contains(k.learned, secret) || slices.Contains(k.fixed, secret) {
			return false
		}
		k.learned = append(slices.Clone(k.learned[max(0, len(k.learned)-maxLearned+1):]), secret)
		return true
	})
}

// Keep adds values that belong together, such as a repository's, in place of those that were kept under that name before. They are not forgotten by
// themselves.
func (r *Redactor) Keep(name string, secrets ...string) {
	secrets = slices.Sorted(slices.Values(secrets))
	r.change(func(k *sources) bool {
		if slices.Equal(k.kept[name], secrets) {
			return false
		}
		if k.kept = maps.Clone(k.kept); k.kept == nil {
			k.kept = map[string][]string{}
		}
		k.kept[name] = secrets
		return true
	})
}

// sources are what a Redactor knows by value.
type sources struct {
	fixed   []string
	learned []string            // oldest first
	kept    map[string][]string // by what they belong to
}

func (k sources) all() []string {
	all := append(slices.Clone(k.fixed), k.learned...)
	for _, name := range slices.Sorted(maps.Keys(k.kept)) {
		all = append(all, k.kept[name]...)
	}
	return all
}

// change has f change what is known, in a copy, unless it returns false.
func (r *Redactor) change(f func(*sources) bool) {
	for {
		old := r.at.Load()
		var k sources
		if old != nil {
			k = old.sources
		}
		if !f(&k) {
			return
		}
		next := newIndex(k.all())
		next.sources = k
		if r.at.CompareAndSwap(old, next) {
			return
		}
	}
}

func (r *Redactor) index() *index {
	if x := r.at.Load(); x != nil {
		return x
	}
	return shapesAlone
}

// maxRounds bounds how often a string is looked at. What is taken out can leave a token standing alone that hid inside a longer word.
const maxRounds = 8

// String returns s without secrets. A string that has none comes back as it is.
func (r *Redactor) String(s string) string {
	x := r.index()
	for round := range maxRounds {
		spans := x.spans(s, round == 0)
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

// JSON returns raw without secrets in its strings, keys and numbers; still valid JSON. What is not JSON becomes a JSON string.
func (r *Redactor) JSON(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 || plainEscapes(raw) && !r.index().holds(raw) && (canonical(raw) || json.Valid(raw)) {
		return raw
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

// plainEscapes reports whether raw has only escapes that a view of it sees through, and none that may stand for the beginning of another: of the three
// that encoding/json makes for HTML's sake, an ampersand is one where an entity may follow.
func plainEscapes(raw []byte) bool {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return true
		}
		raw = raw[i+1:]
		switch {
		case len(raw) == 0:
			return false
		case strings.IndexByte(`nrt"/`, raw[0]) >= 0:
			raw = raw[1:]
		case len(raw) > 5 && (string(raw[:5]) == "u003c" || string(raw[:5]) == "u003e"),
			len(raw) > 5 && string(raw[:5]) == "u0026" && strings.IndexByte("alqg#", raw[5]) < 0:
			raw = raw[5:]
		default:
			return false
		}
	}
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
	textType = reflect.TypeFor[string]() // every other string is of a closed set
	timeType = reflect.TypeFor[time.Time]()
	rawType  = reflect.TypeFor[json.RawMessage]()
)

// Event redacts every string of e and of its payload, in place, but for what is no text: a value may be a word that programs say to each other, such as
// a turn's state, or stand in a prompt's number.
func (r *Redactor) Event(e *Event) {
	if !e.often() {
		id := e.PromptID
		r.replaceWord(&id)
		r.walk(reflect.ValueOf(e).Elem())
		e.PromptID = id
		return
	}
	// What a log is full of goes without reflection; a test holds that nothing is forgotten.
	r.replaceWord((*string)(&e.Kind))
	r.replaceWord(&e.PromptID)
	if t := e.Text; t != nil {
		r.replace(&t.Part)
		r.replace(&t.Text)
	}
	if t := e.Tool; t != nil {
		for _, s := range []*string{&t.Call, &t.Name, &t.Title, &t.Output, &t.Error, &t.Diff} {
			r.replace(s)
		}
		r.replaceWord((*string)(&t.State))
		t.Input = r.JSON(t.Input)
	}
}

func (r *Redactor) replace(s *string) {
	if len(*s) >= minSecret {
		*s = r.String(*s)
	}
}

// replaceWord is replace for what is a word of a closed set, or a prompt's number, unless it cannot be one.
func (r *Redactor) replaceWord(s *string) {
	if len(*s) > maxWord || strings.Trim(*s, "abcdefghijklmnopqrstuvwxyz_") != "" && strings.Trim(*s, "0123456789.") != "" {
		r.replace(s)
	}
}

// maxWord is how long such a word is at most.
const maxWord = 20

// walk goes through v by reflection, so that a field that is added later is not forgotten.
func (r *Redactor) walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		s := v.String()
		if v.Type() == textType {
			r.replace(&s)
		} else {
			r.replaceWord(&s)
		}
		if s != v.String() {
			v.SetString(s)
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
