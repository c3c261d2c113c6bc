//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"

	"openinspect/bot/slacktest"
	"openinspect/session"
)

// envSecrets names the file from which a served bot takes the repositories' secrets.
const envSecrets = "OPENINSPECT_TEST_SECRETS"

// vaultFile is what people entered for repositories, until there is a store for it: JSON, variables by repository.
type vaultFile string

func (v vaultFile) Environment(_ context.Context, r session.Repo) (map[string]string, error) {
	all := map[string]map[string]string{}
	b, err := os.ReadFile(string(v))
	if err == nil {
		err = json.Unmarshal(b, &all)
	}
	if err != nil {
		return nil, &session.Error{Code: session.Internal, Op: "vault", Err: err}
	}
	return all[r.String()], nil
}

// wire remembers what went to Modal and back.
type wire struct {
	mu  sync.Mutex
	all map[string][]byte // by method
}

func (w *wire) note(method string, message []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[string][]byte{}
	}
	w.all[method] = append(append(w.all[method], message...), 0)
}

// secret set NAME VALUE: gives the stage's repository a secret, before the bot starts or later. secret shut: it cannot be read any more.
// secret nowhere VALUE: it is in no file of the bot, of its sandboxes and of the Modal of the script, in nothing that went to Modal and back, in no message,
// and in the environment or arguments of no process of the bot.
func (p *play) cmdSecret(_ context.Context, _ *testscript.TestScript, args []string) error {
	switch {
	case len(args) == 3 && args[0] == "set":
		all := map[string]map[string]string{stageRepo: {}}
		if p.vault == "" {
			f, err := os.CreateTemp("", "vault-") // not where the bot's files are
			if err != nil {
				return err
			}
			p.vault = f.Name()
			if err := f.Close(); err != nil {
				return err
			}
		} else if b, err := os.ReadFile(p.vault); err != nil || json.Unmarshal(b, &all) != nil {
			return fmt.Errorf("the vault is shut: %w", err)
		}
		all[stageRepo][args[1]] = args[2]
		b, err := json.Marshal(all)
		if err != nil {
			return err
		}
		return os.WriteFile(p.vault, b, 0o600)
	case len(args) == 1 && args[0] == "shut":
		return os.WriteFile(p.vault, []byte("shut"), 0o600)
	case len(args) == 2 && args[0] == "nowhere":
		return p.nowhere(args[1])
	}
	return usage("secret set NAME VALUE, secret shut, secret nowhere VALUE")
}

// nowhere looks for a value, as it is and encoded.
func (p *play) nowhere(value string) error {
	forms := [][]byte{[]byte(value), []byte(base64.StdEncoding.EncodeToString([]byte(value))), []byte(hex.EncodeToString([]byte(value)))}
	look := func(where string, b []byte) error {
		if slices.ContainsFunc(forms, func(form []byte) bool { return bytes.Contains(b, form) }) {
			return fmt.Errorf("it is in %s", where)
		}
		return nil
	}
	var all []error
	files := 0
	err := filepath.WalkDir(p.dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && !e.Type().IsRegular() {
			return nil // sandboxes live
		}
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		files++
		all = append(all, look(path, b))
		return nil
	})
	all = append(all, err)
	p.wire.mu.Lock()
	for method, b := range p.wire.all {
		all = append(all, look("a message of "+method, b))
	}
	messages := len(p.wire.all)
	p.wire.mu.Unlock()
	all = append(all, look("the thread", []byte(p.rendered(p.stage.slack.Snapshot(), slacktest.Rendering{URLs: true}))))
	for _, name := range []string{"environ", "cmdline"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.bot.cmd.Process.Pid, name))
		if err == nil || !errors.Is(err, fs.ErrPermission) { // the bot makes itself undumpable
			all = append(all, err, look("the bot's "+name, b))
		}
	}
	if files < 5 || p.modal != nil && messages < 5 {
		all = append(all, fmt.Errorf("only %d files and %d methods were looked at", files, messages))
	}
	return errors.Join(all...)
}
