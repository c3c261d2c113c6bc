package session

import (
	"slices"
	"strconv"
	"strings"
)

// Person is somebody in Slack, with the GitHub account they linked, if any.
type Person struct {
	Slack  string    `json:"slack"` // user id, such as U024BE7LH
	Name   string    `json:"name"`  // display name, one line, at most 80 characters
	GitHub *Identity `json:"github,omitempty"`
}

// Identity is a GitHub account. The numeric id stays when the login changes.
type Identity struct {
	ID    int64  `json:"id"`
	Login string `json:"login"`
}

// Email is the account's address for commits, in the form GitHub attributes by id:
// docs.github.com, "Setting your commit email address".
func (i Identity) Email() string {
	return strconv.FormatInt(i.ID, 10) + "+" + i.Login + "@users.noreply.github.com"
}

// Author is a name and address as git writes them.
type Author struct {
	Name  string `json:"name"`
	Email string `json:"email"`
}

// Author returns how git names the person; false when they have not linked an account.
func (p Person) Author() (Author, bool) {
	if p.GitHub == nil {
		return Author{}, false
	}
	return Author{Name: OneLine(p.Name, 80), Email: p.GitHub.Email()}, true
}

// addPerson returns people with p in it once; a later copy replaces an earlier one, because p may have linked meanwhile.
func addPerson(people []Person, p Person) []Person {
	i := slices.IndexFunc(people, func(q Person) bool {
		// Of whoever opened a pull request on GitHub the account may be all that is known.
		return q.Slack == p.Slack && (p.Slack != "" || p.GitHub != nil && q.GitHub != nil && p.GitHub.ID == q.GitHub.ID)
	})
	if i < 0 {
		return append(slices.Clone(people), p)
	}
	people = slices.Clone(people)
	people[i] = p
	return people
}

// addContributor is addPerson for contributors. An account that one of them had before is one of them, too: they worked under it, and whoever has it by
// now is no second pair of eyes.
func addContributor(people []Person, p Person) []Person {
	people = slices.DeleteFunc(slices.Clone(people), func(q Person) bool { // it is theirs again
		return q.Slack == "" && p.GitHub != nil && q.GitHub.ID == p.GitHub.ID
	})
	i := slices.IndexFunc(people, func(q Person) bool { return q.Slack == p.Slack })
	if i < 0 || people[i].GitHub == nil || p.GitHub != nil && p.GitHub.ID == people[i].GitHub.ID {
		return addPerson(people, p)
	}
	former := Person{Name: people[i].Name, GitHub: people[i].GitHub}
	return append(addPerson(people, p), former)
}

// addAuthor returns authors with a in it once. Somebody who changed their name is there under both: their commits of before still bear the old one.
func addAuthor(authors []Author, a Author) []Author {
	if slices.Contains(authors, a) {
		return authors
	}
	return append(slices.Clone(authors), a)
}

// OneLine makes s fit into one line of at most limit characters: control characters, brackets, line breaks and what turns the direction of
// writing, with which a name could pretend to be something else, become spaces.
func OneLine(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r < ' ', r == 0x7f, 0x2028 <= r && r <= 0x202e, 0x2066 <= r && r <= 0x2069, strings.ContainsRune("<>[]{}`", r):
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > limit {
		s = strings.TrimSpace(string(r[:limit-1])) + "…"
	}
	return s
}
