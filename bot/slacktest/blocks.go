package slacktest

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Block is a Block Kit block or element, as JSON.
type Block map[string]any

// The limits of Block Kit, in characters or items. blocksTotal is not documented:
// people found a message of a divider and markdown refused with msg_blocks_too_long
// somewhere above 13,100. Whoever keeps to what is documented for markdown is safe.
const (
	blocksPerMessage = 50
	blocksPerView    = 100
	sectionText      = 3000
	sectionFields    = 10
	fieldText        = 2000
	headerText       = 150
	markdownText     = 12000
	blocksTotal      = 12000
	contextElements  = 10
	actionElements   = 25
	buttonText       = 75
	buttonValue      = 2000
	optionText       = 75
	optionValue      = 150
	selectOptions    = 100
	selectGroups     = 100
	idLength         = 255
	urlLength        = 3000
)

// surface is where blocks are shown.
type surface int

const (
	inMessage surface = iota
	inView
)

var blockTypes = map[surface][]string{
	inMessage: {"section", "divider", "image", "actions", "context", "context_actions", "header", "input", "rich_text",
		"video", "markdown", "table", "plan", "task_card", "file"},
	inView: {"section", "divider", "image", "actions", "context", "header", "input", "rich_text", "video"},
}

var elementTypes = []string{"button", "overflow", "datepicker", "timepicker", "datetimepicker", "checkboxes", "radio_buttons",
	"static_select", "external_select", "users_select", "conversations_select", "channels_select",
	"multi_static_select", "multi_external_select", "multi_users_select", "multi_conversations_select", "multi_channels_select",
	"plain_text_input", "email_text_input", "url_text_input", "number_input", "rich_text_input", "file_input",
	"feedback_buttons", "icon_button", "workflow_button"}

func (b Block) str(key string) string { v, _ := b[key].(string); return v }

func (b Block) sub(key string) Block { return asBlock(b[key]) }

func asBlock(v any) Block {
	switch v := v.(type) {
	case map[string]any:
		return v
	case Block:
		return v
	}
	return nil
}

func (b Block) list(key string) []Block {
	raw, _ := b[key].([]any)
	out := make([]Block, 0, len(raw))
	for _, v := range raw {
		out = append(out, asBlock(v))
	}
	return out
}

// checker collects what is wrong with blocks, in the words of Slack's
// response_metadata.messages.
type checker struct {
	problems []string
	actions  map[string]bool
}

func (c *checker) fail(at, format string, a ...any) {
	c.problems = append(c.problems, fmt.Sprintf("[ERROR] "+format, a...)+" [json-pointer:"+at+"]")
}

// checkBlocks returns invalid_blocks or msg_blocks_too_long if Slack would refuse
// the blocks.
func checkBlocks(blocks []Block, where surface) error {
	most := blocksPerMessage
	if where == inView {
		most = blocksPerView
	}
	c := &checker{}
	if len(blocks) > most {
		c.fail("/blocks", "no more than %d items allowed", most)
	}
	var ids, kinds []string
	markdown := 0
	for i, b := range blocks {
		at := fmt.Sprintf("/blocks/%d", i)
		kind := b.str("type")
		if !slices.Contains(blockTypes[where], kind) {
			c.fail(at+"/type", "unsupported block: %q", kind)
			continue
		}
		kinds = append(kinds, kind)
		if id := b.str("block_id"); id != "" {
			if slices.Contains(ids, id) {
				c.fail(at+"/block_id", "block_id %q already exists", id)
			}
			ids = append(ids, id)
			c.length(at+"/block_id", id, 1, idLength)
		}
		markdown += c.block(at, kind, b)
	}
	if markdown > markdownText {
		c.fail("/blocks", "markdown text must be no more than %d characters", markdownText)
	}
	if slices.Contains(kinds, "plan") && slices.Contains(kinds, "task_card") {
		c.fail("/blocks", "plan and task_card blocks cannot be in one message")
	}
	if len(c.problems) > 0 {
		return refuse("invalid_blocks", c.problems...)
	}
	if where == inMessage && textIn(blocks) > blocksTotal {
		return refuse("msg_blocks_too_long")
	}
	return nil
}

// block checks one block and returns how much markdown text it has.
func (c *checker) block(at, kind string, b Block) int {
	c.actions = map[string]bool{}
	switch kind {
	case "section":
		fields := b.list("fields")
		if b["text"] == nil && len(fields) == 0 {
			c.fail(at, "missing required field: text or fields")
		}
		if b["text"] != nil {
			c.text(at+"/text", b.sub("text"), sectionText, false)
		}
		c.count(at+"/fields", len(fields), 0, sectionFields)
		for i, f := range fields {
			c.text(fmt.Sprintf("%s/fields/%d", at, i), f, fieldText, false)
		}
		if b["accessory"] != nil {
			c.element(at+"/accessory", b.sub("accessory"), true)
		}
	case "header":
		c.text(at+"/text", b.sub("text"), headerText, true)
	case "context":
		elements := b.list("elements")
		c.count(at+"/elements", len(elements), 1, contextElements)
		for i, e := range elements {
			where := fmt.Sprintf("%s/elements/%d", at, i)
			if e.str("type") == "image" {
				c.image(where, e)
			} else {
				c.text(where, e, sectionText, false)
			}
		}
	case "actions", "context_actions":
		elements := b.list("elements")
		c.count(at+"/elements", len(elements), 1, actionElements)
		for i, e := range elements {
			c.element(fmt.Sprintf("%s/elements/%d", at, i), e, false)
		}
	case "input":
		c.text(at+"/label", b.sub("label"), 2000, true)
		c.element(at+"/element", b.sub("element"), false)
	case "markdown":
		c.length(at+"/text", b.str("text"), 1, markdownText)
		return utf8.RuneCountInString(b.str("text"))
	case "image":
		c.image(at, b)
	case "rich_text":
		if _, ok := b["elements"].([]any); !ok {
			c.fail(at, "missing required field: elements")
		}
	case "plan":
		c.length(at+"/title", b.str("title"), 1, sectionText)
	case "task_card":
		if b.str("task_id") == "" || b.str("title") == "" {
			c.fail(at, "missing required field: task_id and title")
		}
		if !slices.Contains([]string{"", "in_progress", "complete", "error"}, b.str("status")) {
			c.fail(at+"/status", "invalid status: %q", b.str("status"))
		}
	case "table":
		rows, _ := b["rows"].([]any)
		c.count(at+"/rows", len(rows), 1, 100)
	}
	return 0
}

func (c *checker) length(at, text string, least, most int) {
	switch n := utf8.RuneCountInString(text); {
	case n < least:
		c.fail(at, "must be more than %d characters", least-1)
	case n > most:
		c.fail(at, "must be less than %d characters", most+1)
	}
}

func (c *checker) count(at string, n, least, most int) {
	switch {
	case n < least:
		c.fail(at, "no fewer than %d items allowed", least)
	case n > most:
		c.fail(at, "no more than %d items allowed", most)
	}
}

// text checks a text object.
func (c *checker) text(at string, t Block, most int, plainOnly bool) {
	kind := t.str("type")
	if kind != "plain_text" && (plainOnly || kind != "mrkdwn") {
		c.fail(at+"/type", "unsupported type: %q", kind)
		return
	}
	c.length(at+"/text", t.str("text"), 1, most)
}

func (c *checker) image(at string, b Block) {
	if b.str("alt_text") == "" {
		c.fail(at, "missing required field: alt_text")
	}
	if b.str("image_url") == "" && b["slack_file"] == nil {
		c.fail(at, "missing required field: image_url or slack_file")
	}
	c.length(at+"/image_url", b.str("image_url"), 0, urlLength)
}

// element checks an interactive element; a section's accessory may be an image.
func (c *checker) element(at string, e Block, accessory bool) {
	kind := e.str("type")
	if accessory && kind == "image" {
		c.image(at, e)
		return
	}
	if !slices.Contains(elementTypes, kind) {
		c.fail(at+"/type", "unsupported type: %q", kind)
		return
	}
	if id := e.str("action_id"); id != "" {
		c.length(at+"/action_id", id, 1, idLength)
		if c.actions[id] {
			c.fail(at+"/action_id", "action_id %q already exists", id)
		}
		c.actions[id] = true
	}
	if kind == "button" {
		c.text(at+"/text", e.sub("text"), buttonText, true)
		c.length(at+"/value", e.str("value"), 0, buttonValue)
		c.length(at+"/url", e.str("url"), 0, urlLength)
		if style := e.str("style"); style != "" && style != "primary" && style != "danger" {
			c.fail(at+"/style", "must be a valid enum value")
		}
	}
	c.options(at, kind, e)
	if p := e.sub("placeholder"); p != nil {
		c.text(at+"/placeholder", p, 150, true)
	}
}

// options checks what may be chosen in an element, in groups or not. docs.slack.dev, "Option group object": a hundred groups of a hundred.
func (c *checker) options(at, kind string, e Block) {
	groups := e.list("option_groups")
	switch {
	case e["options"] != nil && e["option_groups"] != nil:
		c.fail(at, "only one of options and option_groups is allowed")
	case e["option_groups"] != nil:
		c.count(at+"/option_groups", len(groups), 1, selectGroups)
	case e["options"] != nil:
		groups = []Block{e}
	case kind == "static_select":
		c.fail(at, "missing required field: options")
	}
	for n, g := range groups {
		where := at
		if e["option_groups"] != nil {
			where = fmt.Sprintf("%s/option_groups/%d", at, n)
			c.text(where+"/label", g.sub("label"), optionText, true)
		}
		options := g.list("options")
		c.count(where+"/options", len(options), 1, selectOptions)
		for i, o := range options {
			of := fmt.Sprintf("%s/options/%d", where, i)
			c.text(of+"/text", o.sub("text"), optionText, strings.HasSuffix(kind, "_select"))
			c.length(of+"/value", o.str("value"), 1, optionValue)
		}
	}
}

// textIn counts the characters people would read in the blocks.
func textIn(v any) int {
	n := 0
	switch v := v.(type) {
	case []Block:
		for _, b := range v {
			n += textIn(map[string]any(b))
		}
	case []any:
		for _, e := range v {
			n += textIn(e)
		}
	case map[string]any:
		for key, e := range v {
			text, isText := e.(string)
			switch {
			case !isText:
				n += textIn(e)
			case key == "text" || key == "title" || key == "alt_text":
				n += utf8.RuneCountInString(text)
			}
		}
	}
	return n
}

// nameBlocks gives blocks and interactive elements without an id one, as Slack
// does.
func (s *Server) nameBlocks(blocks []Block) []Block {
	for _, b := range blocks {
		if b.str("block_id") == "" {
			b["block_id"] = strings.ToLower(s.nextID("b"))
		}
		elements := append(b.list("elements"), b.sub("accessory"), b.sub("element"))
		for _, e := range elements {
			if slices.Contains(elementTypes, e.str("type")) && e.str("action_id") == "" {
				e["action_id"] = strings.ToLower(s.nextID("a"))
			}
		}
	}
	return blocks
}
