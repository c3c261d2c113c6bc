package model

import "slices"

// Provider is who runs a model.
type Provider struct {
	ID   string // as the first part of a model's id: "anthropic" or "openai"
	Name string // for people

	keyEnv string // the environment variable the agent would take a key from
	sdk    string // the client library the agent speaks to this provider with
}

// The ids of the two providers.
const (
	Anthropic = "anthropic"
	OpenAI    = "openai"
)

// Price is what a model costs, in US dollars per million tokens.
type Price struct {
	Input      float64
	Output     float64
	CacheRead  float64
	CacheWrite float64 // 0 where the provider does not charge for writing its cache
}

// Model is one entry of the catalogue. It is a value: changing one changes nothing else.
type Model struct {
	ID       string   // provider/model, such as "anthropic/claude-sonnet-5"
	Provider string   // a Provider's ID
	Name     string   // the provider's name for the model: the ID without the provider
	Title    string   // for people: "Claude Sonnet 5"
	Aliases  []string // short names, lower case
	Efforts  []string // what may be asked of it, from least to most
	Context  int      // tokens that fit in a conversation, the answer included
	Input    int      // tokens a request may hold, 0 where only Context bounds it
	Output   int      // tokens an answer may have
	Price    Price

	// Long is the price of a whole request whose input, cached or not, has more than LongFrom tokens. LongFrom is 0 where length does not matter.
	Long     Price
	LongFrom int

	family      string
	released    string // YYYY-MM-DD
	temperature bool   // whether the model takes a temperature
	budget      bool   // thinks to a budget of tokens; its efforts are names for budgets unless named is set too
	named       bool   // knows efforts by name
	noPDF       bool
}

// HasEffort reports whether effort may be asked of the model. The empty effort is the model's own default and always may.
func (m Model) HasEffort(effort string) bool {
	return effort == "" || slices.Contains(m.Efforts, effort)
}

// Usage counts the tokens of one model call, or of several added up. The four counts do not overlap: Input holds only what was not read from
// the cache nor written to it (OpenAI reports cached tokens as a part of its input; whoever reads a report takes them out).
type Usage struct {
	Input      int64
	Output     int64 // reasoning included, as providers bill it
	CacheRead  int64
	CacheWrite int64
}

// Add returns the sum of two usages.
func (u Usage) Add(v Usage) Usage {
	return Usage{u.Input + v.Input, u.Output + v.Output, u.CacheRead + v.CacheRead, u.CacheWrite + v.CacheWrite}
}

// Total is the number of all tokens.
func (u Usage) Total() int64 { return u.Input + u.Output + u.CacheRead + u.CacheWrite }

// Hourly returns what tokens cost more, in US dollars, that are written to the cache for an hour instead of five minutes: Anthropic then takes
// twice the price of input (docs.anthropic.com, "Prompt caching").
func (m Model) Hourly(tokens int64) float64 {
	return float64(tokens) * max(0, 2*m.Price.Input-m.Price.CacheWrite) / 1e6
}

// Cost returns the price, in US dollars, of one call with this usage. Long requests cost more with some models, so the cost of several calls
// is the sum of their costs, not the cost of the sum.
func (m Model) Cost(u Usage) float64 {
	p := m.Price
	if m.LongFrom > 0 && u.Input+u.CacheRead+u.CacheWrite > int64(m.LongFrom) {
		p = m.Long
	}
	return (float64(u.Input)*p.Input + float64(u.Output)*p.Output + float64(u.CacheRead)*p.CacheRead + float64(u.CacheWrite)*p.CacheWrite) / 1e6
}
