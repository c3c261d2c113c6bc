package main

import (
	"fmt"
	"regexp"
)

// emojiName is how Slack names an emoji.
var emojiName = regexp.MustCompile(`^[a-z0-9_+'-]+$`)

// checkEmojis refuses reactions that Slack does not know by that name, or that would mean two things.
func (c *Config) checkEmojis() error {
	means := map[string]string{}
	for _, e := range []struct{ name, emoji string }{
		{"INSPECT_EMOJI_APPROVE", c.EmojiApprove}, {"INSPECT_EMOJI_STOP", c.EmojiStop}, {"INSPECT_EMOJI_MERGE", c.EmojiMerge},
	} {
		if !emojiName.MatchString(e.emoji) {
			return &ConfigError{e.name, fmt.Sprintf("is %q. Write an emoji's name in Slack without colons, such as ship.", e.emoji)}
		}
		if other, taken := means[e.emoji]; taken {
			return &ConfigError{e.name, fmt.Sprintf("is %s, as %s is. Each reaction needs an emoji of its own.", e.emoji, other)}
		}
		means[e.emoji] = e.name
	}
	return nil
}
