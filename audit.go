//go:build linux

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"openinspect/session"
)

// auditLog is what the commands about the audit log read.
type auditLog interface {
	AuditLog(ctx context.Context, q session.AuditQuery) ([]session.AuditEntry, error)
	VerifyAudit(ctx context.Context, heads ...session.AuditHead) (session.AuditHead, error)
}

// auditPage is how many records are read at a time.
const auditPage = 500

// serveAudit answers for the audit log on the control socket.
func serveAudit(mux *http.ServeMux, db auditLog) {
	mux.HandleFunc("GET /audit", func(w http.ResponseWriter, r *http.Request) {
		v := r.URL.Query()
		q := session.AuditQuery{Session: session.ID(v.Get("session")), Limit: auditPage}
		q.After, _ = strconv.ParseUint(v.Get("after"), 10, 64) // from the start otherwise
		if n, err := strconv.Atoi(v.Get("limit")); err == nil && 0 < n && n < auditPage {
			q.Limit = n
		}
		records, err := db.AuditLog(r.Context(), q)
		answer(w, records, err)
	})
	mux.HandleFunc("GET /audit/verify", func(w http.ResponseWriter, r *http.Request) {
		heads, err := auditHeads(r.URL.Query()["head"])
		var head session.AuditHead
		if err == nil {
			head, err = db.VerifyAudit(r.Context(), heads...)
		}
		answer(w, head, err)
	})
}

// AuditLog asks the running bot.
func (r remote) AuditLog(ctx context.Context, q session.AuditQuery) (records []session.AuditEntry, err error) {
	return records, r.get(ctx, fmt.Sprintf("/audit?after=%d&limit=%d&session=%s", q.After, q.Limit, q.Session), &records)
}

// VerifyAudit asks the running bot.
func (r remote) VerifyAudit(ctx context.Context, heads ...session.AuditHead) (head session.AuditHead, err error) {
	v := url.Values{}
	for _, h := range heads {
		v.Add("head", h.String())
	}
	return head, r.get(ctx, "/audit/verify?"+v.Encode(), &head)
}

func auditHeads(words []string) (heads []session.AuditHead, err error) {
	for _, w := range words {
		h, err := session.ParseAuditHead(w)
		if err != nil {
			return nil, err
		}
		heads = append(heads, h)
	}
	return heads, nil
}

type auditCommand struct {
	List   auditListCommand   `cmd:"" default:"withargs" help:"Print the audit log, oldest first (the default)."`
	Verify auditVerifyCommand `cmd:"" help:"Check that no record of the audit log was changed, left out or cut off."`
}

type auditListCommand struct {
	data
	Session string `help:"Only what is about the session with this id."`
	After   uint64 `help:"Only records with a number above this one."`
	Limit   int    `help:"At most so many records; 0: all."`
	JSON    bool   `name:"json" help:"Print records as JSON lines, whole."`
}

// Run prints one line for each record.
func (c *auditListCommand) Run(ctx context.Context) error {
	if c.Session != "" && !session.ID(c.Session).Valid() {
		return session.Errorf(session.Invalid, "%q is not a session id. 'openinspect sessions' lists them.", c.Session)
	}
	if c.Limit < 0 {
		return session.Errorf(session.Invalid, "--limit is %d. Write how many records to print, or 0 for all.", c.Limit)
	}
	db, done, err := c.open()
	if err != nil {
		return err
	}
	defer done()
	q := session.AuditQuery{Session: session.ID(c.Session), After: c.After}
	for left := c.Limit; ; {
		q.Limit = auditPage
		if c.Limit > 0 {
			q.Limit = min(left, auditPage)
		}
		records, err := db.AuditLog(ctx, q)
		if err != nil {
			return err
		}
		for _, r := range records {
			if err := c.print(os.Stdout, r); err != nil {
				return err
			}
			q.After = r.N
		}
		if left -= len(records); len(records) < q.Limit || left == 0 {
			return nil
		}
	}
}

func (c *auditListCommand) print(w io.Writer, r session.AuditEntry) error {
	if c.JSON {
		return json.NewEncoder(w).Encode(r)
	}
	_, err := fmt.Fprintln(w, auditLine(r))
	return err
}

// auditLine is a record for people: its number, when, what and who; then what it is about, as far as it has that, and what came of it.
func auditLine(r session.AuditEntry) string {
	who := session.OneLine(r.By.Name, 80)
	if r.By.Slack != "" {
		who = strings.TrimSpace(who + " " + r.By.Slack)
	}
	if g := r.By.GitHub; g != nil {
		who += fmt.Sprintf(" @%s/%d", session.OneLine(g.Login, 60), g.ID)
	}
	words := []string{fmt.Sprintf("%6d  %s  %-8s %s:", r.N, r.At.UTC().Format("2006-01-02 15:04:05Z"), r.Action, cmp.Or(who, "-"))}
	add := func(format string, v any, there bool) {
		if there {
			words = append(words, fmt.Sprintf(format, v))
		}
	}
	add(":%s:", session.OneLine(r.Emoji, 60), r.Emoji != "")
	add("%s", r.Session, r.Session != "")
	add("%s", r.Card, r.Card != "")
	add("at %.7s", r.Commit, r.Commit != "")
	add("#%d", r.Number, r.Number > 0)
	add("%s", session.OneLine(r.Result, 300), true)
	add("(GitHub: %s)", session.OneLine(r.Ref, 80), r.Ref != "")
	return strings.Join(words, " ")
}

type auditVerifyCommand struct {
	data
	Head []string `sep:"none" help:"A head that the log had once, as it stands after Inspect-Audit in a pull request or a review: \"412 3f9a…\". May be repeated."`
}

// Run prints the head of what it checked.
func (c *auditVerifyCommand) Run(ctx context.Context) error {
	heads, err := auditHeads(c.Head)
	if err != nil {
		return err
	}
	db, done, err := c.open()
	if err != nil {
		return err
	}
	defer done()
	head, err := db.VerifyAudit(ctx, heads...)
	if err != nil {
		return err
	}
	fmt.Printf("The chain of the audit log is whole: %d records.\nInspect-Audit: %s\n", head.N, head)
	return nil
}
