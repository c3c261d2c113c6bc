package githubtest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// object is a JSON object on its way out.
type object = map[string]any

// reply is the answer to a call.
type reply struct {
	status int
	body   any // nil: none
	header http.Header
	// modified is when what is described last changed, for single objects that know; others have no Last-Modified.
	modified time.Time
}

func ok(body any) *reply { return &reply{status: http.StatusOK, body: body} }

// fail is GitHub's error body. details become its errors: strings, or objects made by invalid and custom.
func fail(status int, message string, details ...any) *reply {
	body := object{
		"message": message, "documentation_url": "https://docs.github.com/rest", "status": strconv.Itoa(status),
	}
	if len(details) > 0 {
		body["errors"] = details
	}
	return &reply{status: status, body: body}
}

func notFound() *reply { return fail(http.StatusNotFound, "Not Found") }

// notIntegration is what an App's token without the permission gets.
func notIntegration() *reply {
	return fail(http.StatusForbidden, "Resource not accessible by integration")
}

// validation is a 422 with one detail.
func validation(detail object) *reply {
	return fail(http.StatusUnprocessableEntity, "Validation Failed", detail)
}

func invalid(resource, field string) object {
	return object{"resource": resource, "field": field, "code": "invalid"}
}

func missing(resource, field string) object {
	return object{"resource": resource, "field": field, "code": "missing_field"}
}

func custom(resource, message string) object {
	return object{"resource": resource, "code": "custom", "message": message}
}

// broken is what git's failure in a handler comes to. It can only be met when the repository's directory has been
// tampered with.
func broken(err error) *reply { return fail(http.StatusInternalServerError, err.Error()) }

// call is one REST request on its way through.
type call struct {
	s       *Server
	r       *http.Request
	body    []byte
	token   *token   // nil for an App's JWT and for nobody
	account *account // who acts; nil likewise
	repo    *repository
	pull    *pull
}

// decode reads the body into in; no body, and null, leave it as it is.
func (c *call) decode(in any) *reply {
	if len(c.body) == 0 {
		return nil
	}
	if err := json.Unmarshal(c.body, in); err != nil {
		return fail(http.StatusBadRequest, "Problems parsing JSON")
	}
	return nil
}

// window cuts a list to the page asked for (30 entries by default, 100 at most) and makes GitHub's Link header.
func (c *call) window(list []object) ([]object, http.Header) {
	query := c.r.URL.Query()
	number := func(name string, otherwise int) int {
		if n, err := strconv.Atoi(query.Get(name)); err == nil && n > 0 {
			return n
		}
		return otherwise
	}
	size, page := min(number("per_page", 30), 100), number("page", 1)
	last := max((len(list)+size-1)/size, 1)
	var links []string
	link := func(rel string, page int) {
		query.Set("page", strconv.Itoa(page))
		links = append(links, fmt.Sprintf(`<%s%s?%s>; rel="%s"`, c.s.base, c.r.URL.EscapedPath(), query.Encode(), rel))
	}
	if page > 1 {
		link("prev", page-1)
	}
	if page < last {
		link("next", page+1)
		link("last", last)
	}
	if page > 1 {
		link("first", 1)
	}
	header := http.Header{}
	if len(links) > 0 {
		header.Set("Link", strings.Join(links, ", "))
	}
	start := min((page-1)*size, len(list))
	cut := make([]object, 0, size) // an empty list is [], not null
	return append(cut, list[start:min(start+size, len(list))]...), header
}

// page answers with one page of a list.
func (c *call) page(list []object) *reply {
	cut, header := c.window(list)
	return &reply{status: http.StatusOK, body: cut, header: header}
}

// pageOf answers with one page of a list under a name, beside the list's full length.
func (c *call) pageOf(name string, list []object) *reply {
	cut, header := c.window(list)
	return &reply{status: http.StatusOK, body: object{"total_count": len(list), name: cut}, header: header}
}

// api is the base of REST addresses.
func (s *Server) api() string { return s.base + "/api/v3" }

// maxBody is the largest REST body taken.
const maxBody = 10 << 20

// serve runs one route: body, fault, authentication, work, fault, conditional answer, validation.
func (s *Server) serve(rt route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			http.Error(w, "request too large", http.StatusRequestEntityTooLarge)
			return
		}
		repo := ""
		if name := r.PathValue("repo"); name != "" {
			repo = r.PathValue("owner") + "/" + name
		}
		told := s.begin(rt.pattern, r, body, repo)
		if s.faulted(w, told, nil) {
			return
		}
		rep, header := s.work(rt, &call{s: s, r: r, body: body}, repo)
		s.flush()
		told.After, told.Status = true, rep.status
		answer := finish(r, rep, header)
		if s.faulted(w, told, &buffer{header: header, status: rep.status, body: *bytes.NewBuffer(answer)}) {
			return
		}
		if s.cfg.Validate != nil {
			s.cfg.Validate(r, body, rep.status, header, answer)
		}
		maps.Copy(w.Header(), header)
		if rep.status != http.StatusNotModified && rep.status != http.StatusNoContent {
			w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		}
		w.WriteHeader(rep.status)
		_, _ = w.Write(answer) // a client that left is its own affair; a 304 or 204 takes no body
	}
}

// work authenticates and runs the handler with mu held, and returns its reply and the headers so far. Routes that
// move refs first take the repository's refs lock, which pushes hold while git works.
func (s *Server) work(rt route, c *call, repo string) (*reply, http.Header) {
	if rt.refs {
		s.mu.Lock()
		r := s.repos[lower(repo)]
		s.mu.Unlock()
		if r != nil {
			r.refsMu.Lock()
			defer r.refsMu.Unlock()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	header := http.Header{"X-Github-Api-Version-Selected": {"2022-11-28"}, "X-Github-Request-Id": {fmt.Sprintf("%X", s.id())}}
	if rep := s.authenticate(rt, c); rep != nil {
		return rep, header
	}
	limit := s.limitOf(c)
	limit.describe(header)
	if limit.used >= limit.max {
		return fail(http.StatusForbidden, "API rate limit exceeded for "+limit.who+"."), header
	}
	rep := s.authorize(rt, c)
	if rep == nil {
		rep = rt.handle(s, c)
	}
	maps.Copy(header, rep.header)
	if s.cfg.NoLastModified {
		rep.modified = time.Time{}
	}
	if !rep.modified.IsZero() {
		header.Set("Last-Modified", rep.modified.Format(http.TimeFormat))
	}
	if c.r.Method == http.MethodGet && rep.status == http.StatusOK {
		tag := etag(c, rep)
		header.Set("ETag", tag)
		if unchanged(c.r, tag, rep.modified) {
			rep = &reply{status: http.StatusNotModified}
		}
	}
	if rt.pattern != "GET /rate_limit" { // which costs nothing
		limit.spend(c.r, rep.status, s.now())
	}
	limit.describe(header)
	return rep, header
}

// unchanged judges a conditional request. One that has both conditions goes by the tag.
func unchanged(r *http.Request, tag string, modified time.Time) bool {
	if known := r.Header.Get("If-None-Match"); known != "" {
		return strings.Contains(known, tag)
	}
	since, err := http.ParseTime(r.Header.Get("If-Modified-Since"))
	return err == nil && !modified.IsZero() && !modified.Truncate(time.Second).After(since)
}

// etag names an answer; as on GitHub another token gets another one.
func etag(c *call, rep *reply) string {
	sum := sha256.New()
	_, _ = io.WriteString(sum, c.r.Header.Get("Authorization")+"\n"+c.r.URL.RequestURI()+"\n") // a hash takes all
	_, _ = sum.Write(marshal(rep.body))
	return `W/"` + base64.RawURLEncoding.EncodeToString(sum.Sum(nil)) + `"`
}

// finish renders the body.
func finish(r *http.Request, rep *reply, header http.Header) []byte {
	if rep.body == nil || r.Method == http.MethodHead {
		return nil
	}
	header.Set("Content-Type", "application/json; charset=utf-8")
	return marshal(rep.body)
}

// marshal renders what the handlers build, which always can be.
func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
