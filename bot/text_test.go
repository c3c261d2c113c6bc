package bot

import (
	"strings"
	"testing"

	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/text"
)

func TestPlain(t *testing.T) {
	names := func(user string) string { return map[string]string{"U1": "Ada", "UBOT": "inspect"}[user] }
	for _, c := range []struct{ in, want string }{
		{"<@UBOT> fix &lt;b&gt; &amp; more", "fix <b> & more"},
		{"<@UBOT>, <@U1> says: see <https://a.test/x?a=1&amp;b=2>", "@Ada says: see https://a.test/x?a=1&b=2"},
		{"<@UBOT|inspect> see <https://a.test|the docs> in <#C1|general>", "see the docs (https://a.test) in #general"},
		{"<http://github.com/acme/web|github.com/acme/web>", "http://github.com/acme/web"},
		{"<!here> and <!subteam^S1|@team> and <!date^1^x|today>", "@here and @team and today"},
		{"fix this, <@UBOT>!", "fix this"},
		{"what does <@UBOT> think of it", "what does @inspect think of it"},
		{"<mailto:a@b.test|a@b.test>", "a@b.test"},
		{"&amp;lt;", "&lt;"},
	} {
		if got := plain(withoutUs(c.in, "UBOT"), names); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
}

func TestToOthers(t *testing.T) {
	for text, want := range map[string]bool{
		"<@U1> what do you think":           true,
		"<@U1> what does <@UBOT> say":       true,
		"<@U1> <@UBOT> please":              false,
		"<@UBOT> ask <@U1>":                 false,
		"please":                            false,
		" <@U1|ada>: hello":                 true,
		"as <@U1> said, this is for anyone": false,
	} {
		if got := toOthers(text, "UBOT"); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestNeutral(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"see [docs](https://evil.test)", "see [docs] (https://evil.test)"},
		{"![x](https://evil.test/pixel.png)", "![x] (https://evil.test/pixel.png)"},
		{"[a [b] c](&#104;ttps://evil.test)", "[a [b] c] (&#104;ttps://evil.test)"},
		{"[docs][1]\n\n[1]: https://evil.test", "[docs][1]\n\n[1] : https://evil.test"},
		{"<https://evil.test|https://good.test>", "https://good.test (https://evil.test)"},
		{"<!channel> <!subteam^S1> <@U1> <#C1>", "<\u200b!channel> <\u200b!subteam^S1> <\u200b@U1> <\u200b#C1>"},
		{"@channel, @here and a@b.test", "@\u200bchannel, @\u200bhere and a@b.test"},
		{"a\u202eb\x07c\td\n", "abc\td\n"},
		{"**bold** `x := a[i]` <b>", "**bold** `x := a[i]` <b>"},
		{"<HTTPS://evil.test|https://good.test> <slack://open|docs>", "https://good.test (HTTPS://evil.test) docs (slack://open)"},
		{"<https://evil.test|<https://good.test|good>>", "<\u200bhttps://evil.test|good (https://good.test)>"},
		{"see:\n```py\nif a[1]: f[0](x)\n```\nand [x](y)", "see:\n```py\nif a[1]: f[0](x)\n```\nand [x] (y)"},
		{"```\n@channel\n``` \n```\na[1]:\n```\n", "```\n@\u200bchannel\n``` \n```\na[1]:\n```\n"},
		{"call `handlers[name](w, r)`, not `a[i]: x` or [x](y)", "call `handlers[name](w, r)`, not `a[i]: x` or [x] (y)"},
		{"- `f[int](x)`\n- `g`", "- `f[int](x)`\n- `g`"},
		{"an ` and\n`f[0](x)`\n\n`f[0](x)`", "an ` and\n`f[0] (x)`\n\n`f[0](x)`"},
		{"| `a | [x](y)` |", "| `a | [x] (y)` |"},
		{"``a` [x](y) `b``", "``a` [x] (y) `b``"},
		{"\\`[x](y)`", "\\`[x] (y)`"},
		{"<a b=`>[x](y)`", "<a b=`>[x] (y)`"},
		{"a`[x](y)`", "a`[x] (y)`"},
		// What one reader takes for code may be none to the next.
		{"```\n[x](y)", "```\n[x] (y)"},
		{"````\n```\n[x](y)\n````\n", "````\n```\n[x] (y)\n````\n"},
		{" ```\n```\n[x](y)\n```\n", " ```\n```\n[x] (y)\n```\n"},
		{"~~~\n```\n~~~\n[x](y)\n```\n", "~~~\n```\n~~~\n[x] (y)\n```\n"},
		{"<!--\n```\n-->\n[x](y)\n```\n", "<!--\n```\n-->\n[x] (y)\n```\n"},
		{"> ```\n> a\n```\n[x](y)\n```\n", "> ```\n> a\n```\n[x] (y)\n```\n"},
		{"```\na ```\n[x](y)\n```\n", "```\na ```\n[x] (y)\n```\n"},
		{"```\nok\n```\n``` x\n[x](y)\n```\n", "```\nok\n```\n``` x\n[x](y)\n```\n"},
	} {
		if got := neutral(c.in); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
}

func FuzzNeutral(f *testing.F) {
	f.Add("[a](b) <!here> [x]: y <@U1>")
	f.Add("```\n[a](b)\n```\n~~~\n```\n[a](b)\n```\n> ```\n")
	f.Add("- ```\n```\n[a](b)\n```\n<pre>\n")
	f.Add("`[a](b)` `\n[a](b)`\n\n``[a](b)` \\`[a](b)` | <`>[a](b)`")
	f.Fuzz(func(t *testing.T, s string) {
		got := neutral(s)
		for _, bad := range []string{"<!channel", "<!here", "<!everyone", "@channel", "@everyone", "\u202e"} {
			if strings.Contains(got, bad) {
				t.Errorf("%q: %q has %q in it", s, got, bad)
			}
		}
		for i, bare := 0, spans.ReplaceAllString(fenced.ReplaceAllString(got, ""), "`"); i < 2; i++ {
			if bad := []string{"](", "]:"}[i]; strings.Contains(bare, bad) {
				t.Errorf("%q: %q has %q in it, outside of code", s, got, bad)
			}
		}
		// Of the same opinion, what is code and what is not, is a reader of markdown.
		source := []byte(got)
		_ = ast.Walk(parser.Parse(text.NewReader(source)), func(n ast.Node, entering bool) (ast.WalkStatus, error) {
			switch n.(type) {
			case *ast.Link, *ast.Image:
				t.Errorf("%q: %q has a link in it", s, got)
			}
			return ast.WalkContinue, nil
		})
	})
}

func FuzzPlain(f *testing.F) {
	f.Add("<@U1> &lt; <https://a|b> <!x^y|z>")
	f.Fuzz(func(t *testing.T, s string) {
		plain(withoutUs(s, "U1"), func(u string) string { return u })
	})
}

func TestCode(t *testing.T) {
	for in, want := range map[string]string{"a`b": "`aˋb`", "<x>": "`&lt;x&gt;`", "": "", "a\nb": "`a b`", "a\u202egpj.exe\u2066": "`agpj.exe`"} {
		if got := code(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
