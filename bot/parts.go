package bot

import (
	"bytes"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	east "github.com/yuin/goldmark/extension/ast"
	markdown "github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// An answer that does not fit into one message is parted between its paragraphs, list items, code blocks and tables. One of these that does not fit by
// itself is parted between its lines: a code block is closed and opened again with its language, a table gets its head again.

// parser reads the blocks of Markdown as people's agents write it. What stands within a line is left alone: it does not part anything, and
// reading it takes long where it is meant to.
var parser = markdown.NewParser(
	markdown.WithBlockParsers(markdown.DefaultBlockParsers()...),
	markdown.WithParagraphTransformers(append(markdown.DefaultParagraphTransformers(), util.Prioritized(extension.NewTableParagraphTransformer(), 200))...),
)

// maxNesting is how deep blocks in blocks are told apart. Below that they are parted by their lines.
const maxNesting = 20

// nested is a line that nobody writes: it opens a hundred quotations or lists, each in the one before. The parser takes seconds for tens of
// thousands of them.
var nested = regexp.MustCompile(`(?m)^(?:[ \t]*(?:>|[-*+][ \t]|\d{1,9}[.)][ \t])){100}`)

// parts parts Markdown into pieces of at most limit characters, which is at least 100. Nothing is left out but space between the pieces.
func parts(said string, limit int) []string {
	if said = strings.Trim(said, "\n"); utf8.RuneCountInString(said) <= limit {
		return []string{said}
	}
	source := []byte(said)
	p := packer{limit: limit}
	if nested.MatchString(said) {
		p.lines(said)
		p.flush()
		return p.done
	}
	p.blocks(source, parser.Parse(text.NewReader(source)), 0, len(source), maxNesting)
	p.flush()
	return p.done
}

// packer fills one part after another.
type packer struct {
	limit int
	done  []string
	part  strings.Builder
	size  int // characters in part
}

func (p *packer) flush() {
	if s := strings.Trim(p.part.String(), "\n"); strings.TrimSpace(s) != "" {
		p.done = append(p.done, s)
	}
	p.part.Reset()
	p.size = 0
}

// fits adds a piece to the part that is being filled, or to a new one, if it fits there.
func (p *packer) fits(piece string) bool {
	n := utf8.RuneCountInString(piece)
	if n > p.limit {
		return false
	}
	if p.size+n > p.limit {
		p.flush()
	}
	p.part.WriteString(piece)
	p.size += n
	return true
}

// blocks adds source[from:to], which is what n holds, child by child, and those of its children, so many levels deep.
func (p *packer) blocks(source []byte, n ast.Node, from, to, levels int) {
	var children []ast.Node
	var starts []int
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		at := begin(source, c)
		if last := len(starts) - 1; at < from || at >= to || last >= 0 && at <= starts[last] {
			continue // nothing of it can be found: it stays with what is before it
		}
		children, starts = append(children, c), append(starts, at)
	}
	if len(children) == 0 {
		p.lines(string(source[from:to]))
		return
	}
	starts[0] = from
	for i, c := range children {
		end := to
		if i+1 < len(children) {
			end = starts[i+1]
		}
		piece := string(source[starts[i]:end])
		if p.fits(piece) {
			continue
		}
		switch {
		case c.Kind() == ast.KindFencedCodeBlock:
			p.code(piece)
		case c.Kind() == east.KindTable:
			p.table(piece)
		case levels > 0 && c.Type() == ast.TypeBlock && c.FirstChild() != nil && c.FirstChild().Type() == ast.TypeBlock:
			p.blocks(source, c, starts[i], end, levels-1)
		default:
			p.lines(piece)
		}
	}
}

// begin is where the line begins on which a block does, as the first of what it holds tells; -1 if nothing of it tells.
func begin(source []byte, n ast.Node) int {
	at := -1
	_ = ast.Walk(n, func(c ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering || c.Type() == ast.TypeInline {
			return ast.WalkContinue, nil
		}
		if f, ok := c.(*ast.FencedCodeBlock); ok {
			switch {
			case f.Info != nil:
				at = lineStart(source, f.Info.Segment.Start)
			case f.Lines().Len() > 0:
				at = lineStart(source, lineStart(source, f.Lines().At(0).Start)-1) // the fence is on the line before
			default:
				return ast.WalkSkipChildren, nil
			}
			return ast.WalkStop, nil
		}
		if c.Lines() != nil && c.Lines().Len() > 0 {
			at = lineStart(source, c.Lines().At(0).Start)
			return ast.WalkStop, nil
		}
		return ast.WalkContinue, nil
	})
	return at
}

func lineStart(source []byte, offset int) int {
	return bytes.LastIndexByte(source[:min(max(offset, 0), len(source))], '\n') + 1
}

var fence = regexp.MustCompile("^([\\s>]*(?:[-*+]|\\d+[.)])?[\\s>]*)(`{3,}|~{3,})(.*)$")

// code adds a code block in several parts, each a block of its own in the same language.
func (p *packer) code(piece string) {
	head, body, _ := strings.Cut(piece, "\n")
	m := fence.FindStringSubmatch(head)
	if m == nil || utf8.RuneCountInString(head) > p.limit/4 {
		p.lines(piece)
		return
	}
	quote := ""
	if strings.Contains(m[1], ">") {
		quote = "> "
	}
	lines := strings.SplitAfter(strings.TrimRight(body, "\n"), "\n")
	if last := strings.Trim(lines[len(lines)-1], " \t>"); strings.HasPrefix(last, m[2]) && strings.Trim(last, m[2][:1]) == "" {
		lines = lines[:len(lines)-1]
	}
	p.flush()
	p.around(head+"\n", quote+m[2]+m[3]+"\n", quote+m[2]+"\n", lines)
}

// table adds a table in several parts, each with the head.
func (p *packer) table(piece string) {
	lines := strings.SplitAfter(strings.TrimRight(piece, "\n"), "\n")
	if len(lines) < 3 || utf8.RuneCountInString(lines[0]+lines[1]) > p.limit/4 {
		p.lines(piece)
		return
	}
	head := lines[0] + lines[1]
	p.flush()
	p.around(head, head, "", lines[2:])
}

// around adds lines, as many to each part as fit between what opens and what closes it.
func (p *packer) around(first, open, shut string, lines []string) {
	room := p.limit - utf8.RuneCountInString(first+open+shut)
	var all []string
	for _, l := range lines {
		all = append(all, chunks(l, room)...)
	}
	start := func(head string) {
		p.part.WriteString(head)
		p.size = utf8.RuneCountInString(head)
	}
	end := func() {
		if s := p.part.String(); shut != "" && !strings.HasSuffix(s, "\n") {
			p.part.WriteString("\n")
		}
		p.part.WriteString(shut)
	}
	start(first)
	for _, l := range all {
		n := utf8.RuneCountInString(l)
		if !strings.HasSuffix(l, "\n") {
			n++
		}
		if p.size+n+utf8.RuneCountInString(shut) > p.limit {
			end()
			p.flush()
			start(open)
		}
		p.part.WriteString(l)
		p.size += n
	}
	end()
	if p.size = utf8.RuneCountInString(p.part.String()); shut == "" {
		p.fits("\n") // the end of the last row
	}
	p.fits("\n")
}

// lines adds text line by line, and a line that is too long word by word.
func (p *packer) lines(piece string) {
	for l := range strings.Lines(piece) {
		for _, c := range chunks(l, p.limit) {
			p.fits(c)
		}
	}
}

// chunks cuts a line into pieces of at most limit characters, between words if it can.
func chunks(line string, limit int) []string {
	var all []string
	for utf8.RuneCountInString(line) > limit {
		at := 0
		for range limit {
			_, size := utf8.DecodeRuneInString(line[at:])
			at += size
		}
		if space := strings.LastIndexByte(line[:at], ' '); space > at/2 {
			at = space + 1
		}
		all, line = append(all, line[:at]), line[at:]
	}
	return append(all, line)
}
