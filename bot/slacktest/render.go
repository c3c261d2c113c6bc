package slacktest

import (
	"fmt"
	"regexp"
	"strings"
)

// Rendering turns messages into the plain text a person reads. The zero value
// shows labelled links as their label alone, which keeps golden files free of
// addresses that change.
type Rendering struct {
	URLs bool // show the address of labelled links and buttons, in parentheses
}

// Render returns a thread, message after message; "" if there is none. A message
// begins with its author's name, its further lines are indented by two spaces,
// and below it are its files and reactions:
//
//	alice: @inspect fix the flaky test
//	  :eyes: inspect
//	inspect: Fixed in 2 files. (edited)
//	  [Open log] [Stop]
func (s *Server) Render(channel, ts string) string {
	return s.Snapshot().Render(Rendering{}, channel, ts)
}

// Render is Server.Render for this moment.
func (n *Snapshot) Render(r Rendering, channel, ts string) string {
	var out strings.Builder
	for _, m := range n.Thread(channel, ts) {
		out.WriteString(n.RenderMessage(r, m))
	}
	return out.String()
}

// RenderMessage returns one message, ending in a newline.
func (n *Snapshot) RenderMessage(r Rendering, m Message) string {
	p := &painter{snap: n, Rendering: r}
	lines := strings.Split(p.body(m), "\n")
	if m.EditedTS != "" {
		lines[len(lines)-1] = strings.TrimLeft(lines[len(lines)-1]+" (edited)", " ")
	}
	if m.To != "" {
		lines[0] = strings.TrimRight("(only "+p.user(m.To)+" sees this) "+lines[0], " ")
	}
	for _, f := range m.Files {
		lines = append(lines, "[file: "+f.Name+"]")
	}
	var reactions []string
	for _, reaction := range m.Reactions {
		var names []string
		for _, u := range reaction.Users {
			names = append(names, p.user(u))
		}
		reactions = append(reactions, ":"+reaction.Name+": "+strings.Join(names, ", "))
	}
	if len(reactions) > 0 {
		lines = append(lines, strings.Join(reactions, "  "))
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%s:", p.user(m.User))
	for i, line := range lines {
		switch {
		case line == "":
			out.WriteString("\n")
		case i == 0:
			out.WriteString(" " + line + "\n")
		default:
			out.WriteString("  " + line + "\n")
		}
	}
	return out.String()
}

// RenderView returns a modal or a home tab, block after block: a menu with what is chosen, or what stands in its place.
func (n *Snapshot) RenderView(r Rendering, v View) string {
	p := &painter{snap: n, Rendering: r}
	var out strings.Builder
	for _, b := range v.Blocks {
		out.WriteString(p.block(b) + "\n")
	}
	if t, ok := v.raw["submit"].(map[string]any); ok {
		out.WriteString("[" + p.text(t) + "]\n")
	}
	return out.String()
}

// painter renders one message.
type painter struct {
	snap *Snapshot
	Rendering
}

func (p *painter) user(id string) string {
	if u := p.snap.users[id]; u != nil {
		return u.DisplayName
	}
	if id == "USLACKBOT" {
		return "slackbot"
	}
	return id
}

func (p *painter) body(m Message) string {
	var parts []string
	for _, b := range m.Blocks {
		if text := p.block(b); text != "" {
			parts = append(parts, text)
		}
	}
	if len(m.Blocks) == 0 && m.Text != "" {
		parts = append(parts, p.mrkdwn(m.Text))
	}
	for _, a := range m.Attachments {
		b := Block(a)
		who, _, _ := strings.Cut(b.str("author_name"), "\n")
		text := b.str("text")
		if text == "" {
			text = b.str("fallback")
		}
		if who != "" {
			text = who + ": " + text
		}
		parts = append(parts, "> "+strings.ReplaceAll(p.mrkdwn(text), "\n", "\n> "))
	}
	return strings.TrimRight(strings.Join(parts, "\n"), "\n")
}

// block renders one block.
func (p *painter) block(b Block) string {
	switch b.str("type") {
	case "section":
		var lines []string
		if t := b.sub("text"); t != nil {
			lines = append(lines, p.text(t))
		}
		for _, f := range b.list("fields") {
			lines = append(lines, p.text(f))
		}
		text := strings.Join(lines, "\n")
		if a := b.sub("accessory"); a != nil {
			text += " " + p.element(a)
		}
		return text
	case "header":
		return p.text(b.sub("text"))
	case "context":
		return p.join(b.list("elements"), " · ")
	case "actions", "context_actions":
		return p.join(b.list("elements"), " ")
	case "divider":
		return "---"
	case "markdown":
		return strings.TrimRight(p.markdown(b.str("text")), "\n")
	case "image":
		return "[image: " + b.str("alt_text") + "]"
	case "rich_text":
		return p.richText(b)
	case "plan":
		lines := []string{b.str("title")}
		for _, t := range b.list("tasks") {
			lines = append(lines, p.block(t))
		}
		return strings.Join(lines, "\n")
	case "task_card":
		status := strings.TrimPrefix(b.str("status")+": ", ": ")
		return "- " + status + b.str("title")
	case "table":
		return p.table(b)
	case "input":
		return p.text(b.sub("label")) + ": " + p.element(b.sub("element"))
	default:
		return "[" + b.str("type") + "]"
	}
}

func (p *painter) join(elements []Block, between string) string {
	var parts []string
	for _, e := range elements {
		parts = append(parts, p.element(e))
	}
	return strings.Join(parts, between)
}

func (p *painter) element(e Block) string {
	switch e.str("type") {
	case "plain_text", "mrkdwn":
		return p.text(e)
	case "image":
		return "[image: " + e.str("alt_text") + "]"
	case "button":
		label := p.text(e.sub("text"))
		if url := e.str("url"); url != "" && p.URLs {
			return "[" + label + " (" + url + ")]"
		}
		return "[" + label + "]"
	default:
		label := p.text(e.sub("placeholder"))
		if label == "" {
			label = e.str("type")
		}
		if chosen := e.sub("initial_option"); chosen != nil {
			label = p.text(chosen.sub("text"))
		}
		return "[" + label + " ▾]"
	}
}

// text renders a text object.
func (p *painter) text(t Block) string {
	if t.str("type") == "mrkdwn" {
		return p.mrkdwn(t.str("text"))
	}
	return t.str("text")
}

var (
	entities     = regexp.MustCompile(`<([^<>\n]+)>`)
	markdownLink = regexp.MustCompile(`\[([^\]\n]+)\]\(([^)\s]+)\)`)
	unescape     = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&")
)

// mrkdwn resolves mentions, links and escapes. Emphasis keeps its signs.
func (p *painter) mrkdwn(text string) string {
	return unescape.Replace(entities.ReplaceAllStringFunc(text, func(entity string) string {
		target, label, labelled := strings.Cut(entity[1:len(entity)-1], "|")
		if target == "" {
			return entity // no address: Slack shows what was typed
		}
		switch target[0] {
		case '@':
			return "@" + p.user(target[1:])
		case '#':
			if c := p.snap.channels[target[1:]]; c != nil {
				label = c.Name
			}
			return "#" + label
		case '!':
			if labelled {
				return label
			}
			return "@" + target[1:]
		}
		return p.link(target, label)
	}))
}

func (p *painter) link(target, label string) string {
	switch {
	case label == "":
		return target
	case p.URLs && label != target:
		return label + " (" + target + ")"
	}
	return label
}

func (p *painter) markdown(text string) string {
	text = markdownLink.ReplaceAllStringFunc(text, func(link string) string {
		m := markdownLink.FindStringSubmatch(link)
		return p.link(m[2], m[1])
	})
	return p.mrkdwn(text)
}

// richText renders what people type, and lists, quotes and code of apps.
func (p *painter) richText(b Block) string {
	var lines []string
	for _, part := range b.list("elements") {
		switch part.str("type") {
		case "rich_text_list":
			for _, item := range part.list("elements") {
				lines = append(lines, "• "+p.inline(item))
			}
		case "rich_text_quote":
			lines = append(lines, "> "+strings.ReplaceAll(p.inline(part), "\n", "\n> "))
		default:
			lines = append(lines, p.inline(part))
		}
	}
	return strings.Join(lines, "\n")
}

func (p *painter) inline(section Block) string {
	var out strings.Builder
	for _, e := range section.list("elements") {
		switch e.str("type") {
		case "user":
			out.WriteString("@" + p.user(e.str("user_id")))
		case "channel":
			if c := p.snap.channels[e.str("channel_id")]; c != nil {
				out.WriteString("#" + c.Name)
			}
		case "link":
			out.WriteString(p.link(e.str("url"), e.str("text")))
		case "emoji":
			out.WriteString(":" + e.str("name") + ":")
		case "broadcast":
			out.WriteString("@" + e.str("range"))
		default:
			out.WriteString(e.str("text"))
		}
	}
	return out.String()
}

func (p *painter) table(b Block) string {
	rows, _ := b["rows"].([]any)
	var lines []string
	for _, row := range rows {
		cells, _ := row.([]any)
		var texts []string
		for _, cell := range cells {
			if c := asBlock(cell); c.str("type") == "rich_text" {
				texts = append(texts, p.richText(c))
			} else {
				texts = append(texts, c.str("text"))
			}
		}
		lines = append(lines, strings.Join(texts, " | "))
	}
	return strings.Join(lines, "\n")
}
