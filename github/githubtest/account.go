package githubtest

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"
)

// User is a person. Adding one whose login is known changes that one.
type User struct {
	Login string
	ID    int64  // 0 means the server chooses
	Name  string // "" means the login
	// Access is what the person may do, "read", "triage", "write", "maintain" or "admin", by "owner/name"; "*" is every repository.
	Access map[string]string
	// Member are the organizations the person belongs to. Who may write in one of an organization's repositories counts as its member anyhow.
	Member []string
}

// account is anybody with a login: a person, an organization or the bot.
type account struct {
	id      int64
	login   string
	name    string
	kind    string // User, Organization or Bot
	access  map[string]role
	member  map[string]bool // by lower-case login
	created time.Time
}

// role is what somebody may do with a repository; a greater one includes the smaller.
type role int

const (
	none role = iota
	read
	triage
	write
	maintain
	admin
)

var roles = map[string]role{"none": none, "read": read, "triage": triage, "write": write, "maintain": maintain, "admin": admin}

func (r role) String() string {
	return [...]string{"none", "read", "triage", "write", "maintain", "admin"}[r]
}

// legacy is the role in the words of before there were five.
func (r role) legacy() string {
	switch r {
	case triage:
		return read.String()
	case maintain:
		return write.String()
	case none, read, write, admin:
	}
	return r.String()
}

// rights are GitHub's five of them.
func (r role) rights() object {
	return object{"pull": r >= read, "triage": r >= triage, "push": r >= write, "maintain": r >= maintain, "admin": r >= admin}
}

// role is what a has been given on r; that everybody reads a public repository does not count.
func (a *account) role(r *repository) role {
	if a == nil {
		return none
	}
	if a == r.owner {
		return admin
	}
	return cmp.Or(a.access[lower(r.full())], a.access["*"])
}

// AddUser adds a person, or changes one.
func (s *Server) AddUser(u User) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.account(u.Login, "User")
	a.kind = "User"
	a.id = cmp.Or(u.ID, a.id)
	a.name = cmp.Or(u.Name, a.name)
	for repo, access := range u.Access {
		a.access[lower(repo)] = roles[access]
	}
	for _, organization := range u.Member {
		a.member[lower(organization)] = true
	}
}

// SetAccess changes what a person may do with "owner/name", or with everything for "*": "none", or a word of User.Access.
func (s *Server) SetAccess(login, repo, access string) {
	s.AddUser(User{Login: login, Access: map[string]string{repo: access}})
}

// UserID is the numeric id of a login, or 0 if nobody has it.
func (s *Server) UserID(login string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.accounts[lower(login)]; a != nil {
		return a.id
	}
	return 0
}

// account returns the one with this login, making it of this kind if there is none.
func (s *Server) account(login, kind string) *account {
	a := s.accounts[lower(login)]
	if a == nil {
		a = &account{id: s.id(), login: login, name: login, kind: kind, access: map[string]role{}, member: map[string]bool{}, created: s.now()}
		s.accounts[lower(login)] = a
	}
	return a
}

// json is GitHub's simple-user.
func (a *account) json(s *Server) object {
	api := s.api() + "/users/" + a.login
	page := s.base + "/" + a.login
	if a.kind == "Bot" {
		page = s.base + "/apps/" + strings.TrimSuffix(a.login, "[bot]")
	}
	return object{
		"login": a.login, "id": a.id, "node_id": node("U", a.id), "type": a.kind, "site_admin": false,
		"avatar_url": fmt.Sprintf("%s/avatars/u/%d", s.base, a.id), "gravatar_id": "", "url": api, "html_url": page,
		"followers_url": api + "/followers", "following_url": api + "/following{/other_user}",
		"gists_url": api + "/gists{/gist_id}", "starred_url": api + "/starred{/owner}{/repo}",
		"subscriptions_url": api + "/subscriptions", "organizations_url": api + "/orgs", "repos_url": api + "/repos",
		"events_url": api + "/events{/privacy}", "received_events_url": api + "/received_events",
	}
}

// profile is GitHub's public-user.
func (a *account) profile(s *Server) object {
	p := a.json(s)
	maps.Copy(p, object{
		"name": a.name, "company": nil, "blog": "", "location": nil, "email": nil, "hireable": nil, "bio": nil,
		"public_repos": 0, "public_gists": 0, "followers": 0, "following": 0,
		"created_at": stamp(a.created), "updated_at": stamp(a.created), "user_view_type": "public",
	})
	return p
}

// getAuthenticatedUser answers with GitHub's private-user.
func (s *Server) getAuthenticatedUser(c *call) *reply {
	p := c.account.profile(s)
	maps.Copy(p, object{
		"collaborators": 0, "disk_usage": 0, "owned_private_repos": 0, "private_gists": 0, "total_private_repos": 0,
		"two_factor_authentication": true, "user_view_type": "private",
	})
	return ok(p)
}

func (s *Server) getUser(c *call) *reply {
	if a := s.accounts[lower(c.r.PathValue("login"))]; a != nil {
		return ok(a.profile(s))
	}
	return notFound()
}

func (s *Server) getPermission(c *call) *reply {
	if c.account != nil && c.account.role(c.repo) < write && c.token.installation == nil {
		return fail(http.StatusForbidden, "Must have push access to view collaborator permission.")
	}
	a := s.accounts[lower(c.r.PathValue("login"))]
	if a == nil {
		return notFound()
	}
	have := a.role(c.repo)
	if have == none && !c.repo.Private {
		have = read
	}
	user := a.json(s)
	user["permissions"] = have.rights()
	user["role_name"] = have.String()
	return ok(object{"permission": have.legacy(), "role_name": have.String(), "user": user})
}
