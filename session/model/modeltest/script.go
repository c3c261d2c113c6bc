package modeltest

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"openinspect/session/model"
)

// Script is the answers to one prompt.
//
// It is meant for a prompt that contains [script:NAME], with its Name, or any of the texts in Match, or that Regexp matches. The prompt is the
// text of the last user message.
type Script struct {
	Name   string
	Match  []string
	Regexp *regexp.Regexp

	// Toolless makes it a script for requests that offer no tools, such as a classification. All others answer only requests with tools, because
	// what an agent asks without them (titles, summaries) quotes the prompt.
	Toolless bool

	Steps []Step
}

// Step is one answer of the model: what it thinks, then says, then calls.
type Step struct {
	Reasoning string // not sent in chat completions, where OpenAI does not show it
	Text      string
	Tools     []ToolCall
	Gates     []Gate
	Usage     *model.Usage // what the answer reports, DefaultUsage if nil
}

// ToolCall is one call of a tool, by exactly the name under which the agent offers it.
type ToolCall struct {
	Name  string
	Input map[string]any
}

// DefaultUsage is what an answer reports whose step does not say.
var DefaultUsage = model.Usage{Input: 900, Output: 50, CacheRead: 100, CacheWrite: 40}

// Place is where in an answer a gate stands.
type Place int

const (
	AtStart Place = iota // before anything is sent, the status line included
	AtText               // after the first N bytes of the text
	AtTool               // after the first N tool calls
)

// Gate holds an answer at its place until it is opened; see Provider.Open.
type Gate struct {
	Name  string
	Place Place
	N     int
}

func (s Step) usage() model.Usage {
	if s.Usage != nil {
		return *s.Usage
	}
	return DefaultUsage
}

var scriptMark = regexp.MustCompile(`\[script:([A-Za-z0-9_-]+)\]`)

func (s Script) check() error {
	if s.Name == "" && len(s.Match) == 0 && s.Regexp == nil {
		return errors.New("a script without a name or a match would never be chosen")
	}
	if len(s.Steps) == 0 {
		return fmt.Errorf("script %q has no step", s.Name)
	}
	if slices.Contains(s.Match, "") {
		return fmt.Errorf("script %q matches the empty text", s.Name)
	}
	for i, step := range s.Steps {
		if step.Text == "" && step.Reasoning == "" && len(step.Tools) == 0 {
			return fmt.Errorf("step %d of script %q says nothing and calls nothing", i+1, s.Name)
		}
		for _, g := range step.Gates {
			if g.Name == "" || g.N < 0 || g.Place == AtText && g.N > len(step.Text) || g.Place == AtTool && g.N > len(step.Tools) {
				return fmt.Errorf("step %d of script %q has a gate %q outside of what it sends", i+1, s.Name, g.Name)
			}
		}
	}
	return nil
}

func (s Script) matches(prompt string) bool {
	return s.Regexp != nil && s.Regexp.MatchString(prompt) ||
		slices.ContainsFunc(s.Match, func(m string) bool { return strings.Contains(prompt, m) })
}

// choose returns the name of the script that a conversation follows ("" if none) and the step that is due.
func (p *Provider) choose(c conversation) (string, Step, error) {
	p.mu.Lock()
	scripts := slices.Clone(p.scripts)
	p.mu.Unlock()
	scripts = slices.DeleteFunc(scripts, func(s Script) bool { return s.Toolless != (len(c.Tools) == 0) })
	at := slices.IndexFunc(scripts, func(s Script) bool { return s.matches(c.Prompt) })
	if mark := scriptMark.FindStringSubmatch(c.Prompt); mark != nil {
		named := slices.IndexFunc(scripts, func(s Script) bool { return s.Name == mark[1] })
		if named < 0 && len(c.Tools) > 0 {
			return "", Step{}, fmt.Errorf("modeltest: there is no script named %q", mark[1])
		}
		if named >= 0 {
			at = named
		}
	}
	switch {
	case at < 0 && len(c.Tools) == 0:
		return "", Step{Text: p.config.Title}, nil
	case at < 0:
		return "", Step{Text: "I have no script for this prompt."}, nil
	}
	s := scripts[at]
	if c.Turns >= len(s.Steps) {
		return s.Name, Step{Text: "My script is at its end."}, nil
	}
	step := s.Steps[c.Turns]
	for _, t := range step.Tools {
		if !slices.Contains(c.Tools, t.Name) {
			return "", Step{}, fmt.Errorf("modeltest: step %d of script %q calls the tool %q, which is not offered; there are %s",
				c.Turns+1, s.Name, t.Name, strings.Join(c.Tools, ", "))
		}
	}
	return s.Name, step, nil
}
