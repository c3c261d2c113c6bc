package model

import "encoding/json"

// OpenCode returns the models as the file that OPENCODE_MODELS_PATH names: JSON in models.dev format, with their providers, limits, efforts
// and prices. A provider none of whose models is given is left out.
func OpenCode(models []Model) []byte {
	file := map[string]ocProvider{}
	for _, p := range providers {
		of := map[string]ocModel{}
		for _, m := range models {
			if m.Provider == p.ID {
				of[m.Name] = m.openCode()
			}
		}
		if len(of) > 0 {
			file[p.ID] = ocProvider{ID: p.ID, Name: p.Name, Env: []string{p.keyEnv}, NPM: p.sdk, Models: of}
		}
	}
	b, err := json.MarshalIndent(file, "", " ")
	if err != nil {
		panic(err) // strings and finite numbers only: it cannot fail
	}
	return append(b, '\n')
}

type ocProvider struct {
	ID     string             `json:"id"`
	Name   string             `json:"name"`
	Env    []string           `json:"env"`
	NPM    string             `json:"npm"`
	Models map[string]ocModel `json:"models"`
}

type ocModel struct {
	ID          string         `json:"id"`
	Name        string         `json:"name"`
	Family      string         `json:"family"`
	Attachment  bool           `json:"attachment"`
	Reasoning   bool           `json:"reasoning"`
	Efforts     []ocReasoning  `json:"reasoning_options"`
	ToolCall    bool           `json:"tool_call"`
	Temperature bool           `json:"temperature"`
	Released    string         `json:"release_date"`
	Updated     string         `json:"last_updated"`
	Modalities  ocModalities   `json:"modalities"`
	OpenWeights bool           `json:"open_weights"`
	Limit       map[string]int `json:"limit"`
	Cost        ocCost         `json:"cost"`
}

type ocReasoning struct {
	Type   string   `json:"type"`
	Values []string `json:"values,omitempty"`
	Min    int      `json:"min,omitempty"`
}

type ocModalities struct {
	Input  []string `json:"input"`
	Output []string `json:"output"`
}

type ocPrice struct {
	Input      float64 `json:"input"`
	Output     float64 `json:"output"`
	CacheRead  float64 `json:"cache_read"`
	CacheWrite float64 `json:"cache_write"`
}

type ocCost struct {
	ocPrice
	Tiers []ocTier `json:"tiers,omitempty"`
}

type ocTier struct {
	ocPrice
	Tier struct {
		Type string `json:"type"`
		Size int    `json:"size"`
	} `json:"tier"`
}

// leastBudget is the smallest number of tokens a budget of thinking may have, by the provider's rule.
const leastBudget = 1024

func (m Model) openCode() ocModel {
	o := ocModel{
		ID: m.Name, Name: m.Title, Family: m.family, Attachment: true, Reasoning: true, ToolCall: true, Temperature: m.temperature,
		Released: m.released, Updated: m.released,
		Modalities: ocModalities{Input: []string{"text", "image"}, Output: []string{"text"}},
		Limit:      map[string]int{"context": m.Context, "output": m.Output},
		Cost:       ocCost{ocPrice: ocPrice(m.Price)},
	}
	if !m.noPDF {
		o.Modalities.Input = append(o.Modalities.Input, "pdf")
	}
	if m.Input > 0 {
		o.Limit["input"] = m.Input
	}
	if m.named {
		o.Efforts = append(o.Efforts, ocReasoning{Type: "effort", Values: m.Efforts})
	}
	if m.budget {
		o.Efforts = append(o.Efforts, ocReasoning{Type: "budget_tokens", Min: leastBudget})
	}
	if m.LongFrom > 0 {
		t := ocTier{ocPrice: ocPrice(m.Long)}
		t.Tier.Type, t.Tier.Size = "context", m.LongFrom
		o.Cost.Tiers = []ocTier{t}
	}
	return o
}
