package bot

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"openinspect/session"
	"openinspect/session/model"
)

// optionNames are what may stand in [name=value …].
var optionNames = []string{"repo", "branch", "model", "effort"}

// otherNames are what people also write for these.
var otherNames = map[string]string{"repository": "repo", "base": "branch"}

// options are what a message asks for besides its words.
type options struct {
	repo, branch  string
	branchInWords bool   // rather than in brackets: it may be no branch at all
	model         string // provider/model
	effort        string
	note          string // a sentence for its author about what is not as they asked
}

var (
	optionBlock = regexp.MustCompile("`?" + `\[\s*\w+\s*[=:]\s*[^\s,\[\]=]+(?:[\s,]+\w+\s*[=:]\s*[^\s,\[\]=]+)*\s*\]` + "`?")
	optionPair  = regexp.MustCompile(`(\w+)\s*([=:])\s*([^\s,\[\]=]+)`)
	hostedRepo  = regexp.MustCompile(`^(?:https?://)?[\w-]+(?:\.[\w-]+)+(?::\d+)?/([\w.-]+/[\w.-]+)`)
)

// maxNamed is how much of what somebody wrote for a name is told back.
const maxNamed = 80

// readOptions takes the options out of a text, in brackets or in words. Refusal is a sentence about one that cannot be right; brackets that have nothing like an
// option in them are part of the text.
func readOptions(text, defaultModel string, available func(string) bool) (rest string, o options, refusal string) {
	said := map[string]string{}
	rest = optionBlock.ReplaceAllStringFunc(text, func(block string) string {
		pairs := optionPair.FindAllStringSubmatch(block, -1)
		if !slices.ContainsFunc(pairs, func(p []string) bool { return likeOption(strings.ToLower(p[1]), p[2]) }) {
			return block
		}
		for _, p := range pairs {
			name, value := strings.ToLower(p[1]), strings.Trim(p[3], "`*'\"“”‘’")
			name = cmp.Or(otherNames[name], name)
			why := ""
			if before, twice := said[name]; twice && !strings.EqualFold(before, value) {
				why = fmt.Sprintf("Your message has two values for %s, %q and %q, and only one can be.", name, short(before, maxNamed), short(value, maxNamed))
			} else {
				why = o.set(name, value, defaultModel, available)
			}
			said[name] = value
			if refusal == "" {
				refusal = why
			}
		}
		if opens, closes := strings.HasPrefix(block, "`"), strings.HasSuffix(block, "`"); opens != closes { // of something else
			return "`"
		}
		return ""
	})
	rest = o.inWords(strings.TrimSpace(rest), defaultModel, available)
	if refusal == "" && o.effort != "" {
		refusal = o.checkEffort(defaultModel)
	}
	return rest, o, refusal
}

// likeOption reports whether a name before = is an option's, or nearly; before a colon, which people also write to explain, it has to be one.
func likeOption(name, separator string) bool {
	if slices.Contains(optionNames, name) || otherNames[name] != "" {
		return true
	}
	return separator == "=" && session.Nearest(name, optionNames, 1) != nil
}

func (o *options) set(name, value, defaultModel string, available func(string) bool) (refusal string) {
	shown := short(value, maxNamed)
	switch name {
	case "repo":
		if m := hostedRepo.FindStringSubmatch(value); m != nil {
			value = strings.TrimRight(m[1], ".")
		}
		o.repo = strings.TrimSuffix(value, ".git")
	case "branch":
		_, plain, linked := strings.Cut(value, "://") // Slack makes an address of a name that has the form of one
		if !linked {
			plain = value
		}
		if o.branch = strings.TrimPrefix(plain, "refs/heads/"); len(o.branch) > maxBranch {
			return fmt.Sprintf("No branch can have a name as long as %q.", shown)
		}
	case "effort":
		o.effort = strings.ToLower(value)
	case "model":
		m, ok := model.Find(value)
		if !ok {
			near := slices.DeleteFunc(model.Nearest(value), func(id string) bool { return !available(id) })
			if len(near) > 0 {
				return fmt.Sprintf("I do not know the model %q. Did you mean %s?", shown, either(near))
			}
			return fmt.Sprintf("I do not know the model %q. I use %s unless you name another; there are %s.", shown, defaultModel, usable(available))
		}
		if !available(m.ID) {
			refusal = fmt.Sprintf("There is no key for %s here. I use %s unless you name another", m.Title, defaultModel)
			if near, ok := nearestUsable(m, available); ok {
				refusal += fmt.Sprintf("; the nearest that can be used is %s, [model=%s]", near.Title, near.Name)
			}
			return refusal + "."
		}
		o.model = m.ID
	default:
		if near := session.Nearest(name, optionNames, 1); len(near) > 0 {
			return fmt.Sprintf("I do not know the option %q. Did you mean %q? The options are %s.", short(name, maxNamed), near[0], strings.Join(optionNames, ", "))
		}
		return fmt.Sprintf("I do not know the option %q. The options are %s.", short(name, maxNamed), strings.Join(optionNames, ", "))
	}
	return ""
}

// usable lists the models there are keys for.
func usable(available func(string) bool) string {
	var names []string
	for _, m := range model.All() {
		if available(m.ID) {
			names = append(names, m.Name)
		}
	}
	return strings.Join(names, ", ")
}

// nearestUsable is the model with a key that comes nearest to one without, as far as prices tell how much a model can do.
func nearestUsable(m model.Model, available func(string) bool) (nearest model.Model, ok bool) {
	least := math.Inf(1)
	for _, other := range model.All() {
		if away := math.Abs(math.Log(other.Price.Output / m.Price.Output)); available(other.ID) && away < least {
			nearest, least, ok = other, away, true
		}
	}
	return nearest, ok
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
	return fmt.Sprintf("%s does not know the effort %q; it knows %s.", m.Title, short(o.effort, maxNamed), strings.Join(m.Efforts, ", "))
}

// either lists names: "a", "a or b", "a, b or c".
func either(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}
