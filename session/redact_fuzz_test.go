package session

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strings"
	"testing"
	"unicode/utf16"
)

// planted are secrets such as the bot has: a token, a password with awkward characters, raw bytes, and a key of many lines.
var planted = []string{
	"value-of-no-known-shape-0123456789",
	`pa"ss\wörd %41/<&>` + "\tx",
	"\x01\x02\xfe\xffraw-master-key-32-bytes-long!!",
	"-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAx0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJK\nqWErTyUiOpAsDfGhJkLzXcVbNm0987654321qWErTyUiOpAsDfGhJkLzXcVbNm01\n-----END RSA PRIVATE KEY-----",
}

// disguises are those that are seen through; each takes a number that decides where it breaks or what it escapes.
var disguises = map[string]func(s string, n int) string{
	"plain": func(s string, _ int) string { return s },
	"json": func(s string, _ int) string {
		b, _ := json.Marshal(s)
		return string(b)
	},
	"unicode": func(s string, n int) string {
		var b strings.Builder
		for i, u := range utf16.Encode([]rune(s)) {
			if (i+n)%3 == 0 || u < ' ' || u == '"' || u == '\\' || u == '%' || u >= 0x7f {
				fmt.Fprintf(&b, `\u%04x`, u)
			} else {
				b.WriteByte(byte(u))
			}
		}
		return b.String()
	},
	"percent": func(s string, n int) string {
		if n%2 == 0 {
			return url.PathEscape(s)
		}
		var b strings.Builder
		for i, c := range []byte(s) {
			if (i+n)%3 == 0 || !alnum.has(c) {
				fmt.Fprintf(&b, "%%%02x", c)
			} else {
				b.WriteByte(c)
			}
		}
		return b.String()
	},
	"html": func(s string, n int) string {
		if n%2 == 0 {
			return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s) // as Slack writes it
		}
		return html.EscapeString(s)
	},
	"wrapped": func(s string, n int) string {
		width := 1 + n%40
		var b strings.Builder
		for i, c := range []byte(s) {
			if i > 0 && i%width == 0 {
				b.WriteByte('\n')
			}
			b.WriteByte(c)
		}
		return b.String()
	},
	"coloured": func(s string, n int) string {
		at := n % len(s)
		return "\x1b[1;32m" + s[:at] + "\x1b[0m\x07" + s[at:] + "\x1b[K"
	},
	"utf-16": func(s string, _ int) string {
		var b strings.Builder
		for _, c := range []byte(s) {
			b.Write([]byte{c, 0})
		}
		return b.String()
	},
	"base64": func(s string, n int) string {
		return base64.StdEncoding.EncodeToString([]byte(strings.Repeat("u", n%3) + s + strings.Repeat(":", n%2)))
	},
	"base64url": func(s string, n int) string {
		return base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("u", n%3) + s))
	},
	"hex": func(s string, n int) string {
		if n%2 == 0 {
			return strings.ToUpper(hex.EncodeToString([]byte(s)))
		}
		return hex.EncodeToString([]byte(s))
	},
}

// textual reports whether a disguise only fits what is text.
func textual(name string) bool { return name == "json" || name == "unicode" }

// valuesOnly are the disguises in which a token is not found by its shape.
var valuesOnly = map[string]bool{"base64": true, "base64url": true, "hex": true}

// bare is s without what may stand between the characters of a secret.
func bare(s string) string {
	if v := look(s); v != nil {
		return string(v.text)
	}
	return s
}

// leaks reports whether a disguised secret can be read in s, also by somebody who takes line breaks and colours out.
func leaks(s, disguised string) bool {
	return strings.Contains(s, disguised) || strings.Contains(bare(s), bare(disguised))
}

func TestRedactDisguised(t *testing.T) {
	r := NewRedactor(planted...)
	for name, disguise := range disguises {
		for n := range 12 {
			for i, secret := range planted {
				if i == 2 && textual(name) {
					continue
				}
				hidden := disguise(secret, n)
				for _, around := range [][2]string{{"", ""}, {"key is ", " there\n"}, {"a=", "&b"}, {"x\n", "\ny"}, {"7", "7"}} {
					got := r.String(around[0] + hidden + around[1])
					if leaks(got, hidden) || !strings.HasPrefix(got, around[0]) && around[0] != "7" {
						t.Errorf("%s %d of %q between %q: %q", name, n, secret, around, got)
					}
				}
			}
			if valuesOnly[name] {
				continue
			}
			for kind, token := range tokenShapes {
				if strings.HasSuffix(kind, "key") && name != "plain" && name != "json" {
					continue // a private key is found by shape as it is, or as JSON
				}
				hidden := disguise(token, n)
				if got := r.String("it is " + hidden + " there"); leaks(got, hidden) {
					t.Errorf("%s %d of %s: %q", name, n, kind, got)
				}
			}
		}
	}
}

// sown puts secrets in disguise into a text, where the bytes of where say.
func sown(text string, where []byte) (full string, hidden []string) {
	var b strings.Builder
	names := []string{"plain", "json", "unicode", "percent", "wrapped", "coloured", "utf-16", "base64", "base64url", "hex", "html"}
	at := 0
	for i := 0; i+2 < len(where) && i < 12; i += 3 {
		next := at
		if len(text) > at {
			next = at + int(where[i])%(len(text)-at+1)
		}
		b.WriteString(text[at:next])
		at = next
		name, n := names[int(where[i+1])%len(names)], int(where[i+2])
		secret := planted[n%3]
		if n%3 == 2 && textual(name) {
			secret = planted[0]
		}
		h := disguises[name](secret, n/3)
		b.WriteString(" " + h + " ")
		hidden = append(hidden, h)
	}
	b.WriteString(text[at:])
	return b.String(), hidden
}

// No secret that was planted survives, in whatever text around it, in one string or in JSON.
func FuzzRedact(f *testing.F) {
	for _, s := range tokenShapes {
		f.Add("x "+s+" y", []byte{1, 0, 0, 2, 3, 4})
	}
	for i := range 10 {
		f.Add("Authorization: Bearer \xc3\x28é \\u00 %4 \x1b[", []byte{byte(i), byte(i), byte(7 * i), 3, byte(i + 1), byte(i)})
	}
	f.Add("0}", []byte{})
	r := NewRedactor(planted...)
	f.Fuzz(func(t *testing.T, s string, where []byte) {
		full, hidden := sown(s, where)
		out := r.String(full)
		for _, h := range hidden {
			if leaks(out, h) && !leaks(s, h) {
				t.Errorf("%q left in %q of %q", h, out, full)
			}
		}
		// What was taken out of a private key's first line makes it one only when it is read again.
		if again := r.String(out); again != out && !strings.Contains(out, pemBegin) && !strings.Contains(strings.ToLower(out), "uthorization") {
			t.Errorf("%q becomes %q when it is redacted again", out, again)
		}
		raw, err := json.Marshal(map[string]any{s: []any{full, 1}})
		if err != nil {
			t.Fatal(err)
		}
		clean := r.JSON(raw)
		if !json.Valid(clean) {
			t.Errorf("not JSON any more: %q", clean)
		}
		var v map[string][]any
		if err := json.Unmarshal(clean, &v); err != nil {
			t.Fatal(err)
		}
		for _, list := range v {
			for _, h := range hidden {
				h = strings.ToValidUTF8(h, "\ufffd")
				if strings.ContainsRune(h, '\ufffd') {
					continue // JSON has no such bytes
				}
				if leaks(fmt.Sprint(list[0]), h) && !leaks(s, h) {
					t.Errorf("%q left in %q", h, clean)
				}
			}
		}
		if clean := r.JSON(json.RawMessage(s)); len(s) > 0 && !json.Valid(clean) {
			t.Errorf("not JSON: %q", clean)
		}
	})
}

// However a text is split, what is shown of it live is what is shown of the whole, as far as it has come.
func FuzzRedactLive(f *testing.F) {
	for _, s := range tokenShapes {
		f.Add("x "+s+"\ny", []byte{1, 0, 0, 2, 3, 4}, uint16(3))
	}
	for i := range 20 {
		f.Add("Authorization: Bearer wörd g\nhp_ \xc3\x28é sk\n-ant-abcdefgh \\u0067 %4\n1", []byte{byte(i), byte(i), byte(7 * i), 3, byte(i + 1), byte(i)}, uint16(i))
	}
	r := NewRedactor(planted[:3]...)
	f.Fuzz(func(t *testing.T, s string, where []byte, step uint16) {
		full, _ := sown(s, where)
		if len(full) > 4<<10 {
			return
		}
		shown, _ := live(t, r, full, 1+int(step%97))
		whole := r.String(full)
		if !strings.HasPrefix(whole, shown) {
			t.Errorf("shown %q\nwhole %q\nof    %q", shown, whole, full)
		}
		// After a gap that ends everything, nothing is held back.
		if ended, _ := live(t, r, full+"\n\n. . "+strings.Repeat("end of it. ", 10), 1+int(step%97)); len(ended) < len(shown) {
			t.Errorf("with more text less is shown: %q after %q", ended, shown)
		}
	})
}
