package openapi

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// Checker judges calls by GitHub's description. It may be used from several goroutines.
type Checker struct {
	doc   *openapi3.T
	paths []path // the one with the most literal text first
}

// path is one of the description's, as what it matches below /api/v3.
type path struct {
	name   string
	params []string
	match  *regexp.Regexp
	item   *openapi3.PathItem
}

// Load reads the description, after npm has fetched it if need be.
func Load(ctx context.Context) (*Checker, error) {
	sum := sha256.Sum256([]byte(slimmed + strings.Join(operations, "\n")))
	cut, err := cached("slim-"+version+"-"+hex.EncodeToString(sum[:6])+".json", func() ([]byte, error) {
		whole, err := cached("whole-"+version+".json", func() ([]byte, error) { return fetch(ctx) })
		if err != nil {
			return nil, err
		}
		return slim(whole)
	})
	if err != nil {
		return nil, fmt.Errorf("load GitHub's OpenAPI description: %w", err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(cut)
	if err != nil {
		return nil, fmt.Errorf("load GitHub's OpenAPI description: %w", err)
	}
	c := &Checker{doc: doc}
	for name, item := range doc.Paths.Map() {
		c.paths = append(c.paths, compile(name, item))
	}
	slices.SortFunc(c.paths, func(a, b path) int {
		return cmp.Or(cmp.Compare(literal(b.name), literal(a.name)), strings.Compare(a.name, b.name))
	})
	return c, nil
}

var parameter = regexp.MustCompile(`\{(\w+)\}`)

// literal is how much of a path is not a parameter.
func literal(name string) int { return len(parameter.ReplaceAllString(name, "")) }

// compile makes a path of a name. The description has no word for it, but names of refs and files hold slashes.
func compile(name string, item *openapi3.PathItem) path {
	p := path{name: name, item: item}
	pattern, at := "^", 0
	for _, m := range parameter.FindAllStringSubmatchIndex(name, -1) {
		param := name[m[2]:m[3]]
		pattern += regexp.QuoteMeta(name[at:m[0]])
		switch param {
		case "ref", "branch", "path", "basehead":
			pattern += "(.*)"
		default:
			pattern += "([^/]+)"
		}
		p.params = append(p.params, param)
		at = m[1]
	}
	p.match = regexp.MustCompile(pattern + regexp.QuoteMeta(name[at:]) + "$")
	return p
}

// route finds the operation that a request is for.
func (c *Checker) route(r *http.Request) (*routers.Route, map[string]string, error) {
	below, ok := strings.CutPrefix(r.URL.EscapedPath(), "/api/v3")
	for _, p := range c.paths {
		m := p.match.FindStringSubmatch(below)
		op := p.item.GetOperation(r.Method)
		if !ok || m == nil || op == nil {
			continue
		}
		params := map[string]string{}
		for i, name := range p.params {
			value, err := url.PathUnescape(m[i+1])
			if err != nil {
				return nil, nil, err
			}
			params[name] = value
		}
		return &routers.Route{Spec: c.doc, Path: p.name, PathItem: p.item, Method: r.Method, Operation: op}, params, nil
	}
	return nil, nil, errors.New("GitHub has no such operation, or it is not on the list of those that are looked at")
}

// Check returns what is wrong with a call, in terms of the description; nil if nothing is. Its arguments are those of githubtest.Config.Validate.
func (c *Checker) Check(r *http.Request, body []byte, status int, header http.Header, answer []byte) error {
	err := c.check(r, body, status, header, answer)
	if err != nil {
		return fmt.Errorf("%s %s, answered %d: %w\nbody: %.2000s\nanswer: %.2000s", r.Method, r.URL.RequestURI(), status, err, body, answer)
	}
	return nil
}

func (c *Checker) check(r *http.Request, body []byte, status int, header http.Header, answer []byte) error {
	route, params, err := c.route(r)
	if err != nil {
		return err
	}
	options := &openapi3filter.Options{MultiError: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}
	sent := r.Clone(r.Context())
	sent.Body = io.NopCloser(bytes.NewReader(body))
	in := &openapi3filter.RequestValidationInput{Request: sent, PathParams: params, Route: route, Options: options}
	// A request that is refused as invalid may well be.
	if status != http.StatusUnprocessableEntity && status != http.StatusBadRequest {
		if err := errors.Join(undescribed(route, r.URL.Query(), body), openapi3filter.ValidateRequest(r.Context(), in)); err != nil {
			return fmt.Errorf("request: %w", err)
		}
	}
	if route.Operation.Responses.Status(status) == nil {
		return nil
	}
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: status, Header: header, Body: io.NopCloser(bytes.NewReader(answer)), Options: options,
	}
	if err := openapi3filter.ValidateResponse(r.Context(), out); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	return nil
}

// undescribed finds what a request says that the description does not know, which it would let pass.
func undescribed(route *routers.Route, query url.Values, body []byte) error {
	known := map[string]bool{}
	for _, list := range []openapi3.Parameters{route.PathItem.Parameters, route.Operation.Parameters} {
		for _, p := range list {
			known[p.Value.In+" "+p.Value.Name] = true
		}
	}
	var errs []error
	for name := range query {
		if !known["query "+name] {
			errs = append(errs, fmt.Errorf("there is no parameter %q", name))
		}
	}
	if route.Operation.RequestBody == nil {
		if len(body) > 0 {
			errs = append(errs, errors.New("it has a body"))
		}
		return errors.Join(errs...)
	}
	media := route.Operation.RequestBody.Value.Content.Get("application/json")
	var fields map[string]json.RawMessage
	if media == nil || len(media.Schema.Value.Properties) == 0 || json.Unmarshal(body, &fields) != nil {
		return errors.Join(errs...)
	}
	for name := range fields {
		if media.Schema.Value.Properties[name] == nil {
			errs = append(errs, fmt.Errorf("there is no field %q in its body", name))
		}
	}
	return errors.Join(errs...)
}
