package bot

import (
	"fmt"
	"regexp"
	"strings"

	"openinspect/session/model"
)

// Options in words. A model or an effort counts where a sentence about it would stand: at the end of a message ("… with opus", "… at high
// effort") or before it ("with opus: …"); elsewhere the words are the task's.
var (
	finalModel  = regexp.MustCompile(`(?i)[\s,;(]+(?:with|using|use)\s+(?:model\s+)?([a-z][\w.\-/]*(?:[ -][\w.\-]+){0,2})\s*[.!?)]*$`)
	firstModel  = regexp.MustCompile(`(?i)^(?:with|using|use)\s+(?:model\s+)?([a-z][\w.\-/]*(?:[ -][\w.\-]+){0,2})\s*[:,]\s+`)
	finalEffort = regexp.MustCompile(`(?i)[\s,;(]+(?:with|at|and)\s+([a-z]+)\s+effort\s*[.!?)]*$`)
	firstEffort = regexp.MustCompile(`(?i)^(?:with|at)\s+([a-z]+)\s+effort\s*[:,]\s+`)
	branchWords = regexp.MustCompile("(?i)\\b(?:on|from)\\s+(?:the\\s+)?branch\\s+`?([\\w][\\w./-]*[\\w])`?")
	wordsBranch = regexp.MustCompile("(?i)\\b(?:on|from)\\s+the\\s+`?([\\w][\\w./-]*[\\w])`?\\s+branch\\b")
)

// inWords takes the options that a text says in words and o does not have yet. A branch stays in the text, and so does a model at its end: the words may
// be the task's (“a page that talks with claude”).
func (o *options) inWords(text, defaultModel string, available func(string) bool) (rest string) {
	end := ""
	for {
		before := text
		for _, where := range []*regexp.Regexp{finalEffort, firstEffort} {
			if m := where.FindStringSubmatchIndex(text); m != nil && o.effort == "" && isEffort(text[m[2]:m[3]]) {
				o.effort = strings.ToLower(text[m[2]:m[3]])
				text = text[:m[0]] + text[m[1]:]
			}
		}
		for _, where := range []*regexp.Regexp{finalModel, firstModel} {
			if m := where.FindStringSubmatchIndex(text); m != nil && o.model == "" {
				named, ok := findModel(text[m[2]:m[3]])
				switch {
				case !ok:
				case !available(named.ID):
					o.note = instead(named, defaultModel, available)
				case where == finalModel:
					o.model = named.ID
					text, end = text[:m[0]], text[m[0]:]
				default:
					o.model = named.ID
					text = text[m[1]:]
				}
			}
		}
		if text == before {
			break
		}
	}
	text = strings.TrimSpace(text + end)
	o.readBranch(text)
	return text
}

// instead says that a model which somebody named in words cannot be used, and which is.
func instead(named model.Model, usual string, available func(string) bool) string {
	said := fmt.Sprintf("There is no key for %s here, so I use %s", named.Title, modelTitle(usual))
	near, ok := nearestUsable(named, available)
	switch {
	case ok && near.ID == usual:
		return said + ", which is the nearest there is."
	case ok:
		return said + fmt.Sprintf(". The nearest that can be used is %s: [model=%s].", near.Title, near.Name)
	}
	return said + "."
}

// maxBranch is how long a branch's name may be: GitHub takes 244 bytes.
const maxBranch = 250

// anyBranch are words before "branch", or after it, that name none.
var anyBranch = set("a an and another any as base broken by correct current default different existing failing feature following fresh from i is it last latest line my " +
	"name named new newest next of old or other our own previous relevant release right same separate so target that the their then there these this those to upstream we where which with wrong you your")

// readBranch takes a branch that a text says in words, if o has none yet.
func (o *options) readBranch(text string) {
	for _, where := range []*regexp.Regexp{branchWords, wordsBranch} {
		for _, m := range where.FindAllStringSubmatch(text, -1) {
			if o.branch == "" && len(m[1]) <= maxBranch && !anyBranch[strings.ToLower(m[1])] {
				o.branch, o.branchInWords = m[1], true
			}
		}
	}
}

// findModel finds a model by its name as people say it: "opus", "claude opus 5", "gpt-5.2".
func findModel(words string) (model.Model, bool) {
	words = strings.ToLower(strings.TrimRight(strings.Join(strings.Fields(words), " "), "."))
	for _, m := range model.All() {
		if words == strings.ToLower(m.Title) || words == strings.TrimPrefix(strings.ToLower(m.Title), "claude ") {
			return m, true
		}
	}
	return model.Find(strings.ReplaceAll(words, " ", "-"))
}

func isEffort(word string) bool {
	for _, m := range model.All() {
		if m.HasEffort(strings.ToLower(word)) && word != "" {
			return true
		}
	}
	return false
}
