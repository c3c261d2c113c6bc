package weblite

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"time"

	"openinspect/session"
)

// cookieName is the cookie a visit with a good link leaves. Its path is the session's, so there is one for each.
const cookieName = "inspect_session"

// tokenSize is the expiry in Unix seconds, 8 bytes big-endian, and a SHA-256 MAC.
const tokenSize = 8 + sha256.Size

// refusedText is what anybody sees who has no good token, whether the session exists or not.
const refusedText = "It is incomplete, was changed on the way, or is too old. Ask for a new one in the session's Slack thread."

// Link returns an address that opens the session's log to whoever has it, until it expires; "" without a public URL.
// A fragment #e{seq} may be appended.
func (s *Server) Link(id session.ID) string {
	u := s.Unsigned(id)
	if u == "" {
		return ""
	}
	return u + "?t=" + s.token(id, s.clock.Now().Add(s.linkFor))
}

// Unsigned returns the session's address without a token: it opens the log only in a browser that has a cookie for it.
// "" without a public URL.
func (s *Server) Unsigned(id session.ID) string {
	if s.public == nil {
		return ""
	}
	return s.public.String() + sessionPath(id)
}

func sessionPath(id session.ID) string { return "/s/" + string(id) }

// token signs id and expiry.
func (s *Server) token(id session.ID, expiry time.Time) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(expiry.Unix()))
	return base64.RawURLEncoding.EncodeToString(append(b[:], s.mac(id, b[:])...))
}

func (s *Server) mac(id session.ID, expiry []byte) []byte {
	h := hmac.New(sha256.New, s.key)
	h.Write([]byte("openinspect log link\x00"))
	h.Write(expiry) // of fixed length, so that no id can be read as part of it
	h.Write([]byte(id))
	return h.Sum(nil)
}

// check returns when the token expires, if it is this session's and has not.
func (s *Server) check(id session.ID, token string) (time.Time, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	// Line breaks are left out in decoding; a token has one form.
	if err != nil || len(b) != tokenSize || len(token) != base64.RawURLEncoding.EncodedLen(tokenSize) || !id.Valid() {
		return time.Time{}, false
	}
	if !hmac.Equal(s.mac(id, b[:8]), b[8:]) {
		return time.Time{}, false
	}
	expiry := time.Unix(int64(binary.BigEndian.Uint64(b[:8])), 0)
	return expiry, s.clock.Now().Before(expiry)
}

// admit returns the session a request may read and until when, by its cookies.
func (s *Server) admit(r *http.Request) (session.ID, time.Time, bool) {
	id := session.ID(r.PathValue("id"))
	for _, c := range r.CookiesNamed(cookieName) {
		if expiry, ok := s.check(id, c.Value); ok {
			return id, expiry, true
		}
	}
	return "", time.Time{}, false
}

// enter takes the token of a link: a good one becomes a cookie. It reports whether it has answered the request, which is so
// whenever there was a token: none may stay in the address. The browser keeps the fragment across the redirect.
func (s *Server) enter(w http.ResponseWriter, r *http.Request) bool {
	query := r.URL.Query()
	if !query.Has("t") {
		return false
	}
	id, token := session.ID(r.PathValue("id")), query.Get("t")
	expiry, ok := s.check(id, token)
	if ok {
		http.SetCookie(w, &http.Cookie{
			Name: cookieName, Value: token, Path: sessionPath(id), MaxAge: int(expiry.Sub(s.clock.Now()).Seconds()),
			HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: s.public != nil && s.public.Scheme == "https",
		})
	} else if _, _, ok = s.admit(r); !ok { // an old link in a browser that has a newer cookie is good
		s.forbid(w)
		return true
	}
	w.Header().Set("Location", r.URL.EscapedPath())
	w.WriteHeader(http.StatusSeeOther)
	return true
}

func (s *Server) forbid(w http.ResponseWriter) {
	s.refuse(w, http.StatusForbidden, "This link does not open the log", refusedText)
}
