// Package model is the catalogue of the models an agent may use: which providers there are, what each model is called, how hard it can be
// told to think, how much it holds, and what it costs.
//
// The catalogue is closed. A model that is not in it cannot be asked for, is refused by the gateway and is unknown to the agent, so that
// every token has a price. [OpenCode] writes it as the agent's own model file: reading so few models instead of every provider's halves the
// time to the agent's first word.
//
// Ids, limits, prices and efforts are those of the catalogue embedded in OpenCode 1.18.33 (models.dev format).
package model
