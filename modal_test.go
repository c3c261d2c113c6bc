//go:build linux

package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"openinspect/sandbox/modaltest"
)

// A Modal that refuses the token, or the bot's App, or does not have the environment, is for the operator to mend; the bot does not begin, and says what to do.
func TestModalRefusesTheToken(t *testing.T) {
	const refused = "MODAL_TOKEN_ID is refused by Modal, with MODAL_TOKEN_SECRET. Make a token on https://modal.com/settings/tokens"
	for what, want := range map[string]string{
		"the token": refused, "the App": refused,
		"the environment": `MODAL_ENVIRONMENT is "prodution", which the workspace of the Modal token does not have. Set it to one`,
	} {
		t.Run(what, func(t *testing.T) {
			s := modaltest.New(modaltest.Config{Run: func(context.Context, modaltest.Program) int { return 0 }})
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}()
			env := goodEnvironment(t)
			env["MODAL_TOKEN_ID"], env["MODAL_TOKEN_SECRET"], env["MODAL_SERVER_URL"] = modaltest.TokenID, modaltest.TokenSecret, s.URL()
			switch what {
			case "the token":
				env["MODAL_TOKEN_SECRET"] = "as-wrong"
			case "the App":
				s.Break("AppGetOrCreate", modaltest.Denied, modaltest.Always)
			case "the environment":
				env["MODAL_ENVIRONMENT"] = "prodution"
			}
			c, err := load(t, env)
			if err != nil {
				t.Fatal(err)
			}
			a, err := NewApp(c, Options{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = a.modalProvider(t.Context())
			if _, ok := errors.AsType[*ConfigError](err); !ok || !strings.Contains(err.Error(), want) {
				t.Errorf("the operator reads %v", err)
			}
			if err := a.modal.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
