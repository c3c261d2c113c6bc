package githubtest

import (
	"maps"
	"strconv"
)

// association is how GitHub names somebody's relation to a repository. It does not say what they may do there: members and collaborators may be readers.
func association(a *account, r *repository) string {
	switch {
	case a == r.owner:
		return "OWNER"
	case a.kind == "Bot":
		return "NONE"
	case r.owner.kind == "Organization" && (a.member[lower(r.owner.login)] || a.role(r) >= write):
		return "MEMBER"
	case a.role(r) >= read:
		return "COLLABORATOR"
	}
	return "NONE"
}

func (p *pull) api(s *Server, r *repository) string {
	return r.api(s) + "/pulls/" + strconv.Itoa(p.number)
}

func (p *pull) page(s *Server, r *repository) string {
	return s.base + "/" + r.full() + "/pull/" + strconv.Itoa(p.number)
}

// orNil is null for no text, as GitHub stores it.
func orNil(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// pullJSON is GitHub's pull-request-simple, the form it has in lists.
func (s *Server) pullJSON(r *repository, p *pull, c *call) object {
	api, page := p.api(s, r), p.page(s, r)
	issue := r.api(s) + "/issues/" + strconv.Itoa(p.number)
	end := func(branch, sha string) object {
		return object{
			"label": r.owner.login + ":" + branch, "ref": branch, "sha": sha, "user": r.owner.json(s), "repo": s.repoJSON(r, c),
		}
	}
	links := object{
		"self": api, "html": page, "issue": issue, "comments": issue + "/comments", "review_comments": api + "/comments",
		"review_comment": r.api(s) + "/pulls/comments{/number}", "commits": api + "/commits",
		"statuses": r.api(s) + "/statuses/" + p.headSHA,
	}
	hrefs := object{}
	for name, link := range links {
		hrefs[name] = object{"href": link}
	}
	o := object{
		"id": p.id, "node_id": node("PR", p.id), "number": p.number, "state": p.state, "locked": p.locked,
		"title": p.title, "body": orNil(p.body), "user": p.author.json(s), "draft": p.draft,
		"author_association": association(p.author, r), "head": end(p.head, p.headSHA), "base": end(p.base, p.baseSHA),
		"url": api, "html_url": page, "diff_url": page + ".diff", "patch_url": page + ".patch", "issue_url": issue,
		"commits_url": api + "/commits", "review_comments_url": api + "/comments",
		"review_comment_url": r.api(s) + "/pulls/comments{/number}", "comments_url": issue + "/comments",
		"statuses_url": r.api(s) + "/statuses/" + p.headSHA, "_links": hrefs, "active_lock_reason": nil,
		"assignee": nil, "assignees": []object{}, "requested_reviewers": []object{}, "requested_teams": []object{},
		"labels": []object{}, "milestone": nil, "auto_merge": nil, "merge_commit_sha": orNil(p.mergeSHA), "merged_at": nil,
		"created_at": stamp(p.created), "updated_at": stamp(p.updated), "closed_at": stampOrNil(p.closed),
	}
	if p.merged {
		o["merged_at"] = stamp(p.closed)
	}
	return o
}

// fullPullJSON is GitHub's pull-request. Whether it can be merged GitHub finds out in the background: the first
// answer after a branch moved says null.
func (s *Server) fullPullJSON(r *repository, p *pull, c *call) object {
	s.measure(r, p)
	o := s.pullJSON(r, p, c)
	maps.Copy(o, object{
		"merged": p.merged, "mergeable": nil, "mergeable_state": "unknown", "rebaseable": nil, "merged_by": nil,
		"comments": len(p.comments), "review_comments": len(p.lineComments(nil)), "maintainer_can_modify": false, "commits": p.size.commits,
		"additions": p.size.added, "deletions": p.size.deleted, "changed_files": p.size.files,
	})
	if p.mergedBy != nil {
		o["merged_by"] = p.mergedBy.json(s)
	}
	if p.state == "open" {
		if p.settled == p.sizeOf {
			o["mergeable"], o["rebaseable"], o["mergeable_state"] = p.size.mergeable, p.size.mergeable, s.mergeState(r, p)
		}
		p.settled = p.sizeOf
	}
	return o
}

func (s *Server) mergeState(r *repository, p *pull) string {
	switch {
	case !p.size.mergeable:
		return "dirty"
	case p.draft:
		return "draft"
	case s.blocked(r, p) != "":
		return "blocked"
	case !r.green(p.headSHA):
		return "unstable"
	}
	return "clean"
}
