package bot

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"openinspect/session"
)

// hints are what speaks for one repository or another besides a name that somebody wrote out.
type hints struct {
	words   string // of the request
	context string // what was said in the thread before
	channel string // its name
	topic   string // and topic
	recent  []session.Repo
}

// A repository is taken without asking if it scores enough, and enough more than the next. What is counted for a whole name, a part of it or
// a topic, and a word of the description; what only some words share counts less the more repositories have them. What the thread and the
// channel say counts less than the request. Where somebody worked last decides between equals for the order of a question, never alone.
const (
	enough = 3.0
	margin = 2.0

	forName        = 6.0 // of several words
	forWord        = 4.0 // a whole name that is one word
	forPart        = 3.0
	forGeneric     = 2.0 // a whole name that is an everyday word, such as web
	forDescription = 1.0
	forRecent      = 0.9 // the last one; less for those before

	maxDescription = 3.0 // of all words of a description together

	ofContext = 0.8
	ofChannel = 0.8
	ofTopic   = 0.5
)

// scored is a repository with what speaks for it.
type scored struct {
	info  session.RepositoryInfo
	score float64
	why   string // the best reason, a few words in plain text
	best  float64
}

func (s *scored) add(points float64, why string) {
	s.score += points
	if points > s.best {
		s.best, s.why = points, why
	}
}

// everyday are names of repositories that people also use for other things.
var everyday = set("admin api app apps backend bot build cli client common config core data demo deploy dev doc docs documentation example examples frontend " +
	"go infra lib library main mobile monorepo ops platform plugin project script scripts sdk server service services site src test testing tests " +
	"tool tools ui util utils web website work")

// filler are words that say nothing about a repository.
var filler = set("a able about add after all also always an and another any are as ask at back be because been before bug but by can change check code could " +
	"did do does done each even every fail failing fails failure file find first fix for from get give go had has have he help here how i if in into is issue it its just know last let like " +
	"look make me more most my need new no not now of off on one only open or other our out over part please pr problem pull put question read remove " +
	"repo repository request run say see set she should show so some something still take than thank that the their them then there these they thing this " +
	"time to today together too try two up update us use used using very want was way we well were what when where which who why will with without word would write wrong yes you your")

func set(words string) map[string]bool {
	all := map[string]bool{}
	for _, w := range strings.Fields(words) {
		all[w] = true
	}
	return all
}

var (
	wordParts = regexp.MustCompile(`[\p{L}\p{N}]+`)
	camel     = regexp.MustCompile(`(\p{Ll}|\p{N})(\p{Lu})`)
)

// words are the words of a text, lower case, a plural as its singular.
func words(text string) []string {
	all := wordParts.FindAllString(strings.ToLower(camel.ReplaceAllString(text, "$1 $2")), -1)
	for i, w := range all {
		if len(w) > 3 && strings.HasSuffix(w, "s") && !strings.HasSuffix(w, "ss") {
			all[i] = strings.TrimSuffix(w, "s")
		}
	}
	return all
}

// telltale are the words of a text that may say something, each once.
func telltale(text string) []string {
	var out []string
	for _, w := range words(text) {
		if len([]rune(w)) > 1 && !filler[w] && !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}

// known is what a repository is known by.
type known struct {
	name        string   // its words with a space between them
	joined      string   // and without
	parts       []string // of the name and the topics
	description []string
}

func knownBy(r session.RepositoryInfo) known {
	name := words(r.Repo.Name)
	s := known{name: strings.Join(name, " "), joined: strings.Join(name, ""), parts: telltale(r.Repo.Name)}
	for _, t := range r.Topics {
		for _, w := range telltale(t) {
			if !slices.Contains(s.parts, w) {
				s.parts = append(s.parts, w)
			}
		}
	}
	for _, w := range telltale(r.Description) {
		if !slices.Contains(s.parts, w) {
			s.description = append(s.description, w)
		}
	}
	return s
}

// rank orders repositories by what speaks for them, the likeliest first.
func rank(all []session.RepositoryInfo, h hints) []scored {
	subjects := make([]known, len(all))
	parts, descriptions := map[string]float64{}, map[string]float64{} // how many have a word
	for i, r := range all {
		subjects[i] = knownBy(r)
		for _, w := range subjects[i].parts {
			parts[w]++
		}
		for _, w := range subjects[i].description {
			descriptions[w]++
		}
	}
	ranked := make([]scored, len(all))
	for i, r := range all {
		ranked[i].info = r
	}
	for _, source := range []struct {
		text   string
		weight float64
		said   string
	}{
		{h.words, 1, "you wrote “%”"},
		{h.context, ofContext, "this thread says “%”"},
		{h.channel, ofChannel, "this channel’s name has “%”"},
		{h.topic, ofTopic, "this channel’s topic says “%”"},
	} {
		said := telltale(source.text)
		text := " " + strings.Join(words(source.text), " ") + " "
		if len(said) == 0 {
			continue
		}
		reason := func(word string) string { return strings.ReplaceAll(source.said, "%", word) }
		for i, s := range subjects {
			r := &ranked[i]
			taken := map[string]bool{}
			if strings.Contains(text, " "+s.name+" ") || len(s.joined) > 3 && strings.Contains(text, " "+s.joined+" ") {
				points := forName
				switch {
				case everyday[s.name] || filler[s.name]:
					points = forGeneric
				case s.name == s.joined:
					points = forWord
				}
				r.add(points*source.weight, reason(s.name))
				for _, w := range s.parts {
					taken[w] = strings.Contains(" "+s.name+" ", " "+w+" ")
				}
			}
			described := 0.0
			for _, w := range said {
				switch {
				case taken[w]:
				case slices.Contains(s.parts, w) && everyday[w]:
					r.add(forDescription/parts[w]*source.weight, reason(w))
				case slices.Contains(s.parts, w):
					r.add(forPart/parts[w]*source.weight, reason(w))
				case slices.Contains(s.description, w) && described < maxDescription:
					points := min(forDescription/(descriptions[w]+parts[w]), maxDescription-described)
					described += points
					r.add(points*source.weight, reason(w)+", as its description does")
				}
			}
		}
	}
	for n, repo := range h.recent {
		if i := slices.IndexFunc(ranked, func(s scored) bool { return s.info.Repo == repo }); i >= 0 && n < maxRecent {
			ranked[i].add(forRecent/float64(n+1), "you worked on it last")
		}
	}
	slices.SortStableFunc(ranked, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
	return ranked
}

// maxRecent is how many of the repositories that a person worked on last count.
const maxRecent = 5

// clear reports whether the first of a ranking is to be taken without asking.
func clear(ranked []scored) bool {
	switch {
	case len(ranked) == 0 || ranked[0].score < enough:
		return false
	case len(ranked) == 1:
		return true
	}
	return ranked[0].score-ranked[1].score >= margin
}
