package slacktest

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"
)

// View is a modal, or somebody's home tab, as the app made it.
type View struct {
	ID         string
	User       string // who sees it
	Type       string // modal or home
	CallbackID string
	Blocks     []Block
	Closed     bool
	Errors     map[string]string // by block id, from the app's last answer

	raw  obj // the view as sent
	hash string
}

// triggerLife is how long a trigger_id opens a modal, unless Config.TriggerLife says otherwise.
const triggerLife = 3 * time.Second

type trigger struct {
	user string
	made time.Time
	used bool
}

// newTrigger makes a trigger_id for an action of a person. Callers hold s.mu.
func (s *Server) newTrigger(user string) string {
	id := s.nextID("trigger.")
	s.triggers[id] = &trigger{user: user, made: s.cfg.Now()}
	return id
}

// parseView checks a view argument and gives it ids.
func (s *Server) parseView(raw, kind string) (*View, error) {
	var v struct {
		Type       string  `json:"type"`
		CallbackID string  `json:"callback_id"`
		Blocks     []Block `json:"blocks"`
	}
	var whole obj
	if json.Unmarshal([]byte(raw), &v) != nil || json.Unmarshal([]byte(raw), &whole) != nil {
		return nil, refuse("invalid_arguments", "view is not valid JSON")
	}
	if v.Type != kind {
		return nil, refuse("invalid_arguments", "view type must be "+kind)
	}
	if err := checkBlocks(v.Blocks, inView); err != nil {
		return nil, refuse("invalid_arguments", err.(*refusal).messages...)
	}
	if kind == "modal" {
		c := &checker{}
		title, _ := whole["title"].(map[string]any)
		c.text("/view/title", title, 24, true)
		if len(c.problems) > 0 {
			return nil, refuse("invalid_arguments", c.problems...)
		}
	}
	return &View{ID: s.nextID("V"), Type: kind, CallbackID: v.CallbackID, Blocks: s.nameBlocks(v.Blocks), raw: whole, hash: s.nextTS() + ".hash"}, nil
}

func (s *Server) wireView(v *View, state obj) obj {
	w := maps.Clone(v.raw)
	for key, value := range (obj{"private_metadata": "", "callback_id": "", "external_id": "", "clear_on_close": false,
		"notify_on_close": false, "close": nil, "submit": nil}) {
		if _, given := w[key]; !given {
			w[key] = value
		}
	}
	maps.Copy(w, obj{"id": v.ID, "team_id": s.cfg.TeamID, "type": v.Type, "blocks": v.Blocks, "hash": v.hash,
		"state": obj{"values": state}, "root_view_id": v.ID, "previous_view_id": nil,
		"app_id": s.cfg.AppID, "bot_id": s.bot.BotID, "app_installed_team_id": s.cfg.TeamID})
	return w
}

func (s *Server) viewsOpen(a args) (obj, error) {
	t := s.triggers[a["trigger_id"]]
	switch {
	case t == nil:
		return nil, refuse("invalid_trigger_id")
	case t.used:
		return nil, refuse("exchanged_trigger_id")
	case s.cfg.Now().Sub(t.made) > s.cfg.TriggerLife:
		return nil, refuse("expired_trigger_id")
	}
	v, err := s.parseView(a["view"], "modal")
	if err != nil {
		return nil, err
	}
	t.used = true
	v.User = t.user
	s.showView(v)
	return obj{"view": s.wireView(v, obj{})}, nil
}

func (s *Server) viewsUpdate(a args) (obj, error) {
	old := s.views[a["view_id"]]
	switch {
	case old == nil || old.Closed:
		return nil, refuse("not_found")
	case a["hash"] != "" && a["hash"] != old.hash:
		return nil, refuse("hash_conflict")
	}
	v, err := s.parseView(a["view"], "modal")
	if err != nil {
		return nil, err
	}
	v.ID, v.User = old.ID, old.User
	s.views[v.ID] = v
	s.tell(Change{Kind: ViewOpened, User: v.User, ViewID: v.ID})
	return obj{"view": s.wireView(v, obj{})}, nil
}

func (s *Server) showView(v *View) {
	s.views[v.ID] = v
	s.viewOrder = append(s.viewOrder, v.ID)
	s.tell(Change{Kind: ViewOpened, User: v.User, ViewID: v.ID})
}

func (s *Server) viewsPublish(a args) (obj, error) {
	if s.users[a["user_id"]] == nil {
		return nil, refuse("user_not_found")
	}
	old := s.homes[a["user_id"]]
	if a["hash"] != "" && old != nil && a["hash"] != old.hash {
		return nil, refuse("hash_conflict")
	}
	v, err := s.parseView(a["view"], "home")
	if err != nil {
		return nil, err
	}
	if old != nil {
		v.ID = old.ID
	}
	v.User = a["user_id"]
	s.homes[v.User] = v
	s.tell(Change{Kind: HomePublished, User: v.User, ViewID: v.ID})
	return obj{"view": s.wireView(v, obj{})}, nil
}

// Views returns the modals a person has been shown and not closed, oldest first.
func (n *Snapshot) Views(user string) []View {
	u := findUser(n.users, user)
	var open []View
	for _, v := range n.views {
		if u != nil && v.User == u.ID && !v.Closed {
			open = append(open, v)
		}
	}
	return open
}

// Home returns what the app published on a person's home tab.
func (n *Snapshot) Home(user string) (View, bool) {
	if u := findUser(n.users, user); u != nil && n.homes[u.ID] != nil {
		return *n.homes[u.ID], true
	}
	return View{}, false
}

// UseHome uses a control of a person's home tab: it presses a button, or picks an option of a menu, as Click and Choose do. Of several
// buttons with one action_id, value is the value of the one that is meant.
func (p *Person) UseHome(control, value string) (*Delivery, error) {
	s := p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := p.me()
	if err != nil {
		return nil, err
	}
	v := s.homes[u.ID]
	if v == nil {
		return nil, fmt.Errorf("slacktest: %s has no home tab yet", u.Name)
	}
	block, element := findControl(v.Blocks, control, value)
	if element == nil {
		return nil, fmt.Errorf("slacktest: the home tab of %s has no %q", u.Name, control)
	}
	action, err := press(block, element, value)
	if err != nil {
		return nil, err
	}
	action["action_ts"] = s.nextTS()
	payload := s.interaction("block_actions", u, nil)
	payload["container"], payload["view"] = obj{"type": "view", "view_id": v.ID}, s.wireView(v, obj{})
	payload["actions"], payload["trigger_id"] = []obj{action}, s.newTrigger(u.ID)
	return s.emit(Interactive, false, payload, nil), nil
}

// answerView does what the app's acknowledgement of a submission says: errors
// keep the view, update replaces it, push puts another on top, anything else
// closes it. Callers hold s.mu.
func (s *Server) answerView(id string, ack json.RawMessage) {
	v := *s.views[id]
	v.Errors = nil
	var answer struct {
		Action string            `json:"response_action"`
		Errors map[string]string `json:"errors"`
		View   json.RawMessage   `json:"view"`
	}
	if len(ack) > 0 {
		_ = json.Unmarshal(ack, &answer)
	}
	switch answer.Action {
	case "errors":
		v.Errors = answer.Errors
	case "update", "push":
		next, err := s.parseView(string(answer.View), "modal")
		if err != nil {
			v.Errors = map[string]string{"": err.Error()}
			break
		}
		next.User = v.User
		if answer.Action == "update" {
			next.ID = v.ID
			s.views[id] = next
			s.tell(Change{Kind: ViewOpened, User: v.User, ViewID: v.ID})
			return
		}
		s.showView(next)
	case "clear":
		for other, open := range s.views {
			if open.User == v.User {
				closed := *open
				closed.Closed = true
				s.views[other] = &closed
			}
		}
		v.Closed = true
	default:
		v.Closed = true
	}
	s.views[id] = &v
	s.touch()
}
