// Package gateway is the bot's end of model calls. An agent calls its model through its runner and the link; the gateway lets through what a
// session may ask, adds the provider's key, streams the answer back, and counts tokens and cost from the provider's own words.
//
// The key never leaves this package but for the provider. Of the caller's request only the body and a few headers go on: its authorisation,
// cookies and tools that would run at the provider are dropped.
package gateway
