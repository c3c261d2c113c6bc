package openapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// slimmed is the number of how slim cuts and amends: a change of it that operations do not show takes the next one.
const slimmed = "2"

// operations are the ones that githubtest serves, as the description names them.
var operations = []string{
	"GET /app",
	"GET /app/installations",
	"GET /app/installations/{installation_id}",
	"POST /app/installations/{installation_id}/access_tokens",
	"GET /orgs/{org}/installation",
	"GET /users/{username}/installation",
	"GET /repos/{owner}/{repo}/installation",
	"GET /installation/repositories",
	"DELETE /installation/token",
	"GET /rate_limit",
	"GET /user",
	"GET /user/installations",
	"GET /user/installations/{installation_id}/repositories",
	"GET /users/{username}",
	"GET /repos/{owner}/{repo}",
	"GET /repos/{owner}/{repo}/collaborators/{username}/permission",
	"GET /repos/{owner}/{repo}/branches",
	"GET /repos/{owner}/{repo}/branches/{branch}",
	"GET /repos/{owner}/{repo}/git/ref/{ref}",
	"GET /repos/{owner}/{repo}/git/matching-refs/{ref}",
	"POST /repos/{owner}/{repo}/git/refs",
	"PATCH /repos/{owner}/{repo}/git/refs/{ref}",
	"DELETE /repos/{owner}/{repo}/git/refs/{ref}",
	"GET /repos/{owner}/{repo}/commits",
	"GET /repos/{owner}/{repo}/commits/{ref}",
	"GET /repos/{owner}/{repo}/commits/{ref}/check-runs",
	"GET /repos/{owner}/{repo}/commits/{ref}/status",
	"GET /repos/{owner}/{repo}/compare/{basehead}",
	"GET /repos/{owner}/{repo}/contents/{path}",
	"POST /repos/{owner}/{repo}/statuses/{sha}",
	"POST /repos/{owner}/{repo}/check-runs",
	"GET /repos/{owner}/{repo}/pulls",
	"POST /repos/{owner}/{repo}/pulls",
	"GET /repos/{owner}/{repo}/pulls/{pull_number}",
	"PATCH /repos/{owner}/{repo}/pulls/{pull_number}",
	"GET /repos/{owner}/{repo}/pulls/{pull_number}/commits",
	"GET /repos/{owner}/{repo}/pulls/{pull_number}/files",
	"GET /repos/{owner}/{repo}/pulls/{pull_number}/merge",
	"PUT /repos/{owner}/{repo}/pulls/{pull_number}/merge",
	"GET /repos/{owner}/{repo}/pulls/{pull_number}/reviews",
	"POST /repos/{owner}/{repo}/pulls/{pull_number}/reviews",
	"GET /repos/{owner}/{repo}/pulls/{pull_number}/reviews/{review_id}/comments",
	"GET /repos/{owner}/{repo}/pulls/{pull_number}/comments",
	"POST /repos/{owner}/{repo}/pulls/{pull_number}/comments",
	"GET /repos/{owner}/{repo}/issues/{issue_number}/comments",
	"POST /repos/{owner}/{repo}/issues/{issue_number}/comments",
}

// tree is a JSON object of the description.
type tree = map[string]any

// slim cuts the description to the operations and what they refer to: a fiftieth of it, which loads in a fraction of a second.
func slim(whole []byte) ([]byte, error) {
	var doc tree
	if err := json.Unmarshal(whole, &doc); err != nil {
		return nil, err
	}
	if err := amend(doc); err != nil {
		return nil, err
	}
	paths := tree{}
	for _, op := range operations {
		method, path, _ := strings.Cut(op, " ")
		item, _ := doc["paths"].(tree)[path].(tree)
		found := item[strings.ToLower(method)]
		if found == nil {
			return nil, fmt.Errorf("the description has no operation %q", op)
		}
		kept, _ := paths[path].(tree)
		if kept == nil {
			kept = tree{}
			paths[path] = kept
		}
		kept[strings.ToLower(method)] = found
		if shared := item["parameters"]; shared != nil {
			kept["parameters"] = shared
		}
	}
	components := tree{}
	for pending := references(paths, nil); len(pending) > 0; {
		ref := pending[0]
		pending = pending[1:]
		kind, name, _ := strings.Cut(strings.TrimPrefix(ref, "#/components/"), "/")
		of, _ := components[kind].(tree)
		if of == nil {
			of = tree{}
			components[kind] = of
		}
		if of[name] != nil {
			continue
		}
		all, _ := doc["components"].(tree)[kind].(tree)
		if of[name] = all[name]; of[name] == nil {
			return nil, fmt.Errorf("the description refers to %s, which is not there", ref)
		}
		pending = references(of[name], pending)
	}
	return json.Marshal(tree{"openapi": doc["openapi"], "info": doc["info"], "paths": paths, "components": components})
}

// amend mends the description where it says what cannot be, or what GitHub does not do.
func amend(doc tree) error {
	at := func(keys ...string) tree {
		v := doc
		for _, key := range keys {
			v, _ = v[key].(tree) // the last one that is there, or nil
		}
		return v
	}
	schemas := []string{"components", "schemas"}
	// Each account would be a user and an enterprise at once.
	installations := at("paths", "/app/installations", "get", "responses", "200", "content", "application/json", "schema")
	// A comment whose line has changed since has none any more.
	line := at(append(schemas, "pull-request-review-comment", "properties", "line")...)
	position := at(append(schemas, "pull-request-review-comment", "properties", "position")...)
	// A reply needs its text only, as its in_reply_to says itself.
	comment := at("paths", "/repos/{owner}/{repo}/pulls/{pull_number}/comments", "post", "requestBody", "content", "application/json", "schema")
	if installations == nil || line == nil || position == nil || comment == nil {
		return errors.New("what is to be amended is not there")
	}
	installations["items"] = tree{"$ref": "#/components/schemas/installation"}
	line["nullable"], position["nullable"] = true, true
	comment["required"] = []any{"body"}
	return nil
}

// references adds those of v to list, and takes the examples out, which are most of the description.
func references(v any, list []string) []string {
	switch v := v.(type) {
	case tree:
		delete(v, "examples")
		if ref, is := v["$ref"].(string); is {
			list = append(list, ref)
		}
		for _, sub := range v {
			list = references(sub, list)
		}
	case []any:
		for _, sub := range v {
			list = references(sub, list)
		}
	}
	return list
}
