package githubtest_test

import (
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bradleyfalzon/ghinstallation/v2"
	"github.com/golang-jwt/jwt/v4"
	"github.com/google/go-github/v66/github"

	"openinspect/github/githubtest"
)

func TestInstallationToken(t *testing.T) {
	w := newWorld(t)
	value := w.scoped(contents("read"))
	if !regexp.MustCompile(`^ghs_424242_eyJ[A-Za-z0-9_-]+\.eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$`).MatchString(value) || len(value) < 500 {
		t.Errorf("token %q has not GitHub's form", value)
	}
	c := w.with(value)
	list, _, err := c.Apps.ListRepos(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "repositories reached", list.GetTotalCount(), 1)
	equal(t, "repository", list.Repositories[0].GetFullName(), "acme/web")
	_, _, err = c.Repositories.Get(t.Context(), "acme", "secret")
	refused(t, err, 404, "Not Found")
	_, _, err = c.PullRequests.List(t.Context(), "acme", "web", nil)
	refused(t, err, 403, "Resource not accessible by integration")
	_, _, err = c.Users.Get(t.Context(), "")
	refused(t, err, 403, "Resource not accessible by integration")

	if _, err := c.Apps.RevokeInstallationToken(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, _, err = c.Repositories.Get(t.Context(), "acme", "web")
	refused(t, err, 401, "Bad credentials")
	record := w.Tokens()[0]
	equal(t, "minted for", strings.Join(record.Repositories, " "), "acme/web")
	equal(t, "contents", record.Permissions["contents"], "read")
	equal(t, "number of permissions", len(record.Permissions), 2)
	equal(t, "revoked", record.Revoked, w.clock.Now().UTC())
	equal(t, "value", record.Value, value)
}

func TestInstallationTokenExpires(t *testing.T) {
	w := newWorld(t)
	c := w.with(w.scoped(contents("read")))
	w.clock.advance(59 * time.Minute)
	if _, _, err := c.Repositories.Get(t.Context(), "acme", "web"); err != nil {
		t.Errorf("after 59 minutes: %v", err)
	}
	w.clock.advance(2 * time.Minute)
	_, _, err := c.Repositories.Get(t.Context(), "acme", "web")
	refused(t, err, 401, "Bad credentials")
}

func TestInstallationTokenRefusals(t *testing.T) {
	w := newWorld(t, func(c *githubtest.Config) {
		c.Repositories = append(c.Repositories, githubtest.Repository{Name: "acme/out", Private: true, Uninstalled: true})
	})
	for name, opts := range map[string]*github.InstallationTokenOptions{
		"There is at least one repository that does not exist": {Repositories: []string{"out"}},
		"The permissions requested are not granted":            {Permissions: &github.InstallationPermissions{Administration: github.String("write")}},
	} {
		itr := ghinstallation.NewFromAppsTransport(w.app(), w.installation("acme", "web"))
		itr.InstallationTokenOptions = opts
		_, err := itr.Token(t.Context())
		httpErr, ok := errors.AsType[*ghinstallation.HTTPError](err)
		if !ok {
			t.Fatalf("error %v, want one of ghinstallation's", err)
		}
		body := must(io.ReadAll(httpErr.Response.Body))
		httpErr.Response.Body.Close()
		if httpErr.Response.StatusCode != 422 || !strings.Contains(string(body), name) {
			t.Errorf("answer %d %s, want %s", httpErr.Response.StatusCode, body, name)
		}
	}
	_, _, err := w.client(w.app()).Apps.FindRepositoryInstallation(t.Context(), "acme", "out")
	refused(t, err, 404, "Not Found")
}

func TestUnscopedTokenAndInstallations(t *testing.T) {
	// The client sends null for no options, which the description does not allow, and GitHub takes.
	w := newWorld(t, func(c *githubtest.Config) { c.Validate = nil })
	itr := ghinstallation.NewFromAppsTransport(w.app(), w.installation("acme", "web"))
	list, resp, err := w.client(itr).Apps.ListRepos(t.Context(), &github.ListOptions{PerPage: 1})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "repositories reached", list.GetTotalCount(), 2)
	equal(t, "on this page", len(list.Repositories), 1)
	equal(t, "next page", resp.NextPage, 2)
	app := w.client(w.app())
	self, _, err := app.Apps.Get(t.Context(), "")
	equal(t, "slug", self.GetSlug(), "open-inspect")
	equal(t, "error", err, nil)
	installations, _, err := app.Apps.ListInstallations(t.Context(), nil)
	equal(t, "installations", len(installations), 1)
	equal(t, "account", installations[0].GetAccount().GetLogin(), "acme")
	equal(t, "error", err, nil)
	mine, _, err := w.as("eve").Apps.ListUserInstallations(t.Context(), nil)
	equal(t, "installations eve sees", len(mine), 0)
	equal(t, "error", err, nil)
	bot, _, err := w.client(itr).Users.Get(t.Context(), "open-inspect[bot]")
	equal(t, "bot's id", bot.GetID(), w.App().BotID)
	equal(t, "bot's type", bot.GetType(), "Bot")
	equal(t, "error", err, nil)
}

func TestAppJWT(t *testing.T) {
	w := newWorld(t)
	now := time.Now()
	claims := func(issued, expires time.Time, issuer string) jwt.RegisteredClaims {
		return jwt.RegisteredClaims{IssuedAt: jwt.NewNumericDate(issued), ExpiresAt: jwt.NewNumericDate(expires), Issuer: issuer}
	}
	key := must(jwt.ParseRSAPrivateKeyFromPEM(w.PrivateKeyPEM()))
	foreign := must(jwt.ParseRSAPrivateKeyFromPEM(githubtest.New(githubtest.Config{}).PrivateKeyPEM()))
	sign := func(c jwt.RegisteredClaims) string {
		return must(jwt.NewWithClaims(jwt.SigningMethodRS256, c).SignedString(key))
	}
	good := claims(now.Add(-time.Minute), now.Add(5*time.Minute), "424242")
	for name, c := range map[string]struct {
		token   string
		status  int
		message string
	}{
		"good":       {sign(good), 200, ""},
		"client id":  {sign(claims(now.Add(-time.Minute), now.Add(time.Minute), w.App().ClientID)), 200, ""},
		"other app":  {sign(claims(now.Add(-time.Minute), now.Add(time.Minute), "1")), 404, "Integration not found"},
		"expired":    {sign(claims(now.Add(-time.Hour), now.Add(-time.Minute), "424242")), 401, "'Expiration time'"},
		"too long":   {sign(claims(now, now.Add(time.Hour), "424242")), 401, "too far in the future"},
		"not yet":    {sign(claims(now.Add(time.Hour), now.Add(2*time.Hour), "424242")), 401, "'Issued at'"},
		"wrong key":  {must(jwt.NewWithClaims(jwt.SigningMethodRS256, good).SignedString(foreign)), 401, "could not be decoded"},
		"wrong kind": {must(jwt.NewWithClaims(jwt.SigningMethodHS256, good).SignedString([]byte("k"))), 401, "could not be decoded"},
	} {
		_, resp, err := w.with(c.token).Apps.Get(t.Context(), "")
		if c.status == http.StatusOK {
			equal(t, name+": error", err, nil)
			equal(t, name+": status", resp.StatusCode, 200)
			continue
		}
		refused(t, err, c.status, c.message)
	}
}

func TestUserToken(t *testing.T) {
	w := newWorld(t)
	tok := must(w.Authorize("ada"))
	c := w.with(tok.AccessToken)
	me, _, err := c.Users.Get(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "login", me.GetLogin(), "ada")
	equal(t, "id", me.GetID(), 101)
	_, _, err = c.Repositories.Get(t.Context(), "acme", "secret")
	refused(t, err, 404, "Not Found")
	installations, _, err := c.Apps.ListUserInstallations(t.Context(), nil)
	equal(t, "installations", len(installations), 1)
	equal(t, "error", err, nil)
	repos, _, err := c.Apps.ListUserRepos(t.Context(), installations[0].GetID(), nil)
	equal(t, "error", err, nil)
	equal(t, "repositories", repos.GetTotalCount(), 1)

	w.RevokeAuthorization("ada")
	_, _, err = c.Users.Get(t.Context(), "")
	refused(t, err, 401, "Bad credentials")
	answer := w.post("/login/oauth/access_token", map[string]string{
		"client_id": w.App().ClientID, "grant_type": "refresh_token", "refresh_token": tok.RefreshToken,
	})
	equal(t, "error", answer["error"], "bad_refresh_token")

	// A user token reaches no further than the App does.
	c = w.as("bob")
	if err := w.SetInstalled("acme/web", false); err != nil {
		t.Fatal(err)
	}
	_, _, err = c.Repositories.Get(t.Context(), "acme", "web")
	refused(t, err, 404, "Not Found")
}

func TestPublicRepository(t *testing.T) {
	w := newWorld(t, func(c *githubtest.Config) { c.Repositories[0].Private = false })
	nobody := must(github.NewClient(nil).WithEnterpriseURLs(w.URL(), w.URL()))
	r, resp, err := nobody.Repositories.Get(t.Context(), "ACME", "Web")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "name", r.GetFullName(), "acme/web")
	equal(t, "limit", resp.Rate.Limit, 60)
	_, _, err = nobody.PullRequests.Create(t.Context(), "acme", "web", newPull("x"))
	refused(t, err, 401, "Requires authentication")
	w.mustGit(t.TempDir(), "", "clone", "--quiet", w.CloneURL("acme/web"))
}
