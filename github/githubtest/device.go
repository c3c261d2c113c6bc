package githubtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// deviceCodeLife is how long a code may be entered; GitHub documents 15 minutes.
const deviceCodeLife = 900 * time.Second

// pollSlack is how much too early a poll may come: the two clocks' ticks differ a little.
const pollSlack = 250 * time.Millisecond

// device is a device code waiting for its person.
type device struct {
	code, userCode string
	interval       time.Duration
	next           time.Time // no poll before this
	expires        time.Time
	user           *account // who approved
	denied         bool
}

// Approve does what a person does at /login/device: enters the code, signed in as login, and agrees. The error says
// that nobody has that login, or that the code is unknown, used or expired.
func (s *Server) Approve(userCode, login string) error {
	return s.decide(userCode, func(d *device) error {
		a := s.accounts[lower(login)]
		if a == nil || a.kind != "User" {
			return fmt.Errorf("no user %q", login)
		}
		d.user = a
		s.tell(Event{Kind: DeviceApproved, Login: a.login})
		return nil
	})
}

// Deny enters the code and refuses.
func (s *Server) Deny(userCode string) error {
	return s.decide(userCode, func(d *device) error {
		d.denied = true
		s.tell(Event{Kind: DeviceDenied})
		return nil
	})
}

func (s *Server) decide(userCode string, decide func(*device) error) error {
	defer s.flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.devices {
		if strings.EqualFold(d.userCode, userCode) && s.now().Before(d.expires) {
			if err := decide(d); err != nil {
				return fmt.Errorf("device code: %w", err)
			}
			return nil
		}
	}
	return errors.New("device code: not known, or expired")
}

// UserCodes lists the codes nobody has decided on yet.
func (s *Server) UserCodes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var codes []string
	for _, d := range s.devices {
		if d.user == nil && !d.denied && s.now().Before(d.expires) {
			codes = append(codes, d.userCode)
		}
	}
	return codes
}

// DisableDeviceFlow unticks, or ticks again, "Enable Device Flow" in the App's settings.
func (s *Server) DisableDeviceFlow(off bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deviceOff = off
}

// oauth serves one of the two OAuth endpoints: an answer is always 200, in form encoding unless JSON is asked for.
func (s *Server) oauth(route string, answer func(url.Values) object) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, "request too large", http.StatusRequestEntityTooLarge)
			return
		}
		c := s.begin(route, r, body, "")
		if s.faulted(w, c, nil) {
			return
		}
		s.mu.Lock()
		result := answer(oauthForm(r, body))
		s.mu.Unlock()
		s.flush()
		c.After, c.Status = true, http.StatusOK
		if s.faulted(w, c, nil) {
			return
		}
		writeOAuth(w, r, result)
	}
}

// oauthForm reads the parameters from the body, a form or JSON, and from the query.
func oauthForm(r *http.Request, body []byte) url.Values {
	values := r.URL.Query()
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind == "application/json" {
		var in map[string]string
		if json.Unmarshal(body, &in) == nil {
			for name, value := range in {
				values.Set(name, value)
			}
		}
		return values
	}
	if form, err := url.ParseQuery(string(body)); err == nil {
		for name := range form {
			values.Set(name, form.Get(name))
		}
	}
	if id, _, ok := r.BasicAuth(); ok && values.Get("client_id") == "" {
		values.Set("client_id", id)
	}
	return values
}

func writeOAuth(w http.ResponseWriter, r *http.Request, result object) {
	if strings.Contains(r.Header.Get("Accept"), "json") {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_, _ = w.Write(marshal(result)) // a client that left is its own affair
		return
	}
	form := url.Values{}
	for name, value := range result {
		form.Set(name, fmt.Sprint(value))
	}
	w.Header().Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	_, _ = io.WriteString(w, form.Encode())
}

func oauthError(code, description string) object {
	return object{
		"error": code, "error_description": description,
		"error_uri": "https://docs.github.com/apps/managing-oauth-apps/troubleshooting-oauth-app-access-token-request-errors/",
	}
}

func (s *Server) deviceCode(in url.Values) object {
	if in.Get("client_id") != s.cfg.App.ClientID {
		return oauthError("incorrect_client_credentials", "The client_id and/or client_secret passed are incorrect.")
	}
	if s.deviceOff {
		return oauthError("device_flow_disabled", "Device Flow must be explicitly enabled for this App")
	}
	const consonants = "BCDFGHJKLMNPQRSTVWXZ"
	d := &device{
		code:     lower(letters(40)),
		userCode: pick(consonants, 4) + "-" + pick(consonants, 4),
		interval: s.cfg.DeviceInterval,
		next:     s.now(),
		expires:  s.now().Add(deviceCodeLife),
	}
	s.devices[d.code] = d
	s.tell(Event{Kind: DeviceStarted})
	return object{
		"device_code": d.code, "user_code": d.userCode, "verification_uri": s.base + "/login/device",
		"expires_in": int(deviceCodeLife.Seconds()), "interval": int(d.interval.Seconds()),
	}
}

func (s *Server) accessToken(in url.Values) object {
	if in.Get("client_id") != s.cfg.App.ClientID {
		return oauthError("incorrect_client_credentials", "The client_id and/or client_secret passed are incorrect.")
	}
	switch in.Get("grant_type") {
	case "urn:ietf:params:oauth:grant-type:device_code":
		return s.redeem(in.Get("device_code"))
	case "refresh_token":
		return s.refreshToken(in.Get("refresh_token"))
	default:
		return oauthError("unsupported_grant_type", "The grant_type must be device_code or refresh_token.")
	}
}

// redeem answers one poll. Polling too early makes the interval five seconds longer, for good.
func (s *Server) redeem(code string) object {
	d := s.devices[code]
	if d == nil {
		return oauthError("incorrect_device_code", "The device_code provided is not valid.")
	}
	now := s.now()
	if !now.Before(d.expires) {
		return oauthError("expired_token", "The device code has expired.")
	}
	if now.Before(d.next.Add(-pollSlack)) {
		d.interval += 5 * time.Second
		d.next = now.Add(d.interval)
		slow := oauthError("slow_down", "Too many requests have been made in the same timeframe.")
		slow["interval"] = int(d.interval.Seconds())
		return slow
	}
	d.next = now.Add(d.interval)
	switch {
	case d.denied:
		delete(s.devices, code)
		return oauthError("access_denied", "The authorization request was denied.")
	case s.deviceOff:
		return oauthError("device_flow_disabled", "Device Flow must be explicitly enabled for this App")
	case d.user == nil:
		return oauthError("authorization_pending", "The authorization request is still pending.")
	}
	delete(s.devices, code)
	return s.issue(s.mintUser(d.user))
}

// refreshToken trades a refresh token for a new pair; both old tokens end.
func (s *Server) refreshToken(value string) object {
	r := s.refreshes[value]
	if r == nil || !s.now().Before(r.expires) {
		return oauthError("bad_refresh_token", "The refresh token passed is incorrect or expired.")
	}
	s.revoke(r.access)
	return s.issue(s.mintUser(r.user))
}

func (s *Server) issue(t *token) object {
	return object{
		"access_token": t.Value, "expires_in": int(userTokenLife.Seconds()), "refresh_token": t.refresh,
		"refresh_token_expires_in": int(refreshTokenLife.Seconds()), "scope": "", "token_type": "bearer",
	}
}

// stamp is a time the way GitHub writes it.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// stampOrNil is stamp, or null for the zero time.
func stampOrNil(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return stamp(t)
}

// epoch dates what has always been there.
var epoch = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

func node(kind string, id int64) string { return kind + "_" + strconv.FormatInt(id, 36) }
