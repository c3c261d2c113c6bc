package modeltest

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"openinspect/session/model"
)

// Parse reads scripts from text, one directive a line; empty lines and lines that begin with # are skipped. The package's documentation shows one.
//
//	script NAME      begins a script
//	match TEXT       the script is for prompts that contain TEXT; several lines are alternatives
//	matchre REGEXP   likewise, by a regular expression (at most one)
//	toolless         the script is for requests that offer no tools
//	step             begins the next answer; the first begins by itself
//	think TEXT       reasoning; several lines are joined by newlines
//	say TEXT         text; likewise
//	tool NAME JSON   a tool call with its input, a JSON object
//	gate NAME        holds the answer here until NAME is opened
//	usage input=N output=N cache_read=N cache_write=N
//	                 what the answer reports; what is left out is 0
//
// A script that begins with match instead of script, after the steps of another, has no name. Within an answer the order is thinking, text, tools:
// a line out of order is an error, as it could not be sent like that. Name is for error messages, which have the form name:line: what is wrong.
func Parse(name, text string) ([]Script, error) {
	p := &parser{}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		verb, rest, _ := strings.Cut(line, " ")
		if err := p.line(verb, strings.TrimSpace(rest)); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
	}
	if len(p.scripts) == 0 {
		return nil, fmt.Errorf("%s: there is no script in it", name)
	}
	for _, s := range p.scripts {
		if err := s.check(); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return p.scripts, nil
}

type parser struct {
	scripts []Script
	begun   bool // the current step has had a line
}

var verbs = []string{"script", "match", "matchre", "toolless", "step", "think", "say", "tool", "gate", "usage"}

func (p *parser) line(verb, rest string) error {
	if !slices.Contains(verbs, verb) {
		return fmt.Errorf("%q is no directive; there are %s", verb, strings.Join(verbs, ", "))
	}
	if bare := verb == "step" || verb == "toolless"; bare && rest != "" {
		return fmt.Errorf("%s takes nothing after it", verb)
	} else if !bare && rest == "" && verb != "say" && verb != "think" {
		return fmt.Errorf("%s needs something after it", verb)
	}
	s := p.script()
	if verb == "script" || verb == "match" && (s == nil || len(s.Steps) > 0) {
		p.scripts = append(p.scripts, Script{})
		p.begun = false
		s = p.script()
	}
	if s == nil {
		return fmt.Errorf("%s before the first script", verb)
	}
	switch verb {
	case "script":
		if !regexp.MustCompile(`^[A-Za-z0-9_-]+$`).MatchString(rest) {
			return fmt.Errorf("%q is no name for a script: letters, digits, - and _", rest)
		}
		s.Name = rest
		return nil
	case "match":
		s.Match = append(s.Match, rest)
		return nil
	case "matchre", "toolless":
		return p.matching(s, verb, rest)
	case "step":
		if len(s.Steps) > 0 && !p.begun {
			return fmt.Errorf("the step before this one is empty")
		}
		s.Steps = append(s.Steps, Step{})
		p.begun = false
		return nil
	}
	if len(s.Steps) == 0 {
		s.Steps = append(s.Steps, Step{})
	}
	err := content(&s.Steps[len(s.Steps)-1], verb, rest, p.begun)
	p.begun = true
	return err
}

func (p *parser) script() *Script {
	if len(p.scripts) == 0 {
		return nil
	}
	return &p.scripts[len(p.scripts)-1]
}

func (p *parser) matching(s *Script, verb, rest string) (err error) {
	switch {
	case len(s.Steps) > 0:
		return fmt.Errorf("%s belongs before the first step", verb)
	case verb == "toolless":
		s.Toolless = true
	case s.Regexp != nil:
		return fmt.Errorf("a second matchre; put both into one, with |")
	default:
		s.Regexp, err = regexp.Compile(rest)
	}
	return err
}

// content adds one line to an answer. The answer has had a line before if begun.
func content(s *Step, verb, rest string, begun bool) error {
	switch verb {
	case "think":
		if s.Text != "" || len(s.Tools) > 0 {
			return fmt.Errorf("think comes before say and tool")
		}
		s.Reasoning = join(s.Reasoning, rest)
	case "say":
		if len(s.Tools) > 0 {
			return fmt.Errorf("say comes before tool; begin another step to go on after a tool's result")
		}
		s.Text = join(s.Text, rest)
	case "tool":
		name, input, _ := strings.Cut(rest, " ")
		t := ToolCall{Name: name, Input: map[string]any{}}
		if input = strings.TrimSpace(input); input != "" {
			if err := json.Unmarshal([]byte(input), &t.Input); err != nil {
				return fmt.Errorf("the input of tool %s is not a JSON object: %w", name, err)
			}
		}
		if t.Input == nil {
			return fmt.Errorf("the input of tool %s is not a JSON object", name)
		}
		s.Tools = append(s.Tools, t)
	case "gate":
		g := Gate{Name: rest, Place: AtText, N: len(s.Text)}
		switch {
		case !begun:
			g.Place = AtStart
		case len(s.Tools) > 0:
			g.Place, g.N = AtTool, len(s.Tools)
		}
		s.Gates = append(s.Gates, g)
	case "usage":
		if s.Usage != nil {
			return fmt.Errorf("a second usage in one step")
		}
		s.Usage = &model.Usage{}
		return usage(s.Usage, rest)
	}
	return nil
}

func usage(u *model.Usage, text string) error {
	fields := map[string]*int64{"input": &u.Input, "output": &u.Output, "cache_read": &u.CacheRead, "cache_write": &u.CacheWrite}
	for _, f := range strings.Fields(text) {
		k, v, _ := strings.Cut(f, "=")
		n, err := strconv.ParseInt(v, 10, 64)
		if fields[k] == nil || err != nil || n < 0 {
			return fmt.Errorf("%q is no usage; write input=1200, with input or one of %s", f, strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
		}
		*fields[k] = n
	}
	return nil
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "\n" + b
}
