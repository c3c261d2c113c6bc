package bot

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"openinspect/session"
	"openinspect/session/sessiontest"
)

// TestPullRequestCard: what people read of a pull request, in each of its states.
func TestPullRequestCard(t *testing.T) {
	v := view{id: "abcdefghij", thread: session.Thread{Channel: "C", TS: "1.0"}, approve: "white_check_mark", merge: "ship", quorum: 1}
	const commit = "1a2b3c4d5e6f"
	base := session.PullRequest{
		Number: 12, URL: "https://github.test/acme/web/pull/12", Repo: session.Repo{Owner: "acme", Name: "web"}, Branch: "inspect/abcdefghij-fix", Base: "main",
		Commit: commit, State: session.PullOpen, OpenedBy: sessiontest.Bob,
	}
	var out strings.Builder
	for _, tt := range []struct {
		name string
		do   func(c *session.Card, pr *session.PullRequest)
	}{
		{"new", func(*session.Card, *session.PullRequest) {}},
		{"a draft", func(_ *session.Card, pr *session.PullRequest) { pr.Draft = true }},
		{"running", func(_ *session.Card, pr *session.PullRequest) {
			pr.Checks = session.Checks{State: session.ChecksPending, Total: 3, Pending: 2}
		}},
		{"failed", func(_ *session.Card, pr *session.PullRequest) {
			pr.Checks = session.Checks{State: session.ChecksFailed, Total: 3, Failed: []session.Check{{Name: "lint"}, {Name: "<!channel> `x`"}}}
		}},
		{"hidden", func(_ *session.Card, pr *session.PullRequest) {
			pr.Checks.State = session.ChecksHidden
		}},
		{"reviewed", func(_ *session.Card, pr *session.PullRequest) {
			pr.Checks = session.Checks{State: session.ChecksGreen, Total: 3}
			pr.Reviews = []session.Review{
				{By: session.Identity{Login: "cyd"}, State: session.ReviewApproved, Commit: commit, Writes: true},
				{By: session.Identity{Login: "dan"}, State: session.ReviewApproved, Commit: "0", Writes: true},
				{By: session.Identity{Login: "eve"}, State: session.ReviewApproved, Commit: commit},
				{By: session.Identity{Login: "fay"}, State: session.ReviewChanges, Commit: commit, Writes: true},
			}
		}},
		{"lost", func(_ *session.Card, pr *session.PullRequest) { pr.Lost = "GitHub does not show it." }},
		{"strangers talk", func(_ *session.Card, pr *session.PullRequest) { pr.Outside = 3 }},
		{"being merged", func(c *session.Card, _ *session.PullRequest) { by := sessiontest.Ada; c.Merging = &by }},
		{"merged", func(c *session.Card, _ *session.PullRequest) {
			c.State, c.Outcome = session.CardDone, "#12 was merged by ada-l as ddddddd."
		}},
		{"moved", func(c *session.Card, _ *session.PullRequest) {
			c.State, c.Outcome = session.CardStale, "Somebody pushed ccccccc on GitHub. Go on there: https://github.test/acme/web/pull/12"
		}},
	} {
		pr := base
		c := session.Card{ID: "c2", Kind: session.CardPullRequest, State: session.CardOpen, Commit: commit, Title: "Fix it", Contributors: []session.Person{sessiontest.Ada}, PullRequest: &pr}
		tt.do(&c, &pr)
		fmt.Fprintf(&out, "# %s\n%s\n", tt.name, v.cardText(t, c))
	}
	c := session.Card{ID: "c2", Kind: session.CardPullRequest, State: session.CardOpen, Commit: commit, Title: "Fix it", PullRequest: &base}
	v.quorum = 2
	fmt.Fprintf(&out, "# two approvals\n%s\n", v.cardText(t, c))
	v.merge = ""
	fmt.Fprintf(&out, "# merging is off\n%s", v.cardText(t, c))
	golden(t, "card-pull.txt", out.String())
}

// cardText is what people read of a pull request's card.
func (v view) cardText(t *testing.T, c session.Card) string {
	t.Helper()
	var out strings.Builder
	for _, text := range texts(t, v.pullRequest(&c).Blocks) {
		out.WriteString(text + "\n")
	}
	return out.String()
}

// texts are a message's texts, block by block.
func texts(t *testing.T, body json.RawMessage) []string {
	t.Helper()
	type text struct {
		Text string `json:"text"`
	}
	var parts []struct {
		Text     text   `json:"text"`
		Elements []text `json:"elements"`
	}
	if err := json.Unmarshal(body, &parts); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, p := range parts {
		if p.Text.Text != "" {
			out = append(out, p.Text.Text)
		}
		for _, e := range p.Elements {
			out = append(out, e.Text)
		}
	}
	return out
}
