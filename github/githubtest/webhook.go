package githubtest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"
)

// Delivery is one webhook that was sent, or is about to be.
type Delivery struct {
	ID      string // X-GitHub-Delivery
	Event   string // X-GitHub-Event
	Action  string
	Payload []byte
	Status  int   // of the answer; 0 as long as there is none
	Err     error // why there was none
}

// webhook is where deliveries go.
type webhook struct {
	url, secret string
}

// deliveryTime is how long GitHub waits for an answer; docs.github.com, "Best practices for using webhooks".
const deliveryTime = 10 * time.Second

// SetWebhook sets where the App's webhooks go from now on, and the secret they are signed with; without one they are not signed. An empty url, as in
// the beginning, sends none, and what happens meanwhile is lost. They are sent one at a time, in order, once each: GitHub does not try again.
func (s *Server) SetWebhook(url, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = webhook{url, secret}
}

// Deliveries lists the webhooks so far, in order.
func (s *Server) Deliveries() []Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Delivery, 0, len(s.deliveries))
	for _, d := range s.deliveries {
		list = append(list, *d)
	}
	return list
}

// Redeliver sends one once more, with the same id, as the button on GitHub's page does, and somebody who has recorded it.
func (s *Server) Redeliver(id string) error {
	defer s.flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.deliveries {
		if d.ID == id {
			again := *d
			again.Status, again.Err = 0, nil
			s.enqueue(&again)
			return nil
		}
	}
	return fmt.Errorf("no delivery %q", id)
}

// notify makes a webhook of what happened in a repository the App is installed on. The caller holds mu and calls flush after it has let go.
func (s *Server) notify(r *repository, sender *account, event, action string, fields object) {
	if s.hook.url == "" || r == nil || !r.installed {
		return
	}
	payload := object{"repository": s.repoJSON(r, nil)}
	s.send(s.install(r.owner), sender, event, action, payload, fields)
}

// send makes a webhook of what concerns an installation; nil: the App alone.
func (s *Server) send(i *installation, sender *account, event, action string, payloads ...object) {
	if s.hook.url == "" {
		return
	}
	payload := object{}
	for _, p := range payloads {
		maps.Copy(payload, p)
	}
	if sender != nil {
		payload["sender"] = sender.json(s)
	}
	if i != nil && payload["installation"] == nil {
		payload["installation"] = object{"id": i.id, "node_id": node("I", i.id)}
	}
	if i != nil && i.account.kind == "Organization" {
		payload["organization"] = object{"login": i.account.login, "id": i.account.id, "node_id": node("O", i.account.id), "url": s.api() + "/orgs/" + i.account.login}
	}
	if action != "" {
		payload["action"] = action
	}
	b := random(16)
	id := fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
	s.enqueue(&Delivery{ID: id, Event: event, Action: action, Payload: marshal(payload)})
}

func (s *Server) enqueue(d *Delivery) {
	s.deliveries = append(s.deliveries, d)
	s.outgoing = append(s.outgoing, d)
}

// deliver sends what is to be sent, unless another goroutine is at it. The caller holds mu.
func (s *Server) deliver() {
	if s.delivering || len(s.outgoing) == 0 {
		return
	}
	select {
	case <-s.closing:
		return
	default:
	}
	s.delivering = true
	s.senders.Go(func() {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go func() {
			select {
			case <-s.closing:
				cancel()
			case <-ctx.Done():
			}
		}()
		s.mu.Lock()
		defer s.mu.Unlock()
		for ; len(s.outgoing) > 0 && ctx.Err() == nil; s.outgoing = s.outgoing[1:] {
			d, hook := s.outgoing[0], s.hook
			s.mu.Unlock()
			status, err := hook.post(ctx, d)
			s.mu.Lock()
			d.Status, d.Err = status, err
			close(s.changed) // for Wait
			s.changed = make(chan struct{})
		}
		s.delivering = false
	})
}

func (h webhook) post(ctx context.Context, d *Delivery) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, deliveryTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(d.Payload))
	if err != nil {
		return 0, err
	}
	for name, value := range map[string]string{
		"Accept": "*/*", "Content-Type": "application/json", "User-Agent": "GitHub-Hookshot/044aadd", "X-GitHub-Delivery": d.ID, "X-GitHub-Event": d.Event,
		"X-GitHub-Hook-ID": "1", "X-GitHub-Hook-Installation-Target-Type": "integration",
	} {
		req.Header.Set(name, value)
	}
	if h.secret != "" {
		req.Header.Set("X-Hub-Signature", "sha1="+h.sign(sha1.New, d.Payload))
		req.Header.Set("X-Hub-Signature-256", "sha256="+h.sign(sha256.New, d.Payload))
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)) // so that the connection can be used again
	return resp.StatusCode, nil
}

func (h webhook) sign(algorithm func() hash.Hash, payload []byte) string {
	mac := hmac.New(algorithm, []byte(h.secret))
	mac.Write(payload)
	return hex.EncodeToString(mac.Sum(nil))
}

// pullActions are what GitHub calls what happens to pull requests.
var pullActions = map[EventKind]string{
	PullOpened: "opened", PullEdited: "edited", PullSynced: "synchronize", PullClosed: "closed", PullMerged: "closed", PullReopened: "reopened",
}

// notifyPull makes the webhook of an event of a pull request, if it is one.
func (s *Server) notifyPull(e Event) {
	action := pullActions[e.Kind]
	r := s.repos[lower(e.Repo)]
	if s.hook.url == "" || action == "" || r == nil {
		return
	}
	p := r.pullNumber(e.Number)
	s.notify(r, s.accounts[lower(e.Login)], "pull_request", action, object{"number": p.number, "pull_request": s.hookPullJSON(r, p)})
}

// hookPullJSON is the pull request as webhooks have it. Whether it can be merged is never known by then.
func (s *Server) hookPullJSON(r *repository, p *pull) object {
	o := s.pullJSON(r, p, nil)
	maps.Copy(o, object{"merged": p.merged, "mergeable": nil, "mergeable_state": "unknown", "merged_by": nil})
	if p.mergedBy != nil {
		o["merged_by"] = p.mergedBy.json(s)
	}
	return o
}

// notifyReview makes the webhooks of a review and of its comments.
func (s *Server) notifyReview(r *repository, p *pull, v *review, who *account, action string) {
	if s.hook.url == "" || v.state == "PENDING" {
		return
	}
	o := s.reviewJSON(r, p, v)
	o["state"] = strings.ToLower(v.state) // here, and only here
	s.notify(r, who, "pull_request_review", action, object{"review": o, "pull_request": s.pullJSON(r, p, nil)})
	if action != "submitted" {
		return
	}
	for _, m := range v.lines {
		s.notify(r, who, "pull_request_review_comment", "created", object{"comment": s.lineCommentJSON(r, p, m), "pull_request": s.pullJSON(r, p, nil)})
	}
}

// notifyComment makes the webhook of a remark in the conversation, which is an issue's to GitHub.
func (s *Server) notifyComment(r *repository, p *pull, m *comment) {
	if s.hook.url == "" {
		return
	}
	issue := object{
		"id": p.id, "number": p.number, "title": p.title, "state": p.state, "user": p.author.json(s), "html_url": p.page(s, r), "locked": false,
		"url": fmt.Sprintf("%s/issues/%d", r.api(s), p.number), "comments": len(p.comments), "pull_request": object{"url": p.api(s, r), "html_url": p.page(s, r)},
	}
	s.notify(r, m.author, "issue_comment", "created", object{"issue": issue, "comment": s.commentJSON(r, p, m)})
}

// notifyPush makes the webhook of a ref that moved from old. It does not list the commits.
func (s *Server) notifyPush(r *repository, who *account, ref, old string) {
	if s.hook.url == "" {
		return
	}
	sha := r.refs[ref]
	s.notify(r, who, "push", "", object{
		"ref": ref, "before": cmp.Or(old, zeroSHA), "after": cmp.Or(sha, zeroSHA), "created": old == "", "deleted": sha == "",
		"forced": old != "" && sha != "" && !s.contains(r, sha, old), "commits": []object{}, "head_commit": nil, "pusher": object{"name": who.login},
	})
}
