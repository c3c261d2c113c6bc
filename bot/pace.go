package bot

import (
	"strings"
	"time"
)

// perMinute is how often Slack lets an app call a method in a minute: docs.slack.dev, "Rate limits", and the tier on each method's page. The two
// that are counted in each conversation are named by inEach; everything else is counted in the whole workspace.
var perMinute = map[string]int{
	"apps.connections.open":        1, // the socket has a schedule of its own
	"assistant.threads.setStatus":  60,
	"auth.test":                    600,
	"chat.postEphemeral":           100,
	"chat.postMessage":             60,
	"chat.update":                  50,
	"conversations.history":        50,
	"conversations.info":           50,
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
	"views.open":                   100,
	"views.publish":                100,
	"views.update":                 100,
}

// workspacePosts is how many messages an app may post in a minute in all channels together: Slack says several hundred.
const workspacePosts = 300

// inEach reports whether Slack counts a method in each conversation.
func inEach(method string) bool {
	return method == "chat.postMessage" || method == "assistant.threads.setStatus"
}

// paces are the limits of what is called, by method, or method and conversation.
type paces map[string]*pace

// of returns a limit by its name. A method that is not known is taken for one of those that Slack allows least.
func (p paces) of(name string) *pace {
	known := p[name]
	if known == nil {
		method, _, _ := strings.Cut(name, " ")
		n := perMinute[method]
		switch {
		case name == "chat.postMessage": // with no conversation: everywhere
			n = workspacePosts
		case n == 0:
			n = 20
		}
		share := 2 // what people do comes in bursts
		if method == "chat.update" || method == "chat.postMessage" {
			share = 5 // what the bot tells does not end
		}
		known = newPace(n, share)
		p[name] = known
	}
	return known
}

// pace spaces things out: one each so often, with a burst after a pause.
type pace struct {
	every time.Duration
	burst int
	full  time.Time // when the whole burst is there again
}

// newPace allows n in whatever minute, one of so many shares of it at once, less a tenth: what is sent a minute apart may arrive closer together.
func newPace(n, shares int) *pace {
	n -= n / 10
	burst := max(1, n/shares)
	return &pace{every: time.Minute / time.Duration(max(1, n-burst)), burst: burst}
}

// delay returns how long until the next may go and leave spare of the burst to others.
func (p *pace) delay(now time.Time, spare int) time.Duration {
	return max(0, p.full.Add(-time.Duration(max(0, p.burst-1-spare))*p.every).Sub(now))
}

// take counts one that goes now.
func (p *pace) take(now time.Time) {
	if p.full.Before(now) {
		p.full = now
	}
	p.full = p.full.Add(p.every)
}

// idle reports whether nothing is known by it any more that a new one would not do.
func (p *pace) idle(now time.Time) bool { return !now.Before(p.full) }
