package githubtest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// The update hook's settings, in the environment of a push.
const (
	hookRefusals  = "GITHUBTEST_REFUSALS"  // the file to which it writes "ref<tab>reason" for each ref it refuses
	hookWorkflows = "GITHUBTEST_WORKFLOWS" // set if workflow files may not be touched
	hookRule      = "GITHUBTEST_RULE"      // the reason for which every push is refused
	hookProtected = "GITHUBTEST_PROTECTED" // a ref that only a merge may move
)

// updateHook judges one ref of a push. It looks at commits no other ref has, since GitHub lets a workflow file pass
// that another branch already holds.
const updateHook = `#!/bin/sh
refuse() {
	printf '%s\t%s\n' "$1" "$2" >>"$GITHUBTEST_REFUSALS"
	exit 1
}
[ -n "$GITHUBTEST_REFUSALS" ] || exit 0
[ -z "$GITHUBTEST_RULE" ] || refuse "$1" "$GITHUBTEST_RULE"
[ "$1" != "$GITHUBTEST_PROTECTED" ] || refuse "$1" 'protected branch hook declined'
case $3 in *[!0]*) ;; *) exit 0 ;; esac
[ -n "$GITHUBTEST_WORKFLOWS" ] || exit 0
path=$(git -c core.quotePath=false log -c --format= --name-only --no-renames "$3" --not --all -- .github/workflows | sed -n 1p)
[ -z "$path" ] || refuse "$1" "refusing to allow a GitHub App to create or update workflow ` + "\\`$path\\`" + ` without ` + "\\`workflows\\`" + ` permission"
`

func writeUpdateHook(dir string) error {
	hooks := filepath.Join(dir, "hooks")
	if err := os.MkdirAll(hooks, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(hooks, "update"), []byte(updateHook), 0o755)
}

// readRefusals returns the hook's reasons by ref.
func readRefusals(name string) (map[string]string, error) {
	content, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	reasons := map[string]string{}
	for line := range strings.Lines(string(content)) {
		ref, reason, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		reasons[ref] = reason
	}
	return reasons, err
}

// rewriteReport puts the reasons into git's answer to a push, where a hook can only say "hook declined". The answer
// is a row of packets, each with its band in the first byte: 1 carries the report, 2 what is shown after "remote: ", which begins with spoken.
func rewriteReport(answer []byte, reasons map[string]string, spoken []string) []byte {
	var report, out bytes.Buffer
	for _, line := range spoken {
		writePacket(&out, []byte("\x02"+line+"\n"))
	}
	for _, p := range packets(answer) {
		switch {
		case len(p) > 0 && p[0] == 1:
			report.Write(p[1:])
		case len(p) > 0 && !bytes.Contains(p, []byte("hook declined to update")):
			writePacket(&out, p)
		}
	}
	var rewritten bytes.Buffer
	for _, p := range packets(report.Bytes()) {
		if p == nil {
			rewritten.WriteString("0000")
			continue
		}
		line := strings.TrimSuffix(string(p), "\n")
		if ref, refused := strings.CutSuffix(strings.TrimPrefix(line, "ng "), " hook declined"); refused && reasons[ref] != "" {
			line = "ng " + ref + " " + reasons[ref]
		}
		writePacket(&rewritten, []byte(line+"\n"))
	}
	const most = 65515 // of data in one packet of a band
	for chunk := rewritten.Bytes(); len(chunk) > 0; {
		n := min(len(chunk), most)
		writePacket(&out, append([]byte{1}, chunk[:n]...))
		chunk = chunk[n:]
	}
	out.WriteString("0000")
	return out.Bytes()
}

// packets splits pkt-lines; a flush is nil. It stops at what is none.
func packets(b []byte) [][]byte {
	var list [][]byte
	for len(b) >= 4 {
		n, err := strconv.ParseUint(string(b[:4]), 16, 16)
		switch {
		case err != nil || int(n) > len(b) || n > 0 && n < 4:
			return list
		case n == 0:
			list = append(list, nil)
			b = b[4:]
		default:
			list = append(list, b[4:n])
			b = b[n:]
		}
	}
	return list
}

func writePacket(out *bytes.Buffer, p []byte) {
	fmt.Fprintf(out, "%04x", len(p)+4)
	out.Write(p)
}
