package model

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCatalogueIsWhole(t *testing.T) {
	names := map[string]string{}
	order := []string{"none", "low", "medium", "high", "xhigh", "max"}
	for _, m := range All() {
		for _, n := range append([]string{m.ID, m.Name}, m.Aliases...) {
			if n != strings.ToLower(n) || names[n] != "" {
				t.Errorf("%s: the name %q is not lower case, or belongs to %s too", m.ID, n, names[n])
			}
			names[n] = m.ID
		}
		if !slices.ContainsFunc(Providers(), func(p Provider) bool { return p.ID == m.Provider }) {
			t.Errorf("%s: no provider %q", m.ID, m.Provider)
		}
		if m.ID != m.Provider+"/"+m.Name || m.Title == "" || m.family == "" || !m.named && !m.budget {
			t.Errorf("%+v is incomplete", m)
		}
		if _, err := time.Parse(time.DateOnly, m.released); err != nil {
			t.Errorf("%s: %v", m.ID, err)
		}
		if m.Output <= 0 || m.Context < m.Output || m.Input+m.Output > m.Context && m.Input > 0 {
			t.Errorf("%s: limits %d, %d, %d", m.ID, m.Context, m.Input, m.Output)
		}
		for _, p := range []Price{m.Price, m.Long} {
			if p == m.Long && m.LongFrom == 0 {
				continue
			}
			if p.Input <= 0 || p.Output <= p.Input || p.CacheRead <= 0 || p.CacheRead >= p.Input {
				t.Errorf("%s: price %+v", m.ID, p)
			}
		}
		if !slices.IsSortedFunc(m.Efforts, func(a, b string) int { return slices.Index(order, a) - slices.Index(order, b) }) || len(m.Efforts) == 0 {
			t.Errorf("%s: efforts %v", m.ID, m.Efforts)
		}
	}
}

func TestFind(t *testing.T) {
	for name, want := range map[string]string{
		"anthropic/claude-opus-5-5": "anthropic/claude-opus-5-5",
		"claude-opus-5-5":           "anthropic/claude-opus-5-5",
		" Opus ":                    "anthropic/claude-opus-5-5",
		"sonnet":                    "anthropic/claude-sonnet-5",
		"HAIKU":                     "anthropic/claude-haiku-4-5",
		"gpt":                       "openai/gpt-6-sol",
		"codex":                     "openai/gpt-5.3-codex",
		"OpenAI/GPT-5.5":            "openai/gpt-5.5",
		"openai/claude-opus-5-5":    "",
		"":                          "",
		"/":                         "",
	} {
		if m, ok := Find(name); m.ID != want || ok != (want != "") {
			t.Errorf("Find(%q) = %q, %t; want %q", name, m.ID, ok, want)
		}
	}
	m, _ := Find("opus")
	m.Efforts[0], m.Aliases[0] = "changed", "changed"
	if again, ok := Find("opus"); !ok || again.Efforts[0] == "changed" {
		t.Error("a caller changed the catalogue")
	}
}

func TestDefaultAndSmall(t *testing.T) {
	for _, test := range []struct {
		keys []string
		want string
	}{
		{nil, ""},
		{[]string{"mistral"}, ""},
		{[]string{OpenAI}, "openai/gpt-6-sol"},
		{[]string{OpenAI, Anthropic}, "anthropic/claude-sonnet-5"},
	} {
		if m, ok := Default(test.keys...); m.ID != test.want || ok != (test.want != "") {
			t.Errorf("Default(%v) = %q, %t", test.keys, m.ID, ok)
		}
	}
	for _, p := range Providers() {
		if m, ok := Small(p.ID); !ok || m.Provider != p.ID {
			t.Errorf("Small(%s) = %q, %t", p.ID, m.ID, ok)
		}
	}
	if _, ok := Small("mistral"); ok {
		t.Error("a provider that is not there has a small model")
	}
}

func TestNearest(t *testing.T) {
	for name, want := range map[string]string{
		"sonet":                     "anthropic/claude-sonnet-5",
		"opus5":                     "anthropic/claude-opus-5-5",
		"anthropic/claude-opus-5-6": "anthropic/claude-opus-5-5",
		"gpt-5.2-codex":             "openai/gpt-5.3-codex",
		"hiaku":                     "anthropic/claude-haiku-4-5",
		"hauku":                     "anthropic/claude-haiku-4-5",
		"llama":                     "",
		"":                          "",
	} {
		near := Nearest(name)
		if want == "" && len(near) > 0 || want != "" && !slices.Contains(near, want) || len(near) > 3 {
			t.Errorf("Nearest(%q) = %v, want %q among them", name, near, want)
		}
	}
}

func TestCost(t *testing.T) {
	sonnet, _ := Find("sonnet")
	sol, _ := Find("gpt-6-sol")
	for _, test := range []struct {
		m    Model
		u    Usage
		want float64
	}{
		{sonnet, Usage{}, 0},
		{sonnet, Usage{Input: 1_000_000}, 2},
		{sonnet, Usage{Input: 1000, Output: 200, CacheRead: 30_000, CacheWrite: 4000}, (1000*2 + 200*10 + 30_000*0.2 + 4000*2.5) / 1e6},
		{sol, Usage{Input: 2000, CacheRead: 270_000, Output: 100}, (2000*2 + 270_000*0.2 + 100*10) / 1e6},
		{sol, Usage{Input: 2001, CacheRead: 270_000, Output: 100}, (2001*4 + 270_000*0.4 + 100*15) / 1e6},
	} {
		if got := test.m.Cost(test.u); math.Abs(got-test.want) > 1e-12 {
			t.Errorf("%s, %+v costs %v, want %v", test.m.ID, test.u, got, test.want)
		}
	}
	sum := Usage{1, 2, 3, 4}.Add(Usage{10, 20, 30, 40})
	if sum != (Usage{11, 22, 33, 44}) || sum.Total() != 110 {
		t.Errorf("%+v, %d", sum, sum.Total())
	}
}

func TestEfforts(t *testing.T) {
	m, _ := Find("haiku")
	if !m.HasEffort("") || !m.HasEffort("max") || m.HasEffort("low") || m.HasEffort("Max") {
		t.Errorf("haiku takes %v", m.Efforts)
	}
}

func TestOpenCodeFile(t *testing.T) {
	luna, _ := Find("luna")
	haiku, _ := Find("haiku")
	var file map[string]struct {
		ID, NPM string
		Env     []string
		Models  map[string]struct {
			ID               string
			ReasoningOptions []struct {
				Type   string
				Values []string
				Min    int
			} `json:"reasoning_options"`
			Limit map[string]int
			Cost  struct {
				Input, Output float64
				CacheRead     float64 `json:"cache_read"`
				CacheWrite    float64 `json:"cache_write"`
				Tiers         []struct {
					Output float64
					Tier   struct {
						Type string
						Size int
					}
				}
			}
		}
	}
	if err := json.Unmarshal(OpenCode([]Model{luna, haiku}), &file); err != nil {
		t.Fatal(err)
	}
	if len(file) != 2 || file[Anthropic].NPM != "@ai-sdk/anthropic" || file[OpenAI].Env[0] != "OPENAI_API_KEY" {
		t.Errorf("providers %+v", file)
	}
	h := file[Anthropic].Models["claude-haiku-4-5"]
	if h.Cost.CacheWrite != 1.25 || h.Cost.CacheRead != 0.1 || h.Limit["context"] != 200_000 || h.ReasoningOptions[0].Type != "budget_tokens" {
		t.Errorf("haiku %+v", h)
	}
	l := file[OpenAI].Models["gpt-6-luna"]
	if l.Limit["input"] != 922_000 || l.Cost.Tiers[0].Tier.Size != 272_000 || l.Cost.Tiers[0].Output != 0.75 || !slices.Equal(l.ReasoningOptions[0].Values, luna.Efforts) {
		t.Errorf("luna %+v", l)
	}
	if got := OpenCode([]Model{haiku}); strings.Contains(string(got), "openai") {
		t.Errorf("a provider without a model: %s", got)
	}
}
