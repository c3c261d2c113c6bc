package bot

import (
	"sync"

	"openinspect/session"
)

// odd counts what Slack sends and the bot knows nothing of. It is acknowledged, or it would come again.
type odd struct {
	mu    sync.Mutex
	kinds map[string]int
}

// maxKinds is how many kinds are told apart.
const maxKinds = 100

// odd counts one. The operator reads of the first of its kind, the tenth, the hundredth and so on.
func (b *Bot) odd(kind string) {
	kind = session.OneLine(kind, 40)
	o := &b.oddities
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.kinds == nil {
		o.kinds = map[string]int{}
	}
	if o.kinds[kind] == 0 && len(o.kinds) >= maxKinds {
		kind = "others"
	}
	o.kinds[kind]++
	for n := o.kinds[kind]; n > 0; n /= 10 {
		if n == 1 {
			b.logger.Warn("Slack sends what the bot knows nothing of; it is acknowledged and left", "kind", kind, "so far", o.kinds[kind])
		}
		if n%10 != 0 {
			break
		}
	}
}
