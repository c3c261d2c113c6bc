package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"openinspect/bot"
)

// manifest is what of Slack's app manifest we use. It is decoded strictly, so that whatever else is switched on fails the test:
// docs.slack.dev/reference/app-manifest.
type manifest struct {
	Metadata struct {
		Major int `yaml:"major_version"`
		Minor int `yaml:"minor_version"`
	} `yaml:"_metadata"`
	Display struct {
		Name        string `yaml:"name"`
		Description string `yaml:"description"`
		Color       string `yaml:"background_color"`
	} `yaml:"display_information"`
	Features struct {
		Home struct {
			Home     bool `yaml:"home_tab_enabled"`
			Messages bool `yaml:"messages_tab_enabled"`
			ReadOnly bool `yaml:"messages_tab_read_only_enabled"`
		} `yaml:"app_home"`
		Bot struct {
			Name   string `yaml:"display_name"`
			Online bool   `yaml:"always_online"`
		} `yaml:"bot_user"`
		Commands []struct {
			Command     string `yaml:"command"`
			Description string `yaml:"description"`
			Hint        string `yaml:"usage_hint"`
			Escape      bool   `yaml:"should_escape"`
		} `yaml:"slash_commands"`
		Shortcuts []struct {
			Name        string `yaml:"name"`
			Type        string `yaml:"type"`
			Callback    string `yaml:"callback_id"`
			Description string `yaml:"description"`
		} `yaml:"shortcuts"`
	} `yaml:"features"`
	OAuth struct {
		Scopes struct {
			Bot []string `yaml:"bot"`
		} `yaml:"scopes"`
	} `yaml:"oauth_config"`
	Settings struct {
		Events struct {
			Bot []string `yaml:"bot_events"`
		} `yaml:"event_subscriptions"`
		Interactivity struct {
			Enabled bool `yaml:"is_enabled"`
		} `yaml:"interactivity"`
		OrgDeploy     bool `yaml:"org_deploy_enabled"`
		SocketMode    bool `yaml:"socket_mode_enabled"`
		TokenRotation bool `yaml:"token_rotation_enabled"`
	} `yaml:"settings"`
}

// The manifest asks for what the code uses, no less and no more.
func TestManifest(t *testing.T) {
	f, err := os.Open("manifest.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var m manifest
	d := yaml.NewDecoder(f)
	d.KnownFields(true)
	if err := d.Decode(&m); err != nil {
		t.Fatal(err)
	}
	same := func(what string, got, want []string) {
		t.Helper()
		got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
		if !slices.Equal(got, want) {
			t.Errorf("%s\nmanifest: %s\ncode:     %s", what, strings.Join(got, " "), strings.Join(want, " "))
		}
	}
	same("events", m.Settings.Events.Bot, bot.Events)
	same("scopes", m.OAuth.Scopes.Bot, bot.Scopes())
	if c := m.Features.Commands; len(c) != 1 || c[0].Command != bot.Command {
		t.Errorf("commands: %+v", c)
	}
	var shortcuts []string
	for _, s := range m.Features.Shortcuts {
		shortcuts = append(shortcuts, s.Callback)
		// Slack's limits: 24 and 150 characters.
		if s.Type != "message" || s.Name == "" || len([]rune(s.Name)) > 24 || s.Description == "" || len([]rune(s.Description)) > 150 {
			t.Errorf("shortcut: %+v", s)
		}
	}
	same("shortcuts", shortcuts, bot.Shortcuts)
	if h := m.Features.Home; !h.Home || !h.Messages || h.ReadOnly {
		t.Errorf("app home: %+v; the bot has a home tab and takes direct messages", h)
	}
	if s := m.Settings; !s.SocketMode || s.OrgDeploy || s.TokenRotation {
		t.Errorf("settings: %+v; the bot dials out, serves one workspace and does not renew its token", s)
	}
	if m.Settings.Interactivity.Enabled != bot.Interactive() {
		t.Errorf("interactivity is %v, the bot's buttons need %v", m.Settings.Interactivity.Enabled, bot.Interactive())
	}
	// Slack's limits: 35, 140 and 80 characters.
	if n := len([]rune(m.Display.Name)); n == 0 || n > 35 {
		t.Errorf("the name has %d characters", n)
	}
	if n := len([]rune(m.Display.Description)); n > 140 {
		t.Errorf("the description has %d characters", n)
	}
	if n := len([]rune(m.Features.Bot.Name)); n == 0 || n > 80 {
		t.Errorf("the bot's name has %d characters", n)
	}
}
