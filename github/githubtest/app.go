package githubtest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v4"
)

// App is the server's one GitHub App.
type App struct {
	ID       int64  // 0 means 424242
	Slug     string // "" means "open-inspect"; the bot's login is the slug and "[bot]"
	Name     string // "" means the slug
	ClientID string // "" means "Iv23liOpenInspect001"
	// BotID is the id of the bot's user, which is not the App's; 0 means the server chooses.
	BotID int64
	// Permissions are what the App asks for and each installation grants, by GitHub's names; nil means contents and
	// pull_requests to write, checks, statuses and metadata to read.
	Permissions map[string]string
}

func (a *App) fill() {
	a.ID = cmp.Or(a.ID, 424242)
	a.Slug = cmp.Or(a.Slug, "open-inspect")
	a.Name = cmp.Or(a.Name, a.Slug)
	a.ClientID = cmp.Or(a.ClientID, "Iv23liOpenInspect001")
	if a.Permissions == nil {
		a.Permissions = map[string]string{
			"contents": "write", "pull_requests": "write", "checks": "read", "statuses": "read",
		}
	}
	a.Permissions = maps.Clone(a.Permissions)
	a.Permissions["metadata"] = "read"
}

// bot is the login of the App's user.
func (a *App) bot() string { return a.Slug + "[bot]" }

// installation is the App on one account.
type installation struct {
	id      int64
	account *account
	created time.Time
	// suspended is when the account's owner suspended it; zero if they have not.
	suspended time.Time
}

// Suspend suspends the App's installation on an account, or lifts that. Its tokens then are refused, and no new ones made.
func (s *Server) Suspend(account string, suspended bool) error {
	defer s.flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.installations[lower(account)]
	if i == nil {
		return fmt.Errorf("suspend: no installation on %q", account)
	}
	action := "unsuspend"
	if i.suspended = (time.Time{}); suspended {
		i.suspended, action = s.now(), "suspend"
	}
	s.send(i, i.account, "installation", action, object{"installation": s.installationJSON(i)})
	return nil
}

// thisSuspended is GitHub's word for it.
func thisSuspended() *reply { return fail(403, "This installation has been suspended") }

// install returns the App's installation on the account, making it if need be.
func (s *Server) install(a *account) *installation {
	key := lower(a.login)
	if i, ok := s.installations[key]; ok {
		return i
	}
	i := &installation{id: s.id(), account: a, created: s.now()}
	s.installations[key] = i
	return i
}

// reposOf lists what an installation reaches, oldest first.
func (s *Server) reposOf(i *installation) []*repository {
	return s.reposWhere(func(r *repository) bool { return r.owner == i.account && r.installed })
}

func (s *Server) installationByID(id string) *installation {
	for _, i := range s.installations {
		if strconv.FormatInt(i.id, 10) == id {
			return i
		}
	}
	return nil
}

func (s *Server) installationsByID() []*installation {
	return slices.SortedFunc(maps.Values(s.installations), func(a, b *installation) int { return cmp.Compare(a.id, b.id) })
}

// authenticateApp checks an App JWT and returns the refusal, or nil.
func (s *Server) authenticateApp(value string) *reply {
	var claims jwt.MapClaims
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithoutClaimsValidation())
	_, err := parser.ParseWithClaims(value, &claims, func(*jwt.Token) (any, error) { return &s.key().PublicKey, nil })
	if err != nil {
		return fail(401, "A JSON web token could not be decoded")
	}
	now := float64(s.cfg.JWTNow().UnixNano()) / 1e9
	issued, ok := claims["iat"].(float64)
	if !ok || issued > now {
		return fail(401, "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued")
	}
	expires, ok := claims["exp"].(float64)
	if !ok || expires <= now {
		return fail(401, "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires")
	}
	if expires > now+600 {
		return fail(401, "'Expiration time' claim ('exp') is too far in the future")
	}
	switch issuer := claims["iss"].(type) {
	case string:
		if issuer == strconv.FormatInt(s.cfg.App.ID, 10) || issuer == s.cfg.App.ClientID {
			return nil
		}
	case float64:
		if int64(issuer) == s.cfg.App.ID {
			return nil
		}
	}
	return fail(404, "Integration not found")
}

func (s *Server) appJSON() object {
	a := s.cfg.App
	return object{
		"id": a.ID, "slug": a.Slug, "node_id": node("A", a.ID), "client_id": a.ClientID,
		"owner": s.accounts["github"].json(s), "name": a.Name, "description": "",
		"external_url": s.base, "html_url": s.base + "/apps/" + a.Slug,
		"created_at": stamp(epoch), "updated_at": stamp(epoch),
		"permissions": a.Permissions, "events": []string{"pull_request", "push"},
		"installations_count": len(s.installations),
	}
}

func (s *Server) installationJSON(i *installation) object {
	api := s.api() + "/app/installations/" + strconv.FormatInt(i.id, 10)
	page := s.base + "/organizations/" + i.account.login + "/settings/installations/"
	if i.account.kind == "User" {
		page = s.base + "/settings/installations/"
	}
	return object{
		"id": i.id, "app_id": s.cfg.App.ID, "app_slug": s.cfg.App.Slug, "client_id": s.cfg.App.ClientID,
		"target_id": i.account.id, "target_type": i.account.kind, "account": i.account.json(s),
		"repository_selection": s.selection(i), "access_tokens_url": api + "/access_tokens",
		"repositories_url": s.api() + "/installation/repositories",
		"html_url":         page + strconv.FormatInt(i.id, 10),
		"permissions":      s.cfg.App.Permissions, "events": []string{"pull_request", "push"},
		"single_file_name": nil, "single_file_paths": []string{}, "has_multiple_single_files": false,
		"created_at": stamp(i.created), "updated_at": stamp(i.created), "suspended_by": nil, "suspended_at": stampOrNil(i.suspended),
	}
}

// selection says whether an installation reaches all of its account's repositories.
func (s *Server) selection(i *installation) string {
	out := s.reposWhere(func(r *repository) bool { return r.owner == i.account && !r.installed })
	if len(out) > 0 {
		return "selected"
	}
	return "all"
}

func (s *Server) getApp(*call) *reply { return ok(s.appJSON()) }

func (s *Server) listInstallations(c *call) *reply {
	var list []object
	for _, i := range s.installationsByID() {
		list = append(list, s.installationJSON(i))
	}
	return c.page(list)
}

func (s *Server) getInstallation(c *call) *reply {
	if i := s.installationByID(c.r.PathValue("id")); i != nil {
		return ok(s.installationJSON(i))
	}
	return notFound()
}

// getRepoInstallation answers with an App's JWT, which sees no repository but those it is installed on.
func (s *Server) getRepoInstallation(c *call) *reply {
	r := s.repos[lower(c.r.PathValue("owner")+"/"+c.r.PathValue("repo"))]
	if r == nil || !r.installed {
		return cmp.Or(s.elsewhere(c), notFound())
	}
	return ok(s.installationJSON(s.install(r.owner)))
}

func (s *Server) getAccountInstallation(c *call) *reply {
	if i := s.installations[lower(c.r.PathValue("login"))]; i != nil {
		return ok(s.installationJSON(i))
	}
	return notFound()
}

// listUserInstallations lists those that reach a repository the user has been given a role on.
func (s *Server) listUserInstallations(c *call) *reply {
	var list []object
	for _, i := range s.installationsByID() {
		if slices.ContainsFunc(s.reposOf(i), func(r *repository) bool { return c.account.role(r) != none }) {
			list = append(list, s.installationJSON(i))
		}
	}
	return c.pageOf("installations", list)
}

func (s *Server) listUserInstallationRepos(c *call) *reply {
	i := s.installationByID(c.r.PathValue("id"))
	if i == nil {
		return notFound()
	}
	var list []object
	for _, r := range s.reposOf(i) {
		if c.account.role(r) != none {
			list = append(list, s.repoJSON(r, c))
		}
	}
	return c.pageOf("repositories", list)
}

func (s *Server) listInstallationRepos(c *call) *reply {
	var list []object
	for _, r := range s.reposOf(c.token.installation) {
		if c.token.reaches(r) {
			list = append(list, s.repoJSON(r, c))
		}
	}
	rep := c.pageOf("repositories", list)
	rep.body.(object)["repository_selection"] = s.tokenSelection(c.token)
	return rep
}

func (s *Server) tokenSelection(t *token) string {
	if t.repos != nil {
		return "selected"
	}
	return s.selection(t.installation)
}

func lower(name string) string { return strings.ToLower(name) }
