package githubtest_test

import (
	"net/http"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"openinspect/github/githubtest"
)

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

func (w *world) oauth() *oauth2.Config {
	return &oauth2.Config{ClientID: w.App().ClientID, Endpoint: oauth2.Endpoint{
		DeviceAuthURL: w.URL() + "/login/device/code", TokenURL: w.URL() + "/login/oauth/access_token",
		AuthStyle: oauth2.AuthStyleInParams,
	}}
}

func (w *world) poll(code string) map[string]string {
	return w.post("/login/oauth/access_token", map[string]string{
		"client_id": w.App().ClientID, "device_code": code, "grant_type": deviceGrant,
	})
}

func TestDeviceFlowWithOAuthLibrary(t *testing.T) {
	w := newWorld(t, func(c *githubtest.Config) { c.DeviceInterval = time.Second })
	da, err := w.oauth().DeviceAuth(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "interval", da.Interval, 1)
	equal(t, "codes waiting", len(w.UserCodes()), 1)
	if err := w.Approve(da.UserCode, "ada"); err != nil {
		t.Fatal(err)
	}
	tok, err := w.oauth().DeviceAccessToken(soon(t), da)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "months of refresh", tok.Extra("refresh_token_expires_in"), any(int64(15897600)))
	me, _, err := w.with(tok.AccessToken).Users.Get(t.Context(), "")
	equal(t, "error", err, nil)
	equal(t, "login", me.GetLogin(), "ada")

	// Refreshing ends both old tokens.
	old := *tok
	tok.Expiry = time.Unix(1, 0)
	fresh, err := w.oauth().TokenSource(soon(t), tok).Token()
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = w.with(old.AccessToken).Users.Get(t.Context(), "")
	refused(t, err, 401, "Bad credentials")
	_, _, err = w.with(fresh.AccessToken).Users.Get(t.Context(), "")
	equal(t, "error with the fresh token", err, nil)
	_, err = w.oauth().TokenSource(soon(t), tok).Token()
	retrieve, ok := err.(*oauth2.RetrieveError)
	if !ok || retrieve.ErrorCode != "bad_refresh_token" {
		t.Errorf("second use of a refresh token: %v", err)
	}
	w.clock.advance(8*time.Hour + time.Second)
	_, _, err = w.with(fresh.AccessToken).Users.Get(t.Context(), "")
	refused(t, err, 401, "Bad credentials")
}

func TestDeviceFlowPolling(t *testing.T) {
	w := newWorld(t)
	start := func() map[string]string {
		return w.post("/login/device/code", map[string]string{"client_id": w.App().ClientID})
	}
	d := start()
	equal(t, "interval", d["interval"], "5")
	equal(t, "expiry", d["expires_in"], "900")
	equal(t, "page", d["verification_uri"], w.URL()+"/login/device")
	steps := []struct {
		wait           time.Duration
		want, interval string
	}{
		{0, "authorization_pending", ""},
		{4 * time.Second, "slow_down", "10"},
		{5 * time.Second, "slow_down", "15"},
		{15 * time.Second, "authorization_pending", ""},
		{15 * time.Second, "authorization_pending", ""},
	}
	for i, step := range steps {
		w.clock.advance(step.wait)
		answer := w.poll(d["device_code"])
		if answer["error"] != step.want || answer["interval"] != step.interval {
			t.Errorf("poll %d: %v, want %s %s", i, answer, step.want, step.interval)
		}
	}
	w.clock.advance(900 * time.Second)
	equal(t, "late", w.poll(d["device_code"])["error"], "expired_token")
	if err := w.Approve(d["user_code"], "ada"); err == nil {
		t.Error("an expired code was approved")
	}

	d = start()
	if err := w.Deny(d["user_code"]); err != nil {
		t.Fatal(err)
	}
	equal(t, "denied", w.poll(d["device_code"])["error"], "access_denied")
	equal(t, "made up", w.poll("nonsense")["error"], "incorrect_device_code")
	if err := w.Approve("AAAA-BBBB", "ada"); err == nil {
		t.Error("an unknown code was approved")
	}
	d = start()
	if err := w.Approve(d["user_code"], "nobody"); err == nil {
		t.Error("a code was approved by nobody")
	}
}

func TestDeviceFlowDisabled(t *testing.T) {
	w := newWorld(t, func(c *githubtest.Config) { c.DeviceFlowDisabled = true })
	answer := w.post("/login/device/code", map[string]string{"client_id": w.App().ClientID})
	equal(t, "error", answer["error"], "device_flow_disabled")
	da, err := w.oauth().DeviceAuth(soon(t)) // the library takes the answer for a code without one
	equal(t, "error", err, nil)
	equal(t, "device code", da.DeviceCode, "")
	w.DisableDeviceFlow(false)
	answer = w.post("/login/device/code", map[string]string{"client_id": "another"})
	equal(t, "error", answer["error"], "incorrect_client_credentials")
	resp := must(http.Get(w.URL() + "/login/device"))
	resp.Body.Close()
	equal(t, "page", resp.StatusCode, 200)
}
