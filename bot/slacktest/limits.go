package slacktest

import (
	"fmt"
	"slices"
	"time"
)

// perMinute is how often Slack lets an app call a method within any minute: the
// tiers of docs.slack.dev ("Rate limits" and each method's page), and for the
// special ones what Slack's own Java SDK counts with.
var perMinute = map[string]int{
	"agents.sessions.rename":       50,
	"agents.sessions.setStatus":    50,
	"assistant.threads.setStatus":  60, // in each channel
	"auth.test":                    600,
	"bots.info":                    50,
	"chat.delete":                  50,
	"chat.getPermalink":            600,
	"chat.postEphemeral":           100,
	"chat.postMessage":             60, // in each channel; everywhere together postsInAll
	"chat.update":                  50,
	"conversations.history":        50,
	"conversations.info":           50,
	"conversations.list":           20,
	"conversations.members":        100,
	"conversations.open":           50,
	"conversations.replies":        50,
	"files.completeUploadExternal": 100,
	"files.getUploadURLExternal":   100,
	"files.info":                   100,
	"reactions.add":                50,
	"reactions.get":                50,
	"reactions.remove":             20,
	"users.conversations":          50,
	"users.info":                   100,
	"users.list":                   20,
	"users.lookupByEmail":          50,
	"views.open":                   100,
	"views.publish":                100,
	"views.update":                 100,
}

// postsInAll is "several hundred" messages a minute in a workspace.
const postsInAll = 300

// meter counts calls against what Slack publishes. It limits nothing: the real
// Slack is more generous on a good day, and its 429 is [RateLimited].
type meter struct {
	recent     map[string][]time.Time // by method, or method and channel: of the last minute
	violations []string
}

// count takes one call into account. Callers hold s.mu.
func (s *Server) count(call Call) {
	n, known := perMinute[call.Method]
	if !known {
		return
	}
	switch call.Method {
	case "chat.postMessage":
		s.meter.count(call.Method+" in "+call.Args["channel"], n, call.At)
		s.meter.count(call.Method, postsInAll, call.At)
	case "assistant.threads.setStatus":
		s.meter.count(call.Method+" in "+call.Args["channel_id"], n, call.At)
	default:
		s.meter.count(call.Method, n, call.At)
	}
}

func (m *meter) count(what string, limit int, at time.Time) {
	recent := m.recent[what]
	for len(recent) > 0 && at.Sub(recent[0]) >= time.Minute {
		recent = recent[1:]
	}
	recent = append(recent, at)
	m.recent[what] = recent
	if len(recent) > limit && len(m.violations) < 1000 {
		m.violations = append(m.violations, fmt.Sprintf("%s: %d calls within a minute, %d are allowed", what, len(recent), limit))
	}
}

// Violations tells which calls came faster than Slack's published limits allow,
// by the workspace's clock. What a call says in [Config.Now] has to be the app's
// time for that to mean something.
func (s *Server) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.meter.violations)
}
