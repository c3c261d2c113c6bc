package bot

import (
	"maps"
	"slices"
)

// Command is the slash command.
const Command = "/inspect"

// Events are the bot events the app has to be subscribed to.
var Events = []string{"agent_session_stopped", "app_home_opened", "app_mention", "channel_deleted", "channel_left", "group_deleted", "group_left", "message.channels", "message.groups", "message.im", "message.mpim", "reaction_added", "reaction_removed"}

// Interactive reports whether the app has buttons, so that Slack has to send what is pressed.
func Interactive() bool { return len(buttons) > 0 }

// eventScopes are the scopes that the events and the command need.
var eventScopes = []string{"app_mentions:read", "channels:history", "groups:history", "im:history", "mpim:history", "reactions:read", "commands"}

// methods are the Web API methods the bot calls, each with the scopes it needs; a method for every kind of conversation has one for each.
var methods = map[string][]string{
	"apps.connections.open":        nil, // connections:write, of the app-level token
	"assistant.threads.setStatus":  {"chat:write"},
	"auth.test":                    nil,
	"chat.postEphemeral":           {"chat:write"},
	"chat.postMessage":             {"chat:write"},
	"chat.update":                  {"chat:write"},
	"conversations.history":        {"channels:history", "groups:history", "im:history", "mpim:history"},
	"conversations.info":           {"channels:read", "groups:read", "im:read", "mpim:read"},
	"conversations.members":        {"channels:read", "groups:read", "im:read", "mpim:read"},
	"conversations.open":           {"im:write"},
	"conversations.replies":        {"channels:history", "groups:history", "im:history", "mpim:history"},
	"files.completeUploadExternal": {"files:write"},
	"files.getUploadURLExternal":   {"files:write"},
	"files.info":                   {"files:read"}, // and what people attach
	"reactions.add":                {"reactions:write"},
	"reactions.get":                {"reactions:read"},
	"reactions.remove":             {"reactions:write"},
	"users.conversations":          {"channels:read", "groups:read", "im:read", "mpim:read"},
	"users.info":                   {"users:read"},
	"users.list":                   {"users:read"},
	"views.open":                   nil,
	"views.publish":                nil,
	"views.update":                 nil,
}

// Scopes returns the scopes of the bot token, sorted.
func Scopes() []string {
	all := slices.Clone(eventScopes)
	for _, m := range slices.Sorted(maps.Keys(methods)) {
		all = append(all, methods[m]...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
