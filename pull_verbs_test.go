//go:build linux

package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"openinspect/github/githubtest"
)

// What people do with pull requests on GitHub. N is a pull request's number; LOGIN is somebody's there, or their name in Slack, and cyd's if it is
// left out.
//
// github review LOGIN approve|changes|comment N [TEXT [PATH:LINE=TEXT …]]: a review, perhaps with comments on lines. github comment LOGIN N TEXT: a remark in the conversation. github dismiss N LOGIN:
// takes LOGIN's verdicts back. github merge N [LOGIN [merge|squash|rebase]], github close N [LOGIN], github reopen N [LOGIN], github open N [LOGIN] (another one of N's branch), github edit N LOGIN TEXT (above what is there), github draft N,
// github ready N, github lock N. github push-to-branch N [LOGIN], github force-push N [LOGIN]: a commit on its branch, after what is there or in its place. github
// update-branch N [LOGIN]: merges its base into it. github delete-branch N [LOGIN]. github check NAME success|failure|pending [N [SUMMARY]], github
// status NAME success|failure|pending [N]: at its head, the newest pull request's if N is left out. github reviews N [whole], github pull N: print.
// github await N merged|closed|open|reviews=COUNT: waits for that.
var pullVerbs = map[string]func(g *githubtest.Server, ts *testscript.TestScript, args []string) error{
	"review": func(g *githubtest.Server, _ *testscript.TestScript, args []string) error {
		event := map[string]string{"approve": "APPROVE", "changes": "REQUEST_CHANGES", "comment": "COMMENT"}[arg(args, 1)]
		n, err := strconv.Atoi(arg(args, 2))
		if event == "" || err != nil {
			return usage("github review LOGIN approve|changes|comment N [TEXT [PATH:LINE=TEXT …]]")
		}
		var lines []githubtest.LineComment
		for _, a := range args[min(4, len(args)):] {
			place, said, _ := strings.Cut(a, "=")
			path, number, _ := strings.Cut(place, ":")
			line, err := strconv.Atoi(number)
			if err != nil {
				return fmt.Errorf("%q is not PATH:LINE=TEXT", a)
			}
			lines = append(lines, githubtest.LineComment{Path: path, Line: line, Body: text(said)})
		}
		return g.Review(stageRepo, n, login(args[0]), event, text(cmp.Or(arg(args, 3), "By "+args[0]+".")), lines...)
	},
	"comment": func(g *githubtest.Server, _ *testscript.TestScript, args []string) error {
		n, err := strconv.Atoi(arg(args, 1))
		if err != nil {
			return usage("github comment LOGIN N TEXT")
		}
		return g.Comment(stageRepo, n, login(args[0]), text(arg(args, 2)))
	},
	"check": func(g *githubtest.Server, _ *testscript.TestScript, args []string) error {
		pull, err := pullAt(g, arg(args, 2))
		if err != nil {
			return err
		}
		run := githubtest.CheckRun{Name: arg(args, 0), Conclusion: arg(args, 1), Summary: text(arg(args, 3))}
		if run.Conclusion == "pending" {
			run.Status, run.Conclusion = "in_progress", ""
		}
		return g.SetCheckRun(stageRepo, pull.HeadSHA, run)
	},
	"status": func(g *githubtest.Server, _ *testscript.TestScript, args []string) error {
		pull, err := pullAt(g, arg(args, 2))
		if err != nil {
			return err
		}
		return g.SetStatus(stageRepo, pull.HeadSHA, githubtest.Status{Context: arg(args, 0), State: arg(args, 1)})
	},
	"reviews": func(g *githubtest.Server, ts *testscript.TestScript, args []string) error {
		pull, err := pullAt(g, arg(args, 0))
		fmt.Fprintln(ts.Stdout(), len(pull.Reviews), "reviews") // else a script would still see what was printed before
		for _, r := range pull.Reviews {
			at := r.Commit[:7]
			if r.Commit == pull.HeadSHA {
				at += " (head)"
			}
			first, _, _ := strings.Cut(r.Body, "\n")
			if arg(args, 1) == "whole" {
				first = r.Body
			}
			fmt.Fprintf(ts.Stdout(), "%s %s at %s: %s\n", r.Author, r.State, at, first)
			for _, m := range r.Lines {
				fmt.Fprintf(ts.Stdout(), "  %s:%d: %s\n", m.Path, m.Line, m.Body)
			}
		}
		return err
	},
	"pull": func(g *githubtest.Server, ts *testscript.TestScript, args []string) error {
		pull, err := pullAt(g, arg(args, 0))
		if err != nil {
			return err
		}
		state := pull.State
		if pull.Draft {
			state += " draft"
		}
		if pull.Merged {
			state = fmt.Sprintf("merged by %s as %.7s", pull.MergedBy, pull.MergeSHA)
		}
		fmt.Fprintf(ts.Stdout(), "#%d %s: %s <- %s at %.7s, %d reviews, %d comments\n", pull.Number, state, pull.Base, pull.Head, pull.HeadSHA,
			len(pull.Reviews), len(pull.Comments))
		return nil
	},
	"await": func(g *githubtest.Server, _ *testscript.TestScript, args []string) error {
		ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
		defer cancel()
		var pull githubtest.Pull
		err := g.Wait(ctx, func() (there bool) {
			var err error
			if pull, err = pullAt(g, arg(args, 0)); err != nil {
				return false
			}
			switch want := arg(args, 1); want {
			case "merged":
				return pull.Merged
			case "closed", "open":
				return !pull.Merged && pull.State == want
			default:
				return want == fmt.Sprintf("reviews=%d", len(pull.Reviews))
			}
		})
		if err != nil {
			return fmt.Errorf("it is %s, merged=%v, with %d reviews: %w", pull.State, pull.Merged, len(pull.Reviews), err)
		}
		return nil
	},
	"merge": onPull(func(g *githubtest.Server, pull githubtest.Pull, who string, rest []string) error {
		return g.Merge(stageRepo, pull.Number, who, arg(rest, 0))
	}),
	"close": onPull(func(g *githubtest.Server, pull githubtest.Pull, who string, _ []string) error {
		return g.ClosePull(stageRepo, pull.Number, who)
	}),
	"reopen": onPull(func(g *githubtest.Server, pull githubtest.Pull, who string, _ []string) error {
		return g.ReopenPull(stageRepo, pull.Number, who)
	}),
	"edit": onPull(func(g *githubtest.Server, pull githubtest.Pull, who string, rest []string) error {
		return g.EditPull(stageRepo, pull.Number, who, "", strings.Join(rest, " ")+"\n\n"+pull.Body)
	}),
	"open": onPull(func(g *githubtest.Server, pull githubtest.Pull, who string, _ []string) error {
		return g.OpenPull(stageRepo, who, pull.Head, pull.Base, "Opened by hand")
	}),
	"lock": onPull(func(g *githubtest.Server, pull githubtest.Pull, who string, _ []string) error {
		return g.Lock(stageRepo, pull.Number, who, true)
	}),
	"draft": onPull(func(g *githubtest.Server, pull githubtest.Pull, who string, _ []string) error {
		return g.SetDraft(stageRepo, pull.Number, who, true)
	}),
	"ready": onPull(func(g *githubtest.Server, pull githubtest.Pull, who string, _ []string) error {
		return g.SetDraft(stageRepo, pull.Number, who, false)
	}),
	"dismiss": onPull(func(g *githubtest.Server, pull githubtest.Pull, who string, _ []string) error {
		return g.Dismiss(stageRepo, pull.Number, login(""), who)
	}),
	"push-to-branch": onPull(func(g *githubtest.Server, pull githubtest.Pull, who string, _ []string) error {
		_, err := g.Push(stageRepo, pull.Number, who, map[string]string{"pushed.txt": "after " + pull.HeadSHA + "\n"})
		return err
	}),
	"force-push": onPull(func(g *githubtest.Server, pull githubtest.Pull, who string, _ []string) error {
		_, err := g.ForcePush(stageRepo, pull.Number, who, map[string]string{"forced.txt": "instead of " + pull.HeadSHA + "\n"})
		return err
	}),
	"update-branch": onPull(func(g *githubtest.Server, pull githubtest.Pull, who string, _ []string) error {
		return g.UpdateBranch(stageRepo, pull.Number, who)
	}),
	"delete-branch": onPull(func(g *githubtest.Server, pull githubtest.Pull, who string, _ []string) error {
		return g.DeleteBranch(stageRepo, pull.Head, who)
	}),
}

// onPull is a verb with the arguments N [LOGIN] and perhaps more.
func onPull(f func(g *githubtest.Server, pull githubtest.Pull, who string, rest []string) error) func(*githubtest.Server, *testscript.TestScript, []string) error {
	return func(g *githubtest.Server, _ *testscript.TestScript, args []string) error {
		pull, err := pullAt(g, arg(args, 0))
		if err != nil {
			return err
		}
		return f(g, pull, login(arg(args, 1)), args[min(2, len(args)):])
	}
}

// pullAt finds the pull request with a number, the newest one without.
func pullAt(g *githubtest.Server, number string) (githubtest.Pull, error) {
	pulls := g.Pulls(stageRepo)
	n, err := strconv.Atoi(cmp.Or(number, strconv.Itoa(len(pulls))))
	if err != nil || n < 1 || n > len(pulls) {
		return githubtest.Pull{}, fmt.Errorf("there is no pull request %q among %d", number, len(pulls))
	}
	return pulls[n-1], nil
}

// login is somebody's on GitHub.
func login(who string) string {
	who = cmp.Or(who, "cyd")
	return cmp.Or(cast[who], who)
}

// arg is an argument of a verb, "" if it was left out.
func arg(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}
