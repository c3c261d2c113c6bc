package bot

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"openinspect/session"
	"openinspect/session/model"
)

// optionNames are what may stand in [name=value …].
var optionNames = []string{"repo", "branch", "model", "effort"}

// options are what a message asks for besides its words.
type options struct {
	repo, branch  string
	branchInWords bool   // rather than in brackets: it may be no branch at all
	model         string // provider/model
	effort        string
}

var (
	optionBlock = regexp.MustCompile(`\[\s*\w+\s*=\s*[^\s,\[\]=]+(?:[\s,]+\w+\s*=\s*[^\s,\[\]=]+)*\s*\]`)
	optionPair  = regexp.MustCompile(`(\w+)\s*=\s*([^\s,\[\]=]+)`)
)

// readOptions takes the options out of a text, in brackets or in words. Refusal is a sentence about one that cannot be right; brackets that have nothing like an
// option in them are part of the text.
func readOptions(text, defaultModel string, available func(string) bool) (rest string, o options, refusal string) {
	rest = optionBlock.ReplaceAllStringFunc(text, func(block string) string {
		pairs := optionPair.FindAllStringSubmatch(block, -1)
		if !slices.ContainsFunc(pairs, func(p []string) bool { return session.Nearest(p[1], optionNames, 1) != nil }) {
			return block
		}
		for _, p := range pairs {
			if why := o.set(strings.ToLower(p[1]), p[2], defaultModel, available); why != "" && refusal == "" {
				refusal = why
			}
		}
		return ""
	})
	rest = o.inWords(strings.TrimSpace(rest), available)
	if refusal == "" && o.effort != "" {
		refusal = o.checkEffort(defaultModel)
	}
	return rest, o, refusal
}

func (o *options) set(name, value, defaultModel string, available func(string) bool) (refusal string) {
	switch name {
	case "repo", "repository":
		o.repo = value
	case "branch", "base":
		o.branch = value
	case "effort":
		o.effort = strings.ToLower(value)
	case "model":
		m, ok := model.Find(value)
		switch {
		case !ok && len(model.Nearest(value)) > 0:
			return fmt.Sprintf("I do not know the model %q. Did you mean %s?", value, either(model.Nearest(value)))
		case !ok:
			return fmt.Sprintf("I do not know the model %q. I use %s unless you name another.", value, defaultModel)
		case !available(m.ID):
			return fmt.Sprintf("There is no key for %s here. I use %s unless you name another.", m.Title, defaultModel)
		}
		o.model = m.ID
	default:
		if near := session.Nearest(name, optionNames, 1); len(near) > 0 {
			return fmt.Sprintf("I do not know the option %q. Did you mean %q? The options are %s.", name, near[0], strings.Join(optionNames, ", "))
		}
		return fmt.Sprintf("I do not know the option %q. The options are %s.", name, strings.Join(optionNames, ", "))
	}
	return ""
}

func (o *options) checkEffort(defaultModel string) (refusal string) {
	id := o.model
	if id == "" {
		id = defaultModel
	}
	m, ok := model.Find(id)
	if !ok || m.HasEffort(o.effort) {
		return ""
	}
	if len(m.Efforts) == 0 {
		return fmt.Sprintf("%s has no effort to choose.", m.Title)
	}
	return fmt.Sprintf("%s does not know the effort %q; it knows %s.", m.Title, o.effort, strings.Join(m.Efforts, ", "))
}

// either lists names: "a", "a or b", "a, b or c".
func either(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}
