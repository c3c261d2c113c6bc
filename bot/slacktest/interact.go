package slacktest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

// A response_url takes responseUses posts within responseLife.
const (
	responseUses = 5
	responseLife = 30 * time.Minute
)

// responseURL is the address at which the app may answer one interaction.
type responseURL struct {
	user, channel, thread string
	ts                    string // of the message that was clicked, if any
	made                  time.Time
	uses                  int
	command               *Command
}

// newResponseURL makes an address to answer to. Callers hold s.mu.
func (s *Server) newResponseURL(r responseURL) (string, *responseURL) {
	id := s.nextID("resp")
	r.made = s.cfg.Now()
	s.responses[id] = &r
	return s.base + "/response/" + id, &r
}

// Command is a slash command on its way, and the answers to it.
type Command struct {
	*Delivery
	answers []Message
}

// Answers returns what the command's author and, for in_channel answers, the
// channel have been told so far: by the acknowledgement and by response_url.
func (c *Command) Answers() []Message {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	return slices.Clone(c.answers)
}

// Answer waits for the first answer.
func (c *Command) Answer(ctx context.Context) (Message, error) {
	if _, err := c.Acked(ctx); err != nil {
		return Message{}, err
	}
	err := c.s.Wait(ctx, func(*Snapshot) bool { return len(c.Answers()) > 0 })
	if err != nil {
		return Message{}, err
	}
	return c.Answers()[0], nil
}

// Command sends the app's slash command with the given text from a channel, which
// the bot need not be in.
func (p *Person) Command(channel, text string) (*Command, error) {
	s := p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	u, c, err := p.in(channel)
	if err != nil {
		return nil, err
	}
	escaped, _ := s.typed(text)
	link, answers := s.newResponseURL(responseURL{user: u.ID, channel: c.ID})
	name := c.Name
	if c.Kind == IM {
		name = "directmessage"
	}
	cmd := &Command{}
	answers.command = cmd
	cmd.Delivery = s.emit(SlashCommands, true, obj{
		"token": "verification-token", "team_id": s.cfg.TeamID, "team_domain": s.domain(),
		"channel_id": c.ID, "channel_name": name, "user_id": u.ID, "user_name": u.Name,
		"command": s.cfg.Command, "text": escaped, "api_app_id": s.cfg.AppID, "is_enterprise_install": "false",
		"response_url": link, "trigger_id": s.newTrigger(u.ID),
	}, func(ack json.RawMessage) {
		if len(ack) > 0 {
			s.answer(answers, ack)
		}
	})
	return cmd, nil
}

// answer carries out what the app says to an interaction. It returns a code of
// Slack's if that is refused. Callers hold s.mu.
func (s *Server) answer(r *responseURL, raw json.RawMessage) error {
	var said struct {
		ResponseType    string          `json:"response_type"`
		ReplaceOriginal bool            `json:"replace_original"`
		DeleteOriginal  bool            `json:"delete_original"`
		Text            string          `json:"text"`
		ThreadTS        string          `json:"thread_ts"`
		Blocks          json.RawMessage `json:"blocks"`
	}
	if json.Unmarshal(raw, &said) != nil {
		return refuse("invalid_payload")
	}
	a := args{"text": said.Text}
	if b := string(said.Blocks); b != "" && b != "null" {
		a["blocks"] = b
	}
	c, err := s.content(a, textLimit)
	if err != nil {
		return err
	}
	if said.DeleteOriginal || said.ReplaceOriginal {
		return s.answerOriginal(r, said.DeleteOriginal, c)
	}
	if c.empty() {
		return refuse("no_text")
	}
	thread := said.ThreadTS
	if thread == "" && said.ResponseType != "in_channel" {
		thread = r.thread
	}
	m := s.fromBot(r.channel, thread, c, a)
	if said.ResponseType == "in_channel" {
		m = s.add(m)
	} else {
		m = s.whisper(r.user, m)
	}
	if r.command != nil {
		r.command.answers = append(r.command.answers, *m)
	}
	return nil
}

// answerOriginal replaces or deletes the message that was clicked.
func (s *Server) answerOriginal(r *responseURL, remove bool, c content) error {
	if old, _ := s.find(r.channel, r.ts); old != nil {
		if remove {
			s.remove(old, s.bot.ID)
			return nil
		}
		s.edit(old, s.bot.ID, func(m *Message) { m.Text, m.Blocks = c.text, c.blocks })
		return nil
	}
	i := slices.IndexFunc(s.ephemerals, func(m *Message) bool { return m.TS == r.ts && m.Channel == r.channel })
	if i < 0 {
		return refuse("message_not_found")
	}
	if remove {
		s.ephemerals = slices.Concat(s.ephemerals[:i], s.ephemerals[i+1:])
		s.touch()
		return nil
	}
	n := *s.ephemerals[i]
	n.Text, n.Blocks = c.text, c.blocks
	n.Edits++
	s.ephemerals = slices.Clone(s.ephemerals)
	s.ephemerals[i] = &n
	s.tell(Change{Kind: EphemeralPosted, Message: n, User: n.To})
	return nil
}

func (s *Server) serveResponseURL(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, "invalid_payload", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	target := s.responses[r.PathValue("id")]
	switch {
	case target == nil:
		err = refuse("invalid_url")
	case target.uses >= responseUses:
		err = refuse("used_url")
	case s.cfg.Now().Sub(target.made) > responseLife:
		err = refuse("expired_url")
	default:
		target.uses++
		err = s.answer(target, raw)
	}
	s.mu.Unlock()
	if err == nil {
		_, _ = io.WriteString(w, "ok")
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(http.StatusNotFound)
	_ = json.NewEncoder(w).Encode(obj{"ok": false, "error": err.Error()})
}

// Click presses a button of a message, ephemeral ones included. The button is
// named by its action_id or its text.
func (p *Person) Click(channel, ts, button string) (*Delivery, error) {
	return p.act(channel, ts, button, "", "block_actions")
}

// Choose picks an option of a menu, named by its action_id or its placeholder.
// The option is named by its value or its text; for a menu whose options come
// from the app, value is taken as it is.
func (p *Person) Choose(channel, ts, menu, value string) (*Delivery, error) {
	return p.act(channel, ts, menu, value, "block_actions")
}

// Suggest types into a menu whose options come from the app; they are in the
// acknowledgement.
func (p *Person) Suggest(channel, ts, menu, typed string) (*Delivery, error) {
	return p.act(channel, ts, menu, typed, "block_suggestion")
}

func (p *Person) act(channel, ts, control, value, kind string) (*Delivery, error) {
	s := p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	u, c, err := p.in(channel)
	if err != nil {
		return nil, err
	}
	m, _ := s.find(c.ID, ts)
	ephemeral := false
	for _, e := range s.ephemerals {
		if e.Channel == c.ID && e.TS == ts && e.To == u.ID {
			m, ephemeral = e, true
		}
	}
	if m == nil {
		return nil, fmt.Errorf("slacktest: no message %s in %q", ts, channel)
	}
	block, element := findControl(m.Blocks, control, value)
	if element == nil {
		return nil, fmt.Errorf("slacktest: message %s has no %q", ts, control)
	}
	container := obj{"type": "message", "message_ts": m.TS, "channel_id": c.ID, "is_ephemeral": ephemeral}
	if m.ThreadTS != "" {
		container["thread_ts"] = m.ThreadTS
	}
	payload := s.interaction(kind, u, c)
	payload["container"] = container
	payload["message"] = s.wire(m, true)
	if kind == "block_suggestion" {
		payload["action_id"], payload["block_id"], payload["value"] = element.str("action_id"), block.str("block_id"), value
		return s.emit(Interactive, true, payload, nil), nil
	}
	action, err := press(block, element, value)
	if err != nil {
		return nil, err
	}
	action["action_ts"] = s.nextTS()
	link, _ := s.newResponseURL(responseURL{user: u.ID, channel: c.ID, thread: m.ThreadTS, ts: m.TS})
	payload["actions"] = []obj{action}
	payload["response_url"] = link
	payload["trigger_id"] = s.newTrigger(u.ID)
	payload["state"] = obj{"values": obj{}}
	return s.emit(Interactive, false, payload, nil), nil
}

// interaction is what all interactive payloads have. Callers hold s.mu.
func (s *Server) interaction(kind string, u *User, c *Channel) obj {
	payload := obj{
		"type": kind, "token": "verification-token", "api_app_id": s.cfg.AppID,
		"user":       obj{"id": u.ID, "username": u.Name, "name": u.Name, "team_id": u.TeamID},
		"team":       obj{"id": s.cfg.TeamID, "domain": s.domain()},
		"enterprise": nil, "is_enterprise_install": false,
	}
	if c != nil {
		name := c.Name
		if c.Kind == IM {
			name = "directmessage"
		}
		payload["channel"] = obj{"id": c.ID, "name": name}
	}
	return payload
}

// findControl looks for an element by action_id, text or placeholder; of several, as a list's buttons, for the one with this value.
func findControl(blocks []Block, name, value string) (block, element Block) {
	for _, b := range blocks {
		for _, e := range append(b.list("elements"), b.sub("accessory")) {
			if e == nil || !slices.Contains(elementTypes, e.str("type")) {
				continue
			}
			named := e.str("action_id") == name || e.sub("text").str("text") == name || e.sub("placeholder").str("text") == name
			if named && (element == nil || value != "" && e.str("value") == value) {
				block, element = b, e
			}
		}
	}
	return block, element
}

// press makes the action that using an element results in.
func press(block, element Block, value string) (obj, error) {
	kind := element.str("type")
	action := obj{"type": kind, "action_id": element.str("action_id"), "block_id": block.str("block_id")}
	switch kind {
	case "button":
		action["text"] = element["text"]
		if v := element.str("value"); v != "" {
			action["value"] = v
		}
		if style := element.str("style"); style != "" {
			action["style"] = style
		}
	case "static_select", "overflow", "radio_buttons":
		options := element.list("options")
		for _, g := range element.list("option_groups") {
			options = append(options, g.list("options")...)
		}
		i := slices.IndexFunc(options, func(o Block) bool { return o.str("value") == value || o.sub("text").str("text") == value })
		if i < 0 {
			return nil, fmt.Errorf("slacktest: %q has no option %q", element.str("action_id"), value)
		}
		action["selected_option"] = options[i]
	case "external_select":
		action["selected_option"] = obj{"text": obj{"type": "plain_text", "text": value, "emoji": true}, "value": value}
	case "users_select":
		action["selected_user"] = value
	case "conversations_select":
		action["selected_conversation"] = value
	case "channels_select":
		action["selected_channel"] = value
	default:
		return nil, fmt.Errorf("slacktest: a person cannot use a %s here", kind)
	}
	return action, nil
}

// Shortcut runs the app's message shortcut with this callback_id on a message,
// whose channel the bot need not be in.
func (p *Person) Shortcut(channel, ts, callbackID string) (*Delivery, error) {
	s := p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	u, c, err := p.in(channel)
	if err != nil {
		return nil, err
	}
	m, err := s.existing(channel, ts)
	if err != nil {
		return nil, err
	}
	link, _ := s.newResponseURL(responseURL{user: u.ID, channel: c.ID, thread: m.ThreadTS, ts: m.TS})
	payload := s.interaction("message_action", u, c)
	payload["callback_id"], payload["trigger_id"], payload["response_url"] = callbackID, s.newTrigger(u.ID), link
	payload["message_ts"], payload["message"], payload["action_ts"] = m.TS, s.wire(m, false), s.nextTS()
	return s.emit(Interactive, false, payload, nil), nil
}

// Submit sends a modal. values are the inputs' state by block_id and action_id,
// each in the shape Slack gives its element, as
// {"type":"plain_text_input","value":"…"}. The app's acknowledgement closes the
// modal, or says what else becomes of it; see Snapshot.Views.
func (p *Person) Submit(viewID string, values map[string]map[string]any) (*Delivery, error) {
	s := p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := p.me()
	if err != nil {
		return nil, err
	}
	v := s.views[viewID]
	if v == nil || v.User != u.ID || v.Closed {
		return nil, fmt.Errorf("slacktest: %s has no open view %q", u.Name, viewID)
	}
	state := obj{}
	for block, actions := range values {
		state[block] = actions
	}
	payload := s.interaction("view_submission", u, nil)
	payload["trigger_id"], payload["response_urls"] = s.newTrigger(u.ID), []obj{}
	payload["view"] = s.wireView(v, state)
	return s.emit(Interactive, true, payload, func(ack json.RawMessage) { s.answerView(viewID, ack) }), nil
}
