package session

import (
	"reflect"
	"slices"
)

// clean takes secrets out of what people, forges and sandboxes say to a session. What a runner told comes clean: it is redacted where it is
// read, beside the commits.
func (r *Redactor) clean(in Input) Input {
	switch in := in.(type) {
	case Prompted:
		r.cleanPrompt(&in.Prompt)
		return in
	case Edited:
		r.cleanPrompt(&in.Prompt)
		return in
	case Retried:
		r.cleanPrompt(&in.Prompt)
		return in
	case Collected:
		if in.Changes == nil {
			return in
		}
		c := *in.Changes
		c.Files, c.Attention, c.Named = slices.Clone(c.Files), slices.Clone(c.Attention), slices.Clone(c.Named)
		r.walk(reflect.ValueOf(&c).Elem())
		in.Changes = &c
		return in
	case StartFailed:
		in.Err.Message = r.String(in.Err.Message)
		return in
	case DeliveryFailed:
		in.Err.Message = r.String(in.Err.Message)
		return in
	case CollectFailed:
		in.Err.Message = r.String(in.Err.Message)
		return in
	case CollectDelayed:
		in.Err.Message = r.String(in.Err.Message)
		return in
	case OpenFailed:
		in.Err.Message = r.String(in.Err.Message)
		return in
	case ReviewFailed:
		in.Err.Message = r.String(in.Err.Message)
		return in
	case MergeFailed:
		in.Err.Message = r.String(in.Err.Message)
		return in
	case PullRequestSeen:
		in.PullRequest, in.Remarks, in.Output = r.cleanPull(in.PullRequest), slices.Clone(in.Remarks), r.String(in.Output)
		for i := range in.Remarks {
			r.walk(reflect.ValueOf(&in.Remarks[i]).Elem())
		}
		return in
	case SnapshotFailed:
		in.Err.Message = r.String(in.Err.Message)
		return in
	case SuspendFailed:
		in.Err.Message = r.String(in.Err.Message)
		return in
	case LinkFailed:
		in.Reason = r.String(in.Reason)
		return in
	case Lost:
		in.Reason = r.String(in.Reason)
		return in
	case StartDelayed:
		in.Reason = r.String(in.Reason)
		return in
	case Stalled:
		in.Words = r.String(in.Words)
		return in
	case Proposed:
		r.walk(reflect.ValueOf(&in.Proposal).Elem())
		return in
	case Updated:
		in.Text = r.String(in.Text)
		return in
	case Asked:
		in.Question, in.Options = r.String(in.Question), slices.Clone(in.Options)
		for i, o := range in.Options {
			in.Options[i] = r.String(o)
		}
		return in
	case Shown:
		in.Alt, in.File.Name = r.String(in.Alt), r.String(in.File.Name)
		return in
	case PullRequestOpened:
		in.PullRequest = r.cleanPull(in.PullRequest)
		return in
	}
	return in
}

func (r *Redactor) cleanPrompt(p *Prompt) {
	text := r.String(p.Text)
	p.Redacted = p.Redacted || text != p.Text
	p.Text, p.Context, p.Author.Name = text, r.String(p.Context), r.String(p.Author.Name)
	p.Files = slices.Clone(p.Files)
	for i := range p.Files {
		r.walk(reflect.ValueOf(&p.Files[i]).Elem())
	}
}

func (r *Redactor) cleanPull(p PullRequest) PullRequest {
	p.Reviews, p.Checks.Failed = slices.Clone(p.Reviews), slices.Clone(p.Checks.Failed)
	if by := p.OpenedBy.GitHub; by != nil {
		account := *by
		p.OpenedBy.GitHub = &account
	}
	r.walk(reflect.ValueOf(&p).Elem())
	return p
}
