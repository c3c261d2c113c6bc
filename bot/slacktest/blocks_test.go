package slacktest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/slack-go/slack"
)

func repeat(n int, block string) string {
	return "[" + strings.TrimSuffix(strings.Repeat(block+",", n), ",") + "]"
}

func TestBlockLimits(t *testing.T) {
	text := func(kind string, n int) string {
		return fmt.Sprintf(`{"type":%q,"text":%q}`, kind, strings.Repeat("é", n))
	}
	section := func(n int) string { return `{"type":"section","text":` + text("mrkdwn", n) + `}` }
	header := func(kind string, n int) string { return `{"type":"header","text":` + text(kind, n) + `}` }
	markdown := func(n int) string { return text("markdown", n) }
	context := func(n int) string {
		return `{"type":"context","elements":` + repeat(n, text("mrkdwn", 1)) + `}`
	}
	button := func(label, value, id int) string {
		return fmt.Sprintf(`{"type":"button","text":%s,"value":%q,"action_id":%q}`, text("plain_text", label), strings.Repeat("v", value), strings.Repeat("i", id))
	}
	actions := func(elements string) string { return `{"type":"actions","elements":` + elements + `}` }
	menu := func(groups, options, label, value int) string { // one group is none
		option := fmt.Sprintf(`{"text":%s,"value":%q}`, text("plain_text", label), strings.Repeat("v", value))
		entries := `"options":` + repeat(options, option)
		if groups > 1 {
			entries = `"option_groups":` + repeat(groups, `{"label":{"type":"plain_text","text":"group"},`+entries+`}`)
		}
		return "[" + actions(`[{"type":"static_select","action_id":"a",`+entries+`}]`) + "]"
	}
	for name, c := range map[string]struct{ blocks, want string }{
		"50 blocks":               {repeat(50, `{"type":"divider"}`), ""},
		"51 blocks":               {repeat(51, `{"type":"divider"}`), "invalid_blocks"},
		"unknown block":           {`[{"type":"hologram"}]`, "invalid_blocks"},
		"block for streams only":  {`[{"type":"alert","text":"x"}]`, "invalid_blocks"},
		"not blocks":              {`{"type":"divider"}`, "invalid_blocks_format"},
		"section 3000":            {"[" + section(3000) + "]", ""},
		"section 3001":            {"[" + section(3001) + "]", "invalid_blocks"},
		"section empty":           {`[{"type":"section"}]`, "invalid_blocks"},
		"section with no text":    {"[" + section(0) + "]", "invalid_blocks"},
		"11 fields":               {`[{"type":"section","fields":` + repeat(11, text("mrkdwn", 1)) + `}]`, "invalid_blocks"},
		"header 150":              {"[" + header("plain_text", 150) + "]", ""},
		"header 151":              {"[" + header("plain_text", 151) + "]", "invalid_blocks"},
		"header in mrkdwn":        {"[" + header("mrkdwn", 5) + "]", "invalid_blocks"},
		"markdown 12000":          {"[" + markdown(12000) + "]", ""},
		"markdown 12001":          {"[" + markdown(12001) + "]", "invalid_blocks"},
		"markdown twice":          {"[" + markdown(6000) + "," + markdown(6001) + "]", "invalid_blocks"},
		"sum 12000":               {"[" + markdown(9000) + "," + section(3000) + "]", ""},
		"sum 12001":               {"[" + markdown(9001) + "," + section(3000) + "]", "msg_blocks_too_long"},
		"context 10":              {"[" + context(10) + "]", ""},
		"context 11":              {"[" + context(11) + "]", "invalid_blocks"},
		"context 0":               {`[{"type":"context","elements":[]}]`, "invalid_blocks"},
		"button at its limits":    {"[" + actions("["+button(75, 2000, 255)+"]") + "]", ""},
		"button text 76":          {"[" + actions("["+button(76, 1, 1)+"]") + "]", "invalid_blocks"},
		"button value 2001":       {"[" + actions("["+button(1, 2001, 1)+"]") + "]", "invalid_blocks"},
		"action_id 256":           {"[" + actions("["+button(1, 1, 256)+"]") + "]", "invalid_blocks"},
		"one action_id twice":     {"[" + actions("["+button(1, 1, 1)+","+button(1, 1, 1)+"]") + "]", "invalid_blocks"},
		"25 actions":              {"[" + actions(repeat(25, button(1, 1, 0))) + "]", ""},
		"26 actions":              {"[" + actions(repeat(26, button(1, 1, 0))) + "]", "invalid_blocks"},
		"one block_id twice":      {repeat(2, `{"type":"divider","block_id":"d"}`), "invalid_blocks"},
		"plan and task_card":      {`[{"type":"plan","title":"p"},{"type":"task_card","task_id":"1","title":"t"}]`, "invalid_blocks"},
		"pending task_card":       {`[{"type":"task_card","task_id":"1","title":"t","status":"pending"}]`, "invalid_blocks"},
		"image without alt text":  {`[{"type":"image","image_url":"https://acme.test/x.png"}]`, "invalid_blocks"},
		"static select, no items": {"[" + actions(`[{"type":"static_select","action_id":"a"}]`) + "]", "invalid_blocks"},
		"static select 100":       {menu(1, 100, 75, 150), ""},
		"static select 101":       {menu(1, 101, 1, 1), "invalid_blocks"},
		"option text 76":          {menu(1, 1, 76, 1), "invalid_blocks"},
		"option value 151":        {menu(1, 1, 1, 151), "invalid_blocks"},
		"100 groups of 100":       {menu(100, 100, 1, 1), ""},
		"101 groups":              {menu(101, 1, 1, 1), "invalid_blocks"},
		"group of 101":            {menu(2, 101, 1, 1), "invalid_blocks"},
		"group without options":   {menu(2, 0, 1, 1), "invalid_blocks"},
		"group label 76":          {strings.ReplaceAll(menu(2, 1, 1, 1), `"group"`, `"`+strings.Repeat("g", 76)+`"`), "invalid_blocks"},
		"option in mrkdwn":        {strings.ReplaceAll(menu(1, 1, 1, 1), "plain_text", "mrkdwn"), "invalid_blocks"},
		"options and groups":      {strings.ReplaceAll(menu(2, 1, 1, 1), `"option_groups"`, `"options":[],"option_groups"`), "invalid_blocks"},
	} {
		s := New(Config{})
		_, err := s.content(args{"text": "x", "blocks": c.blocks}, textLimit)
		if code(err) != c.want {
			t.Errorf("%s: %q, want %q", name, code(err), c.want)
		}
	}
}

func TestInvalidBlocksSayWhere(t *testing.T) {
	s := start(t, Config{})
	long := slack.NewHeaderBlock(slack.NewTextBlockObject("plain_text", strings.Repeat("x", 151), false, false))
	_, _, err := client(s).PostMessageContext(t.Context(), "C0GENERAL", slack.MsgOptionBlocks(slack.NewDividerBlock(), long))
	refused, ok := err.(slack.SlackErrorResponse)
	want := []string{"[ERROR] must be less than 151 characters [json-pointer:/blocks/1/text/text]"}
	if !ok || refused.Err != "invalid_blocks" || !slices.Equal(refused.ResponseMetadata.Messages, want) {
		t.Errorf("error %#v", err)
	}
}

func FuzzBlocks(f *testing.F) {
	f.Add(`[{"type":"section","text":{"type":"mrkdwn","text":"<@U1|x> <> <!here>"},"accessory":{"type":"button"}}]`)
	f.Add(`[{"type":"rich_text","elements":[null,{"type":"rich_text_list","elements":[1]}]}]`)
	f.Add(`[null,{"type":"table","rows":[[{"type":"raw_text","text":"a"}],1]}]`)
	s := New(Config{})
	f.Fuzz(func(t *testing.T, raw string) {
		c, err := s.content(args{"blocks": raw}, textLimit)
		if err == nil {
			s.Snapshot().RenderMessage(Rendering{}, Message{Blocks: c.blocks})
		}
		var blocks []Block
		if json.Unmarshal([]byte(raw), &blocks) == nil {
			s.Snapshot().RenderMessage(Rendering{URLs: true}, Message{Blocks: blocks, Text: raw})
		}
	})
}
