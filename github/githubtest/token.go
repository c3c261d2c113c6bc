package githubtest

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"time"
)

// Token is the record of an access token, alive or dead.
type Token struct {
	Value        string
	Login        string            // of the person, for a user token; "" for an installation token
	Account      string            // the installation's account, for an installation token
	Repositories []string          // "owner/name"; nil means all the installation reaches
	Permissions  map[string]string // of an installation token
	Minted       time.Time
	Expires      time.Time
	Revoked      time.Time // zero if it never was
	Uses         int       // REST calls and git requests it was accepted for
}

// Lifetimes, as GitHub documents them.
const (
	installationTokenLife = time.Hour
	userTokenLife         = 8 * time.Hour
	refreshTokenLife      = 184 * 24 * time.Hour
)

// token is an access token. Exactly one of installation and user is set.
type token struct {
	Token
	installation *installation
	repos        map[*repository]bool // nil: all
	user         *account
	refresh      string // the refresh token handed out with it
}

// refresh is a refresh token, good for one use.
type refresh struct {
	user    *account
	access  *token
	expires time.Time
}

func (t *token) live(now time.Time) bool {
	return t.Revoked.IsZero() && now.Before(t.Expires)
}

// reaches reports whether an installation token covers r.
func (t *token) reaches(r *repository) bool {
	return r.installed && r.owner == t.installation.account && (t.repos == nil || t.repos[r])
}

// who is the account that acts with the token.
func (t *token) who(s *Server) *account {
	if t.user != nil {
		return t.user
	}
	return s.accounts[lower(s.cfg.App.bot())]
}

// mint records a token and names it.
func (s *Server) mint(t *token, value string, life time.Duration) *token {
	t.Value = value
	t.Minted = s.now()
	t.Expires = t.Minted.Add(life).Truncate(time.Second)
	s.tokens[value] = t
	s.minted = append(s.minted, t)
	s.tell(Event{Kind: TokenMinted, Login: t.who(s).login})
	return t
}

// mintInstallation makes a token in the form GitHub gives them since 2026: the App's id and a JWT, some 520
// characters with dots and underscores.
func (s *Server) mintInstallation(t *token) *token {
	segment := func(n int) string { return base64.RawURLEncoding.EncodeToString(random(n)) }
	value := fmt.Sprintf("ghs_%d_eyJ%s.eyJ%s.%s", s.cfg.App.ID, segment(36), segment(140), segment(202))
	return s.mint(t, value, installationTokenLife)
}

// mintUser makes a user token with its refresh token.
func (s *Server) mintUser(a *account) *token {
	t := s.mint(&token{Token: Token{Login: a.login}, user: a}, "ghu_"+letters(36), userTokenLife)
	t.refresh = "ghr_" + letters(76)
	s.refreshes[t.refresh] = &refresh{user: a, access: t, expires: t.Minted.Add(refreshTokenLife)}
	return t
}

// revoke ends the tokens that are not ended yet, and the refresh tokens handed out with them.
func (s *Server) revoke(tokens ...*token) {
	for _, t := range tokens {
		if t.Revoked.IsZero() {
			t.Revoked = s.now()
		}
		delete(s.refreshes, t.refresh)
		s.tell(Event{Kind: TokenRevoked, Login: t.who(s).login})
	}
}

// UserToken is what a person's authorization of the App gives.
type UserToken struct {
	AccessToken  string
	RefreshToken string
	Expires      time.Time // of the access token
}

// Authorize mints a user token at once, as if the person had been through the device flow. The login must be known.
func (s *Server) Authorize(login string) (UserToken, error) {
	defer s.flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[lower(login)]
	if a == nil || a.kind != "User" {
		return UserToken{}, fmt.Errorf("authorize: no user %q", login)
	}
	t := s.mintUser(a)
	return UserToken{t.Value, t.refresh, t.Expires}, nil
}

// RevokeAuthorization does what a person does under Settings, Applications, Revoke: all their tokens end.
func (s *Server) RevokeAuthorization(login string) {
	defer s.flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.minted {
		if t.user != nil && lower(t.user.login) == lower(login) {
			s.revoke(t)
		}
	}
	if a := s.accounts[lower(login)]; a != nil {
		s.send(nil, a, "github_app_authorization", "revoked")
	}
}

// ExpireTokens lets the access tokens of a person run out; their refresh tokens stay good.
func (s *Server) ExpireTokens(login string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.minted {
		if t.user != nil && lower(t.user.login) == lower(login) && t.live(s.now()) {
			t.Expires = s.now()
		}
	}
}

// SpendRefresh uses a person's refresh tokens up, as a thief would, or a client whose answer was lost: access and refresh token end, and who has the
// new ones is not known here.
func (s *Server) SpendRefresh(login string) {
	defer s.flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	for value, r := range maps.Clone(s.refreshes) {
		if lower(r.user.login) == lower(login) {
			s.refreshToken(value)
		}
	}
}

// Tokens lists every token ever minted, in order.
func (s *Server) Tokens() []Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Token
	for _, t := range s.minted {
		record := t.Token
		record.Repositories = slices.Clone(t.Repositories)
		record.Permissions = maps.Clone(t.Permissions)
		list = append(list, record)
	}
	return list
}

// createInstallationToken answers POST /app/installations/{id}/access_tokens. Without a body, or with null, the
// token has all the installation has.
func (s *Server) createInstallationToken(c *call) *reply {
	i := s.installationByID(c.r.PathValue("id"))
	if i == nil {
		return notFound()
	}
	if !i.suspended.IsZero() {
		return thisSuspended()
	}
	var in struct {
		Repositories  []string          `json:"repositories"`
		RepositoryIDs []int64           `json:"repository_ids"`
		Permissions   map[string]string `json:"permissions"`
	}
	if rep := c.decode(&in); rep != nil {
		return rep
	}
	t := &token{installation: i, Token: Token{Account: i.account.login, Permissions: maps.Clone(s.cfg.App.Permissions)}}
	if in.Permissions != nil {
		t.Permissions = map[string]string{"metadata": "read"}
		for name, level := range in.Permissions {
			if roles[level] == none || roles[level] > roles[s.cfg.App.Permissions[name]] {
				return fail(422, "The permissions requested are not granted to this installation.")
			}
			t.Permissions[name] = level
		}
	}
	var repos []object
	if len(in.Repositories)+len(in.RepositoryIDs) > 0 {
		t.repos = map[*repository]bool{}
		reachable := s.reposOf(i)
		add := func(match func(*repository) bool) bool {
			n := slices.IndexFunc(reachable, match)
			if n < 0 {
				return false
			}
			if r := reachable[n]; !t.repos[r] {
				t.repos[r] = true
				t.Repositories = append(t.Repositories, r.full())
				repos = append(repos, s.repoJSON(r, c))
			}
			return true
		}
		found := true
		for _, name := range in.Repositories {
			found = add(func(r *repository) bool { return lower(r.name) == lower(name) }) && found
		}
		for _, id := range in.RepositoryIDs {
			found = add(func(r *repository) bool { return r.id == id }) && found
		}
		if !found {
			return fail(422, "There is at least one repository that does not exist or is not accessible to the parent installation.")
		}
	}
	s.mintInstallation(t)
	body := object{
		"token": t.Value, "expires_at": stamp(t.Expires), "permissions": t.Permissions,
		"repository_selection": s.tokenSelection(t),
	}
	if repos != nil {
		body["repositories"] = repos
	}
	return &reply{status: 201, body: body}
}

func (s *Server) deleteInstallationToken(c *call) *reply {
	s.revoke(c.token)
	return &reply{status: 204}
}

// random returns n random bytes.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

// letters returns n random letters and digits.
func letters(n int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	return pick(alphabet, n)
}

func pick(alphabet string, n int) string {
	b := make([]byte, n)
	for i := range b {
		k, err := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet))))
		if err != nil {
			panic(err) // the system's random source does not fail
		}
		b[i] = alphabet[k.Int64()]
	}
	return string(b)
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
