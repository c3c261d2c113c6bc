//go:build linux

package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"openinspect/bot/slacktest"
)

// notice takes what is to be seen as it comes: only to know how much is under way, and where the newest turns are.
func (c *crowd) notice(ch slacktest.Change) {
	m := ch.Message
	if m.User != c.slack.Bot().ID {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = time.Now()
	if kind, prompt := keyOf(m); strings.Contains(prompt, "~") {
		c.mending[m.Channel+"/"+prompt] = kind == "status" && !strings.HasPrefix(m.Text, "Stopped") && !c.over[m.Channel+"/"+prompt]
	}
	switch kind, prompt := keyOf(m); {
	case strings.Contains(m.Text, answers["full"]) || strings.Contains(m.Text, answers["sorry"]):
		user := m.To
		if user == "" {
			user = "U" + strings.TrimPrefix(m.Channel, "D")
		}
		c.refused[whereFor(user, m.Channel, m.ThreadTS)]++
	case kind == "status":
		if t := c.threads[m.Channel+"/"+m.ThreadTS]; t != nil {
			t.status, t.prompt = m.TS, prompt
		}
		if !strings.HasPrefix(m.Text, "Stopped") {
			return
		}
		c.over[m.Channel+"/"+prompt] = true
	case kind == "result":
		c.noticeCard(m)
		c.over[m.Channel+"/"+prompt] = true
	case kind == "card":
		c.noticePull(m)
	default:
		return
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// open counts the prompts that have no outcome, as far as can be seen in passing: which one a refusal is about cannot.
func (c *crowd) open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	places := map[string][]string{}
	for at, e := range c.pending {
		if c.over[at] {
			delete(c.pending, at)
			delete(c.over, at)
			continue
		}
		where := whereFor(e.who, e.channel, e.thread)
		places[where] = append(places[where], at)
	}
	for where, all := range places {
		if len(all) > c.refused[where] {
			continue
		}
		for _, at := range all {
			delete(c.pending, at)
			c.refused[where]--
		}
		delete(places, where)
	}
	n := 0
	for where, all := range places {
		n += len(all) - c.refused[where]
	}
	return n
}

// keyOf returns what a message of the bot's is about: status or result, and of which prompt, or the card of a pull request.
func keyOf(m slacktest.Message) (kind, prompt string) {
	if m.Metadata == nil {
		return "", ""
	}
	key, _ := m.Metadata.EventPayload["key"].(string)
	parts := strings.Split(key, "/")
	if len(parts) == 3 && (parts[1] == "status" || parts[1] == "result" || parts[1] == "card") {
		return parts[1], parts[2]
	}
	if parts[0] == "late" {
		return "late", ""
	}
	return "", ""
}

// settled reports whether everything has its outcome, as far as can be seen in passing, and Slack has nothing left to send. Which edits are
// corrections, with turns of their own, cannot be seen before these begin: nothing more may have come for a while.
func (c *crowd) settled() bool {
	if c.open() > 0 || c.slack.Unacked() > 0 {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return !slices.Contains(slices.Collect(maps.Values(c.mending)), true) && !slices.Contains(slices.Collect(maps.Values(c.opening)), true) && time.Since(c.last) > 2*time.Second
}

// unsettled says what has no outcome, as far as can be seen in passing.
func (c *crowd) unsettled() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("%d events without acknowledgement, prompts without outcome: %v", c.slack.Unacked(), slices.Collect(maps.Keys(c.pending)))
}

// wait waits for an outcome; false if ctx ended.
func (c *crowd) wait(ctx context.Context, atMost time.Duration) bool {
	c.mu.Lock()
	changed := c.changed
	c.mu.Unlock()
	select {
	case <-changed:
	case <-time.After(atMost):
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}
