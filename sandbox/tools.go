package sandbox

import (
	"context"
	"strings"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// Lengths in characters of what an agent says by a tool.
const (
	maxTitle  = 250 // GitHub takes 256
	maxUpdate = 500
	maxAsk    = 3000
	maxBody   = 30_000 // GitHub takes 65,536, and who asked for what, who took part and the tests stand beside it
	maxTests  = 5_000
	maxOption = 75 // a Slack button's text
	maxOffers = 5
	maxAlt    = 500
)

// upload keeps an image that the agent shows. What it is is seen here: nothing that comes out of a sandbox is believed.
func (a *attachment) upload(ctx context.Context, call string, q link.UploadRequest) (link.ToolAnswer, error) {
	kind, err := link.Picture(q.Content)
	if err != nil {
		return link.ToolAnswer{}, err
	}
	alt := session.OneLine(a.clean(q.Alt, maxAlt), maxAlt)
	if alt == "" {
		return link.ToolAnswer{}, session.Errorf(session.Invalid, "Say what there is to see, for people who cannot see it.")
	}
	f := session.File{Name: session.FileName(a.clean(q.Name, maxAlt)), Type: kind, Size: int64(len(q.Content))}
	// One that the session does not take is not kept.
	if err := a.send(ctx, session.Shown{Call: call, Asks: true}); err != nil {
		return link.ToolAnswer{}, err
	}
	if f.Hash, err = a.m.c.Store.KeepFile(ctx, a.req.Session, q.Content); err != nil {
		return link.ToolAnswer{}, err
	}
	return link.ToolAnswer{Text: "It is posted below your answer when your turn ends."}, a.send(ctx, session.Shown{Call: call, File: f, Alt: alt})
}

func (a *attachment) propose(ctx context.Context, call string, q link.ProposeRequest) (link.ToolAnswer, error) {
	title := session.OneLine(a.clean(q.Title, maxTitle), maxTitle)
	if title == "" {
		return link.ToolAnswer{}, session.Errorf(session.Invalid, "A pull request needs a title.")
	}
	err := a.send(ctx, session.Proposed{Call: call, Proposal: session.Proposal{
		Title: title, Body: a.clean(q.Body, maxBody), Tests: a.clean(q.Tests, maxTests), Draft: q.Draft,
	}})
	return link.ToolAnswer{Text: "Noted. When your turn ends, the people in the thread see your commits with this title and description and decide whether to open the pull request. Do not push and do not open it yourself."}, err
}

func (a *attachment) update(ctx context.Context, call string, q link.UpdateRequest) (link.ToolAnswer, error) {
	text := a.clean(q.Text, maxUpdate)
	if text == "" {
		return link.ToolAnswer{}, session.Errorf(session.Invalid, "There is nothing to post.")
	}
	return link.ToolAnswer{Text: "Posted."}, a.send(ctx, session.Updated{Call: call, Text: text})
}

func (a *attachment) ask(ctx context.Context, call string, q link.AskRequest) (link.ToolAnswer, error) {
	in := session.Asked{Call: call, Question: a.clean(q.Question, maxAsk)}
	if in.Question == "" {
		return link.ToolAnswer{}, session.Errorf(session.Invalid, "There is no question.")
	}
	for _, o := range q.Options[:min(len(q.Options), maxOffers)] {
		if o = session.OneLine(a.clean(o, maxOption), maxOption); o != "" {
			in.Options = append(in.Options, o)
		}
	}
	return link.ToolAnswer{Text: "Asked. End your turn now; the answer is your next prompt."}, a.send(ctx, in)
}

// clean redacts s and cuts it to limit characters.
func (a *attachment) clean(s string, limit int) string {
	s = strings.TrimSpace(strings.ToValidUTF8(a.m.c.Redactor.String(s), ""))
	if r := []rune(s); len(r) > limit {
		s = string(r[:limit-1]) + "…"
	}
	return s
}
