package session

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// Whatever says something to a session is cleaned of secrets first, wherever in it words may stand. Journaled is cleaned where it is read.
func TestEveryInputIsCleaned(t *testing.T) {
	const secret = "hunter22-and-more"
	r := NewRedactor(secret)
	// Fields that are names of ours, of GitHub's or of Slack's, and never words.
	names := map[string]bool{
		"ID": true, "Effect": true, "Start": true, "PromptID": true, "Card": true, "Pause": true, "Handle": true, "By": true, "Repo": true, "Base": true, "Opening": true,
		"Call": true, "Image": true, "Code": true, "Author": true, "Model": true, "Effort": true, "Answers": true, "State": true, "Reason": true, "Commit": true, "Head": true,
		"Corrects": true, "Addresses": true, "Retries": true, "AskedBy": true, "URL": true, "Branch": true, "OpenedBy": true, "BaseSHA": true, "Patch": true,
	}
	reasons := map[reflect.Type]bool{reflect.TypeFor[LinkFailed](): true, reflect.TypeFor[Lost](): true, reflect.TypeFor[StartDelayed](): true} // there it is a sentence
	for _, in := range []Input{Prompted{}, Edited{}, Retried{}, Collected{}, StartFailed{}, DeliveryFailed{}, CollectFailed{}, OpenFailed{}, SnapshotFailed{}, SuspendFailed{}, LinkFailed{}, Lost{}, Proposed{}, Updated{}, Asked{}, PullRequestOpened{},
		CollectDelayed{}, StartDelayed{}, Stalled{}, PullRequestSeen{}} {
		v := reflect.New(reflect.TypeOf(in)).Elem()
		fill(t, v, "a "+secret+" b")
		dirty := v.Interface().(Input)
		before, err := json.Marshal(dirty)
		if err != nil {
			t.Fatal(err)
		}
		clean := r.clean(dirty)
		if after, _ := json.Marshal(dirty); string(after) != string(before) {
			t.Errorf("%T: the sender's own was changed", in)
		}
		found := 0
		var look func(path string, v reflect.Value)
		look = func(path string, v reflect.Value) {
			switch v.Kind() {
			case reflect.String:
				found++
				if strings.Contains(v.String(), secret) {
					t.Errorf("%T%s keeps a secret", in, path)
				}
			case reflect.Pointer:
				if !v.IsNil() {
					look(path, v.Elem())
				}
			case reflect.Slice:
				for i := range v.Len() {
					look(path, v.Index(i))
				}
			case reflect.Struct:
				for i := range v.NumField() {
					name := v.Type().Field(i).Name
					if said := name == "Reason" && v.Kind() == reflect.Struct && reasons[v.Type()]; v.Type() == timeType || names[name] && !said {
						continue
					}
					look(path+"."+name, v.Field(i))
				}
			default: // no text
			}
		}
		look("", reflect.ValueOf(clean))
		if found == 0 {
			t.Errorf("%T: nothing was looked at", in)
		}
	}
	p := r.clean(Prompted{Prompt{Text: "no " + secret}}).(Prompted).Prompt
	if !p.Redacted || p.Text != "no [redacted]" {
		t.Errorf("%+v", p)
	}
	if p := r.clean(Prompted{Prompt{Text: "nothing", Context: secret}}).(Prompted).Prompt; p.Redacted || p.Context != redacted {
		t.Errorf("%+v", p)
	}
}

func TestLearn(t *testing.T) {
	r := NewRedactor("fixed-secret")
	for i := range 2 * maxLearned {
		r.Learn("learned-" + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + strings.Repeat("y", i/26))
	}
	r.Learn("learned-at-last")
	r.Learn("learned-at-last")
	if got := r.String("fixed-secret learned-at-last bGVhcm5lZC1hdC1sYXN0"); got != "[redacted] [redacted] [redacted]" {
		t.Error(got)
	}
	if n := len(r.index().sources.learned); n != maxLearned {
		t.Errorf("%d values are kept", n)
	}
	var zero Redactor
	zero.Learn("learned-at-last")
	if got := zero.String("learned-at-last"); got != redacted {
		t.Error(got)
	}
}

// What belongs together is replaced together, is not forgotten by itself, and survives what is learned.
func TestKeep(t *testing.T) {
	r := NewRedactor("fixed-from-the-start")
	r.Keep("acme/web", "first-of-web", "second-of-web")
	r.Keep("acme/api", "first-of-api")
	r.Keep("acme/web", "second-of-web", "third-of-web")
	for i := range 2 * maxLearned {
		r.Learn("learned-" + strings.Repeat("y", i))
	}
	const text = "fixed-from-the-start first-of-web second-of-web third-of-web first-of-api"
	if got, want := r.String(text), "[redacted] first-of-web [redacted] [redacted] [redacted]"; got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	before := r.at.Load()
	if r.Keep("acme/web", "third-of-web", "second-of-web"); r.at.Load() != before {
		t.Error("the same values were taken for others")
	}
	r.Keep("acme/web")
	if got, want := r.String(text), "[redacted] first-of-web second-of-web third-of-web [redacted]"; got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	var zero Redactor
	if zero.Keep("x", "first-of-web"); zero.String("first-of-web") != "[redacted]" {
		t.Error("the zero value keeps nothing")
	}
}
