package sessiontest

import (
	"slices"
	"strconv"

	"openinspect/session"
)

// seen is what GitHub says of the session's pull request: what was seen last, and then what the words say. "head COMMIT", "into BASE", "draft", "closed", "merged COMMIT
// LOGIN", "green N", "pending N", "failed NAME", "hidden", "approved LOGIN COMMIT", "wants LOGIN" (changes), "stranger LOGIN COMMIT" (approves, and
// may not write).
func seen(s session.Session, w []string) session.PullRequest {
	var pr session.PullRequest
	if s.PullRequest != nil {
		pr = *s.PullRequest
	}
	if pr.Head == "" {
		pr.Head = pr.Commit
	}
	pr.Reviews = slices.Clone(pr.Reviews)
	who := func(login string) session.Identity {
		for i, name := range []string{"ada-l", "bob", "cyd"} {
			if login == name {
				return session.Identity{ID: int64(101 + i), Login: login}
			}
		}
		return session.Identity{ID: 200, Login: login}
	}
	for len(w) > 0 {
		switch word := w[0]; word {
		case "draft":
			pr.Draft = true
		case "lost":
			return session.PullRequest{Number: pr.Number, Lost: "GitHub does not show it any more."}
		case "renamed":
			pr.Repo = session.Repo{Owner: "acme", Name: "renamed"}
		case "ready":
			pr.Draft = false
		case "closed":
			pr.State = session.PullClosed
		case "hidden":
			pr.Checks = session.Checks{State: session.ChecksHidden}
		case "into":
			pr.Base, w = w[1], w[1:]
		case "head":
			pr.Head, w = w[1], w[1:]
		case "green", "pending":
			n, _ := strconv.Atoi(w[1])
			pr.Checks = session.Checks{State: session.ChecksState(word), Total: n}
			if word == "pending" {
				pr.Checks.Pending = n
			}
			w = w[1:]
		case "failed":
			pr.Checks, w = session.Checks{State: session.ChecksFailed, Total: 1, Failed: []session.Check{{Name: w[1]}}}, w[1:]
		case "merged":
			pr.State, pr.MergedAs, pr.MergedBy, w = session.PullMerged, w[1], who(w[2]), w[2:]
		case "approved", "stranger":
			pr.Reviews, w = append(pr.Reviews, session.Review{By: who(w[1]), State: session.ReviewApproved, Commit: w[2], Writes: word == "approved"}), w[2:]
		case "wants":
			pr.Reviews, w = append(pr.Reviews, session.Review{By: who(w[1]), State: session.ReviewChanges, Commit: pr.Commit, Writes: true}), w[1:]
		default:
			pr.Number, _ = strconv.Atoi(word)
		}
		w = w[1:]
	}
	return pr
}
