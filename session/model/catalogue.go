package model

var providers = []Provider{
	{ID: Anthropic, Name: "Anthropic", keyEnv: "ANTHROPIC_API_KEY", sdk: "@ai-sdk/anthropic"},
	{ID: OpenAI, Name: "OpenAI", keyEnv: "OPENAI_API_KEY", sdk: "@ai-sdk/openai"},
}

// catalogue is in order of preference: the first model of a provider is what somebody who names none gets.
var catalogue = []Model{
	{
		Name: "claude-sonnet-5", Provider: Anthropic, Title: "Claude Sonnet 5", Aliases: []string{"sonnet", "claude"},
		Efforts: []string{"low", "medium", "high", "xhigh", "max"}, Context: 1_000_000, Output: 128_000,
		Price:  Price{Input: 2, Output: 10, CacheRead: 0.2, CacheWrite: 2.5},
		family: "claude-sonnet", released: "2026-06-29", named: true,
	},
	{
		Name: "claude-opus-5-5", Provider: Anthropic, Title: "Claude Opus 5.5", Aliases: []string{"opus"},
		Efforts: []string{"low", "medium", "high", "xhigh", "max"}, Context: 1_000_000, Output: 128_000,
		Price:  Price{Input: 4, Output: 20, CacheRead: 0.2, CacheWrite: 5},
		family: "claude-opus", released: "2026-09-22", named: true,
	},
	{
		Name: "claude-haiku-4-5", Provider: Anthropic, Title: "Claude Haiku 4.5", Aliases: []string{"haiku"},
		Efforts: []string{"high", "max"}, Context: 200_000, Output: 64_000,
		Price:  Price{Input: 1, Output: 5, CacheRead: 0.1, CacheWrite: 1.25},
		family: "claude-haiku", released: "2025-10-15", temperature: true, budget: true,
	},
	{
		Name: "claude-fable-5-1", Provider: Anthropic, Title: "Claude Fable 5.1", Aliases: []string{"fable"},
		Efforts: []string{"low", "medium", "high", "xhigh", "max"}, Context: 1_000_000, Output: 128_000,
		Price:  Price{Input: 10, Output: 50, CacheRead: 0.25, CacheWrite: 12.5},
		family: "claude-fable", released: "2026-09-01", named: true,
	},
	{
		Name: "claude-opus-5", Provider: Anthropic, Title: "Claude Opus 5", Aliases: []string{"opus-5"},
		Efforts: []string{"low", "medium", "high", "xhigh", "max"}, Context: 1_000_000, Output: 128_000,
		Price:  Price{Input: 5, Output: 25, CacheRead: 0.5, CacheWrite: 6.25},
		family: "claude-opus", released: "2026-07-24", named: true,
	},
	{
		Name: "claude-sonnet-4-6", Provider: Anthropic, Title: "Claude Sonnet 4.6", Aliases: []string{"sonnet-4-6"},
		Efforts: []string{"low", "medium", "high", "max"}, Context: 1_000_000, Output: 128_000,
		Price:  Price{Input: 3, Output: 15, CacheRead: 0.3, CacheWrite: 3.75},
		family: "claude-sonnet", released: "2026-02-17", temperature: true, named: true, budget: true,
	},
	{
		Name: "gpt-6-sol", Provider: OpenAI, Title: "GPT-6 Sol", Aliases: []string{"gpt", "sol"},
		Efforts: []string{"none", "low", "medium", "high", "xhigh", "max"}, Context: 1_050_000, Input: 922_000, Output: 128_000,
		Price:    Price{Input: 2, Output: 10, CacheRead: 0.2, CacheWrite: 2.5},
		LongFrom: 272_000, Long: Price{Input: 4, Output: 15, CacheRead: 0.4, CacheWrite: 5},
		family: "gpt-sol", released: "2026-09-22", named: true,
	},
	{
		Name: "gpt-5.3-codex", Provider: OpenAI, Title: "GPT-5.3 Codex", Aliases: []string{"codex"},
		Efforts: []string{"none", "low", "medium", "high", "xhigh"}, Context: 400_000, Input: 272_000, Output: 128_000,
		Price:  Price{Input: 1.75, Output: 14, CacheRead: 0.175},
		family: "gpt-codex", released: "2026-02-05", temperature: true, named: true,
	},
	{
		Name: "gpt-6-luna", Provider: OpenAI, Title: "GPT-6 Luna", Aliases: []string{"luna"},
		Efforts: []string{"none", "low", "medium", "high", "xhigh", "max"}, Context: 1_050_000, Input: 922_000, Output: 128_000,
		Price:    Price{Input: 0.1, Output: 0.5, CacheRead: 0.01, CacheWrite: 0.125},
		LongFrom: 272_000, Long: Price{Input: 0.2, Output: 0.75, CacheRead: 0.02, CacheWrite: 0.25},
		family: "gpt-luna", released: "2026-09-22", named: true,
	},
	{
		Name: "gpt-6-astra", Provider: OpenAI, Title: "GPT-6 Astra", Aliases: []string{"astra"},
		Efforts: []string{"low", "medium", "high", "xhigh", "max"}, Context: 1_050_000, Input: 922_000, Output: 128_000,
		Price:    Price{Input: 10, Output: 50, CacheRead: 1, CacheWrite: 12.5},
		LongFrom: 272_000, Long: Price{Input: 20, Output: 75, CacheRead: 2, CacheWrite: 25},
		family: "gpt-astra", released: "2026-09-04", named: true,
	},
	{
		Name: "gpt-5.5", Provider: OpenAI, Title: "GPT-5.5", Aliases: []string{"gpt-5-5"},
		Efforts: []string{"none", "low", "medium", "high", "xhigh"}, Context: 1_050_000, Input: 922_000, Output: 128_000,
		Price:    Price{Input: 5, Output: 30, CacheRead: 0.5},
		LongFrom: 272_000, Long: Price{Input: 10, Output: 45, CacheRead: 1},
		family: "gpt", released: "2026-04-23", named: true,
	},
	{
		Name: "gpt-5.4-mini", Provider: OpenAI, Title: "GPT-5.4 mini", Aliases: []string{"gpt-mini", "mini"},
		Efforts: []string{"none", "low", "medium", "high", "xhigh"}, Context: 400_000, Input: 272_000, Output: 128_000,
		Price:  Price{Input: 0.75, Output: 4.5, CacheRead: 0.075},
		family: "gpt-mini", released: "2026-03-17", temperature: true, named: true, noPDF: true,
	},
}

// small names, for each provider, the model for little work: titles, summaries, choosing among a few answers.
var small = map[string]string{
	Anthropic: "claude-haiku-4-5",
	OpenAI:    "gpt-6-luna",
}

func init() {
	for i := range catalogue {
		m := &catalogue[i]
		m.ID = m.Provider + "/" + m.Name
	}
}
