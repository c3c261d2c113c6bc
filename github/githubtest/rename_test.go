package githubtest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"openinspect/github/githubtest"
)

func TestRename(t *testing.T) {
	w := newWorld(t)
	w.branch("topic")
	token := must(w.Authorize("ada")).AccessToken
	ada, ctx := w.with(token), t.Context()
	repo, _, err := ada.Repositories.Get(ctx, "acme", "web")
	w.done(err)
	dir := w.clone(token, "mine", "mine.txt", "mine\n")
	told(t, w.Rename(web, "acme/secret"), "taken")
	told(t, w.Rename(web, "nobody/shop"), "taken, or no name")
	w.done(w.Rename(web, "acme/shop"))

	// The client follows by itself; without following one sees where to.
	got, _, err := ada.Repositories.Get(ctx, "acme", "web")
	w.done(err)
	equal(t, "name", got.GetFullName(), "acme/shop")
	equal(t, "id", got.GetID(), repo.GetID())
	got, _, err = ada.Repositories.GetByID(ctx, repo.GetID())
	w.done(err)
	equal(t, "name by id", got.GetFullName(), "acme/shop")
	p, _, err := ada.PullRequests.Create(ctx, "acme", "web", newPull("topic"))
	w.done(err)
	equal(t, "pull request", p.GetHTMLURL(), w.URL()+"/acme/shop/pull/1")
	// The App's JWT is led to the installation too.
	if id := w.installation("acme", "web"); id != w.installation("acme", "shop") {
		t.Error("the installation is another one")
	}
	still := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ask := func(method, path, token string) *http.Response {
		req := must(http.NewRequestWithContext(ctx, method, w.URL()+path, nil))
		req.Header.Set("Authorization", "Bearer "+token)
		resp := must(still.Do(req))
		resp.Body.Close()
		return resp
	}
	resp := ask("GET", "/api/v3/repos/acme/web/pulls?state=all", token)
	equal(t, "status", resp.StatusCode, http.StatusMovedPermanently)
	equal(t, "location", resp.Header.Get("Location"), fmt.Sprintf("%s/api/v3/repositories/%d/pulls?state=all", w.URL(), repo.GetID()))
	equal(t, "status of one who may not see it", ask("GET", "/api/v3/repos/acme/web", must(w.Authorize("eve")).AccessToken).StatusCode, http.StatusNotFound)
	equal(t, "status by an id that is none", ask("GET", "/api/v3/repositories/7", token).StatusCode, http.StatusNotFound)

	// Git follows a redirect of its first request, unless it is told not to.
	if out, err := w.git(dir, token, "-c", "http.followRedirects=false", "fetch", "origin"); err == nil || !strings.Contains(out, "301") {
		t.Errorf("git says %q, %v", out, err)
	}
	w.mustGit(dir, token, "push", "--quiet", "origin", "mine")
	equal(t, "branches", strings.Join(w.Branches("acme/shop"), " "), "main mine topic")

	// Until somebody takes the name.
	w.done(w.AddRepository(githubtest.Repository{Name: web, Private: true, Files: map[string]string{"a": "a\n"}}))
	got, _, err = w.as("bob").Repositories.Get(ctx, "acme", "web")
	w.done(err)
	if got.GetID() == repo.GetID() {
		t.Error("the new repository has the old one's id")
	}
	_, _, err = w.as("bob").Repositories.GetByID(ctx, repo.GetID())
	w.done(err)
}
