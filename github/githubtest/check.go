package githubtest

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// CheckRun is one check on a commit, as GitHub Actions and others report them.
type CheckRun struct {
	Name       string
	Status     string // queued, in_progress or completed; "" means completed
	Conclusion string // success, failure, neutral, cancelled, skipped, timed_out or action_required; only if completed
	Title      string
	Summary    string
	URL        string // where its details are; "" means its own page
}

// Status is one classic commit status.
type Status struct {
	Context     string // "" means "default"
	State       string // error, failure, pending or success
	Description string
	URL         string
}

type checkRun struct {
	CheckRun
	id                 int64
	sha                string
	started, completed time.Time
}

type status struct {
	Status
	id      int64
	sha     string
	creator *account
	at      time.Time
}

// SetCheckRun reports a check on a commit of "owner/name", given by SHA, branch or tag. One of the same name there
// is replaced.
func (s *Server) SetCheckRun(repo, ref string, run CheckRun) error {
	defer s.flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	r, sha, err := s.commitOf(repo, ref)
	if err != nil {
		return fmt.Errorf("set check run: %w", err)
	}
	s.setCheckRun(r, sha, run)
	return nil
}

// SetStatus reports a classic status likewise.
func (s *Server) SetStatus(repo, ref string, st Status) error {
	defer s.flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	r, sha, err := s.commitOf(repo, ref)
	if err != nil {
		return fmt.Errorf("set status: %w", err)
	}
	s.setStatus(r, sha, r.owner, st)
	return nil
}

func (s *Server) commitOf(repo, ref string) (*repository, string, error) {
	r, err := s.find(repo)
	if err != nil {
		return nil, "", err
	}
	sha := s.resolve(r, ref)
	if sha == "" {
		return nil, "", fmt.Errorf("no commit %q in %s", ref, repo)
	}
	return r, sha, nil
}

func (s *Server) setCheckRun(r *repository, sha string, run CheckRun) *checkRun {
	run.Status = cmp.Or(run.Status, "completed")
	c := &checkRun{CheckRun: run, id: s.id(), sha: sha, started: s.now()}
	if run.Status == "completed" {
		c.completed = s.now()
	}
	r.runs = slices.DeleteFunc(r.runs, func(old *checkRun) bool { return old.sha == sha && old.Name == run.Name })
	r.runs = append(r.runs, c)
	action := "created"
	if run.Status == "completed" {
		action = "completed"
	}
	s.notify(r, nil, "check_run", action, object{"check_run": s.checkRunJSON(r, c)})
	s.tell(Event{Kind: ChecksChanged, Repo: r.full(), SHA: sha})
	return c
}

func (s *Server) setStatus(r *repository, sha string, who *account, st Status) *status {
	st.Context = cmp.Or(st.Context, "default")
	n := &status{Status: st, id: s.id(), sha: sha, creator: who, at: s.now()}
	r.statuses = slices.DeleteFunc(r.statuses, func(old *status) bool { return old.sha == sha && old.Context == st.Context })
	r.statuses = append(r.statuses, n)
	s.notify(r, who, "status", "", object{"id": n.id, "sha": sha, "name": r.full(), "state": st.State, "context": st.Context, "description": orNil(st.Description), "target_url": orNil(st.URL)})
	s.tell(Event{Kind: ChecksChanged, Repo: r.full(), Login: who.login, SHA: sha})
	return n
}

// green are the conclusions of a check run that do not forbid a merge.
var green = map[string]bool{"success": true, "neutral": true, "skipped": true}

// green reports whether nothing on a commit is pending or has failed.
func (r *repository) green(sha string) bool {
	for _, run := range r.runs {
		if run.sha == sha && !green[run.Conclusion] {
			return false
		}
	}
	state, list := r.combined(sha)
	return len(list) == 0 || state == "success"
}

// combined is a commit's statuses and what they come to; GitHub calls none at all pending.
func (r *repository) combined(sha string) (string, []*status) {
	state := "success"
	var list []*status
	for _, st := range r.statuses {
		if st.sha != sha {
			continue
		}
		list = append(list, st)
		switch {
		case st.State == "failure" || st.State == "error":
			state = "failure"
		case st.State == "pending" && state == "success":
			state = "pending"
		}
	}
	if len(list) == 0 {
		state = "pending"
	}
	return state, list
}

func (s *Server) checkRunJSON(r *repository, run *checkRun) object {
	api := r.api(s) + "/check-runs/" + itoa(run.id)
	page := fmt.Sprintf("%s/%s/runs/%d", s.base, r.full(), run.id)
	pulls := []object{}
	for _, p := range r.pulls {
		if p.state == "open" && p.headSHA == run.sha {
			end := func(branch, sha string) object {
				return object{"ref": branch, "sha": sha, "repo": object{"id": r.id, "url": r.api(s), "name": r.name}}
			}
			pulls = append(pulls, object{
				"id": p.id, "number": p.number, "url": p.api(s, r), "head": end(p.head, p.headSHA), "base": end(p.base, p.baseSHA),
			})
		}
	}
	return object{
		"id": run.id, "node_id": node("CR", run.id), "head_sha": run.sha, "external_id": "", "name": run.Name,
		"url": api, "html_url": page, "details_url": cmp.Or(run.URL, page), "status": run.Status,
		"conclusion": orNil(run.Conclusion), "started_at": stamp(run.started), "completed_at": stampOrNil(run.completed),
		"output": object{
			"title": orNil(run.Title), "summary": orNil(run.Summary), "text": nil, "annotations_count": 0,
			"annotations_url": api + "/annotations",
		},
		"check_suite": object{"id": r.id}, "app": s.appJSON(), "pull_requests": pulls,
	}
}

func (s *Server) listCheckRuns(c *call, sha string) *reply {
	query := c.r.URL.Query()
	var list []object
	for _, run := range c.repo.runs {
		name, state := query.Get("check_name"), query.Get("status")
		if run.sha == sha && (name == "" || name == run.Name) && (state == "" || state == run.Status) {
			list = append(list, s.checkRunJSON(c.repo, run))
		}
	}
	return c.pageOf("check_runs", list)
}

func (s *Server) createCheckRun(c *call) *reply {
	var in struct {
		Name, Status, Conclusion string
		HeadSHA                  string `json:"head_sha"`
		DetailsURL               string `json:"details_url"`
		Output                   struct{ Title, Summary string }
	}
	if rep := c.decode(&in); rep != nil {
		return rep
	}
	sha := s.resolve(c.repo, in.HeadSHA)
	if in.Name == "" || sha == "" {
		return validation(invalid("CheckRun", "head_sha"))
	}
	if in.Conclusion == "" {
		in.Status = cmp.Or(in.Status, "queued")
	}
	run := s.setCheckRun(c.repo, sha, CheckRun{
		Name: in.Name, Status: in.Status, Conclusion: in.Conclusion, Title: in.Output.Title, Summary: in.Output.Summary,
		URL: in.DetailsURL,
	})
	return &reply{status: http.StatusCreated, body: s.checkRunJSON(c.repo, run)}
}

func (s *Server) statusJSON(r *repository, st *status) object {
	return object{
		"id": st.id, "node_id": node("SC", st.id), "state": st.State, "context": st.Context,
		"description": orNil(st.Description), "target_url": orNil(st.URL), "avatar_url": st.creator.json(s)["avatar_url"],
		"url": r.api(s) + "/statuses/" + st.sha, "created_at": stamp(st.at), "updated_at": stamp(st.at),
	}
}

func (s *Server) combinedStatus(c *call, sha string) *reply {
	state, statuses := c.repo.combined(sha)
	var list []object
	for _, st := range statuses {
		list = append(list, s.statusJSON(c.repo, st))
	}
	rep := c.pageOf("statuses", list)
	o := rep.body.(object)
	o["state"], o["sha"], o["repository"] = state, sha, s.briefJSON(c.repo)
	o["commit_url"], o["url"] = c.repo.api(s)+"/commits/"+sha, c.repo.api(s)+"/commits/"+sha+"/status"
	return rep
}

func (s *Server) createStatus(c *call) *reply {
	var in struct {
		State, Context, Description string
		TargetURL                   string `json:"target_url"`
	}
	if rep := c.decode(&in); rep != nil {
		return rep
	}
	sha := s.resolve(c.repo, c.r.PathValue("sha"))
	if sha == "" {
		return fail(http.StatusUnprocessableEntity, "No commit found for SHA: "+c.r.PathValue("sha"))
	}
	if !slices.Contains([]string{"error", "failure", "pending", "success"}, in.State) {
		return validation(invalid("Status", "state"))
	}
	st := s.setStatus(c.repo, sha, c.account, Status{in.Context, in.State, in.Description, in.TargetURL})
	o := s.statusJSON(c.repo, st)
	o["creator"] = c.account.json(s)
	return &reply{status: http.StatusCreated, body: o}
}
