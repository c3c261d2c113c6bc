package githubtest

import (
	"cmp"
	"net/http"
	"strings"
)

// auth is what a route must be called with.
type auth int

const (
	byAnyone       auth = iota // a token or nothing
	byToken                    // an installation or user token
	byUser                     // a user token
	byInstallation             // an installation token
	byApp                      // an App's JWT
)

// route is one REST operation.
type route struct {
	pattern string // method and path below /api/v3
	auth    auth
	// perm and level are the App permission the operation needs on the repository in its path, both for an
	// installation token and for a user token.
	perm  string
	level role
	// user is the role a person needs there; none means the level.
	user role
	// refs marks an operation that moves refs.
	refs   bool
	handle func(*Server, *call) *reply
}

// routes is the table of REST operations.
func (s *Server) routes() http.Handler {
	const repo = "/repos/{owner}/{repo}"
	const pulls = repo + "/pulls/{number}"
	table := []route{
		{pattern: "GET /app", auth: byApp, handle: (*Server).getApp},
		{pattern: "GET /app/installations", auth: byApp, handle: (*Server).listInstallations},
		{pattern: "GET /app/installations/{id}", auth: byApp, handle: (*Server).getInstallation},
		{pattern: "POST /app/installations/{id}/access_tokens", auth: byApp, handle: (*Server).createInstallationToken},
		{pattern: "GET /orgs/{login}/installation", auth: byApp, handle: (*Server).getAccountInstallation},
		{pattern: "GET /users/{login}/installation", auth: byApp, handle: (*Server).getAccountInstallation},
		{pattern: "GET " + repo + "/installation", auth: byApp, handle: (*Server).getRepoInstallation},
		{pattern: "GET /installation/repositories", auth: byInstallation, handle: (*Server).listInstallationRepos},
		{pattern: "DELETE /installation/token", auth: byInstallation, handle: (*Server).deleteInstallationToken},
		{pattern: "GET /rate_limit", handle: (*Server).getRateLimit},
		{pattern: "GET /user", auth: byUser, handle: (*Server).getAuthenticatedUser},
		{pattern: "GET /user/installations", auth: byUser, handle: (*Server).listUserInstallations},
		{pattern: "GET /user/installations/{id}/repositories", auth: byUser, handle: (*Server).listUserInstallationRepos},
		{pattern: "GET /users/{login}", handle: (*Server).getUser},

		{pattern: "GET " + repo, perm: "metadata", level: read, handle: (*Server).getRepository},
		{pattern: "GET " + repo + "/collaborators/{login}/permission", perm: "metadata", level: read, handle: (*Server).getPermission},
		{pattern: "GET " + repo + "/branches", perm: "contents", level: read, handle: (*Server).listBranches},
		{pattern: "GET " + repo + "/branches/{branch...}", perm: "contents", level: read, handle: (*Server).getBranch},
		{pattern: "GET " + repo + "/git/ref/{ref...}", perm: "contents", level: read, handle: (*Server).getRef},
		{pattern: "GET " + repo + "/git/matching-refs/{ref...}", perm: "contents", level: read, handle: (*Server).listRefs},
		{pattern: "POST " + repo + "/git/refs", perm: "contents", level: write, refs: true, handle: (*Server).createRef},
		{pattern: "PATCH " + repo + "/git/refs/{ref...}", perm: "contents", level: write, refs: true, handle: (*Server).updateRef},
		{pattern: "DELETE " + repo + "/git/refs/{ref...}", perm: "contents", level: write, refs: true, handle: (*Server).deleteRef},
		{pattern: "GET " + repo + "/commits", perm: "contents", level: read, handle: (*Server).listCommits},
		{pattern: "GET " + repo + "/commits/{ref...}", handle: (*Server).getCommitOr},
		{pattern: "GET " + repo + "/compare/{range...}", perm: "contents", level: read, handle: (*Server).compare},
		{pattern: "GET " + repo + "/contents/{path...}", perm: "contents", level: read, handle: (*Server).getContents},

		{pattern: "POST " + repo + "/statuses/{sha}", perm: "statuses", level: write, handle: (*Server).createStatus},
		{pattern: "POST " + repo + "/check-runs", auth: byInstallation, perm: "checks", level: write, handle: (*Server).createCheckRun},

		{pattern: "GET " + repo + "/pulls", perm: "pull_requests", level: read, handle: (*Server).listPulls},
		{pattern: "POST " + repo + "/pulls", perm: "pull_requests", level: write, user: read, handle: (*Server).createPull},
		{pattern: "GET " + pulls, perm: "pull_requests", level: read, handle: (*Server).getPull},
		{pattern: "PATCH " + pulls, perm: "pull_requests", level: write, user: read, handle: (*Server).editPull},
		{pattern: "GET " + pulls + "/commits", perm: "pull_requests", level: read, handle: (*Server).listPullCommits},
		{pattern: "GET " + pulls + "/files", perm: "pull_requests", level: read, handle: (*Server).listPullFiles},
		{pattern: "GET " + pulls + "/merge", perm: "contents", level: read, handle: (*Server).isMerged},
		{pattern: "PUT " + pulls + "/merge", perm: "contents", level: write, refs: true, handle: (*Server).mergePull},
		{pattern: "GET " + pulls + "/reviews", perm: "pull_requests", level: read, handle: (*Server).listReviews},
		{pattern: "POST " + pulls + "/reviews", perm: "pull_requests", level: write, user: read, handle: (*Server).createReview},
		{pattern: "GET " + pulls + "/reviews/{review}/comments", perm: "pull_requests", level: read, handle: (*Server).listReviewLineComments},
		{pattern: "GET " + pulls + "/comments", perm: "pull_requests", level: read, handle: (*Server).listLineComments},
		{pattern: "POST " + pulls + "/comments", perm: "pull_requests", level: write, user: read, handle: (*Server).createLineComment},
		{pattern: "GET " + repo + "/issues/{number}/comments", perm: "pull_requests", level: read, handle: (*Server).listComments},
		{pattern: "POST " + repo + "/issues/{number}/comments", perm: "pull_requests", level: write, user: read, handle: (*Server).createComment},
	}
	mux := http.NewServeMux()
	for _, rt := range table {
		method, path, _ := strings.Cut(rt.pattern, " ")
		mux.Handle(method+" /api/v3"+path, s.serve(rt))
	}
	mux.Handle("/", s.serve(route{pattern: "unknown", handle: func(*Server, *call) *reply { return notFound() }}))
	return mux
}

// authenticate finds out who calls, and refuses whom the route does not serve.
func (s *Server) authenticate(rt route, c *call) *reply {
	scheme, value, _ := strings.Cut(c.r.Header.Get("Authorization"), " ")
	if rt.auth == byApp {
		if !strings.EqualFold(scheme, "Bearer") {
			return fail(http.StatusUnauthorized, "A JSON web token could not be decoded")
		}
		return s.authenticateApp(strings.TrimSpace(value))
	}
	if scheme == "" {
		if rt.auth != byAnyone || rt.level > read {
			return fail(http.StatusUnauthorized, "Requires authentication")
		}
		return nil
	}
	if !strings.EqualFold(scheme, "Bearer") && !strings.EqualFold(scheme, "token") {
		return fail(http.StatusUnauthorized, "Bad credentials")
	}
	t := s.tokens[strings.TrimSpace(value)]
	if t == nil || !t.live(s.now()) {
		return fail(http.StatusUnauthorized, "Bad credentials")
	}
	if t.installation != nil && !t.installation.suspended.IsZero() {
		return thisSuspended()
	}
	t.Uses++
	c.token, c.account = t, t.who(s)
	if rt.auth == byUser && t.user == nil || rt.auth == byInstallation && t.installation == nil {
		return notIntegration()
	}
	return nil
}

// authorize finds the repository and pull request in the path, and refuses a caller who may not.
func (s *Server) authorize(rt route, c *call) *reply {
	if rt.auth == byApp || c.r.PathValue("repo") == "" {
		return nil
	}
	c.repo = s.repos[lower(c.r.PathValue("owner")+"/"+c.r.PathValue("repo"))]
	if c.repo == nil {
		return cmp.Or(s.elsewhere(c), notFound())
	}
	if rep := s.allowed(c, rt.perm, rt.level, cmp.Or(rt.user, rt.level)); rep != nil {
		return rep
	}
	if c.repo.blocked {
		rep := fail(http.StatusForbidden, "Repository access blocked")
		rep.body.(object)["block"] = object{"reason": "tos", "created_at": stamp(epoch), "html_url": nil}
		return rep
	}
	if c.repo.Archived && c.r.Method != http.MethodGet && c.r.Method != http.MethodHead {
		return archived()
	}
	if number := c.r.PathValue("number"); number != "" {
		if c.pull = c.repo.pull(number); c.pull == nil {
			return notFound()
		}
	}
	return nil
}

// archived is GitHub's word for it.
func archived() *reply { return fail(http.StatusForbidden, "Repository was archived so is read-only.") }

// allowed judges a caller on c.repo. A person needs the role, the App the permission at the level; with a user
// token both hold. Who may not even see the repository is told that it does not exist. An empty permission asks
// only for sight.
func (s *Server) allowed(c *call, perm string, level, person role) *reply {
	open := !c.repo.Private && level <= read
	switch {
	case c.token == nil:
		if open {
			return nil
		}
		return notFound()
	case c.token.installation != nil:
		if !c.token.reaches(c.repo) {
			if open {
				return nil
			}
			if c.repo.Private {
				return notFound()
			}
			return notIntegration()
		}
		if perm != "" && roles[c.token.Permissions[perm]] < level {
			return notIntegration()
		}
		return nil
	default:
		have := c.account.role(c.repo)
		if !c.repo.Private {
			have = max(have, read)
		}
		if open {
			return nil
		}
		if have == none || !c.repo.installed && c.repo.Private {
			return notFound()
		}
		if perm != "" && (!c.repo.installed || roles[s.cfg.App.Permissions[perm]] < level) {
			return notIntegration()
		}
		if have < person {
			return notFound()
		}
		return nil
	}
}
