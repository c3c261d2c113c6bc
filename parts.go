//go:build linux

package main

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"slices"
	"strconv"
	"time"

	"openinspect/bot"
	"openinspect/github"
	"openinspect/sandbox"
	"openinspect/sandbox/gateway"
	"openinspect/session"
	"openinspect/session/model"
	"openinspect/session/model/classify"
	weblite "openinspect/web-lite"
)

// build makes the parts and ties them together.
func (a *App) build(ctx context.Context) (err error) {
	if a.github, err = a.newGitHub(); err != nil {
		return err
	}
	self, err := a.github.Bot(ctx)
	if err != nil {
		return err
	}
	if a.gateway, err = gateway.New(gateway.Config{Providers: a.providers(), Clock: a.o.Clock, Report: a.report}); err != nil {
		return err
	}
	provider, err := a.provider(ctx)
	if err != nil {
		return err
	}
	if a.manager, err = a.newManager(provider, self); err != nil {
		return err
	}
	a.builder = a.newBuilder()
	if a.hub, err = a.newHub(); err != nil {
		return err
	}
	if a.web, err = logPages(a.c.Secrets.MasterKey, weblite.Config{Sessions: a.hub, PublicURL: a.c.PublicURL, Clock: a.o.Clock, Logger: a.log}); err != nil {
		return err
	}
	a.bot, err = a.newBot(ctx)
	return err
}

func (a *App) newGitHub() (*github.GitHub, error) {
	appID, err := strconv.ParseInt(a.c.GitHubAppID, 10, 64)
	if err != nil {
		return nil, &ConfigError{"GITHUB_APP_ID", "is not a number."}
	}
	return github.New(github.Config{
		URL: a.c.GitHubURL, AppID: appID, ClientID: a.c.GitHubClientID, PrivateKey: a.c.Secrets.GitHubPrivateKey,
		Dir: a.c.DataDir, Store: a.db, Clock: a.o.Clock, Linked: a.linked,
		Followed: a.db.Followed,
		Seen: func(ctx context.Context, id session.ID, in session.PullRequestSeen) error {
			return a.hub.Send(ctx, id, in)
		},
		Named:         a.c.NamedPaths,
		Stands:        func(ctx context.Context, r session.MergeRequest) error { return a.bot.MergeStands(ctx, r) },
		WebhookSecret: a.c.Secrets.GitHubWebhook,
		LogURL:        func(id session.ID) string { return a.web.Unsigned(id) },
		Report:        func(op string, err error) { a.log.Warn("github", "op", op, "error", err) },
	})
}

// newManager makes the manager of the provider's sandboxes, whose commits self is the committer of.
func (a *App) newManager(provider sandbox.Provider, self session.Author) (*sandbox.Manager, error) {
	setup, start := a.c.timeouts()
	return sandbox.New(sandbox.Config{
		Provider: provider, Store: a.db, Spares: a.db, Prebuilt: a.db, Archive: a.db, Clock: a.o.Clock, Redactor: a.redactor, Report: a.report,
		Credentials: a.github, Commits: a.github, CloneURL: a.github.CloneURL, Bot: self, Secrets: a.o.Secrets,
		Models: a.gateway, Catalogue: model.OpenCode(a.models()), Providers: a.c.providers(),
		Live:         func(id session.ID, d session.Delta) { a.hub.Live(id, d) },
		LogURL:       func(id session.ID) string { return a.web.Unsigned(id) },
		SetupTimeout: setup, StartTimeout: start,
		MaxWarm: a.c.warm(), Patient: a.o.Patient, Free: func(ctx context.Context) (int, error) { return a.hub.Free(ctx) },
		LogWarm: func(sp session.Spare, did string) {
			log := a.log.With("sandbox", sp.Name, "repository", sp.Repo.String(), "branch", sp.Base)
			if sp.Session != "" {
				log = log.With("session", sp.Session)
			}
			log.Info("a warm sandbox " + did)
		},
	})
}

func (a *App) newBuilder() *sandbox.Builder {
	return sandbox.NewBuilder(sandbox.BuilderConfig{
		Manager: a.manager, Tips: a.github, Basis: a.basis(), Spent: func(ctx context.Context) (bool, error) { return a.hub.Spent(ctx) },
		Built: func(p session.Prebuilt) {
			a.log.Info("an image is built", "repository", p.Repo.String(), "branch", p.Base, "commit", p.Commit, "took", p.Took.Round(time.Millisecond).String())
		},
		Told: func(ctx context.Context, p session.Prebuilt) error { return a.bot.ImageBuilt(ctx, p) },
	})
}

func (a *App) newHub() (*session.Hub, error) {
	forge := session.Forge(a.github)
	if a.o.Forge != nil {
		forge = a.o.Forge(forge)
	}
	return session.NewHub(session.HubConfig{
		Store: a.db, Sandboxes: a.manager, Forge: forge, Audit: a.db, Clock: a.o.Clock, Report: a.report, Budget: a.c.budget, Redactor: a.redactor,
		Room: a.c.room(), Hours: a.db, Daily: a.c.hours(), Starts: a.o.Starts,
		OnCommit: func(id session.ID) { a.bot.Notify(id) },
	})
}

func (a *App) newBot(ctx context.Context) (*bot.Bot, error) {
	restored, err := a.db.Restored(ctx)
	if err != nil {
		return nil, err
	}
	classifier, err := a.classifier()
	if err != nil {
		return nil, err
	}
	return bot.New(bot.Config{
		Classifier: classifier, Warmer: a.manager,
		Restored: a.o.Clock.Now().Sub(restored) < lookFor,
		BotToken: a.c.Secrets.SlackBotToken, AppToken: a.c.Secrets.SlackAppToken, APIURL: a.c.SlackAPIURL,
		Store: a.db, Sessions: a.hub, Repositories: a.github, Linking: a.github, Images: a.builder, Redactor: a.redactor, Clock: a.o.Clock, Logger: a.log,
		DefaultModel: a.c.Model, ModelAvailable: a.available, Log: a.web.Link,
		ApproveEmoji: a.c.EmojiApprove, StopEmoji: a.c.EmojiStop, MergeEmoji: a.c.EmojiMerge, Merge: a.c.Merge, Approvals: a.c.Approvals,
		AllowedChannels: a.c.AllowedChannels, AllowGuests: a.c.AllowGuests,
	})
}

// classifier is who is asked which repository a request is about; nil: nobody but people.
func (a *App) classifier() (bot.Classifier, error) {
	if a.c.ClassifierModel == "" {
		return nil, nil
	}
	return classify.New(classify.Config{Model: a.c.ClassifierModel, BaseURL: a.c.AnthropicURL, Key: a.c.Secrets.AnthropicKey, Clock: a.o.Clock})
}

// logPages makes the log pages, whose links are signed with a child of the master key.
func logPages(masterKey []byte, c weblite.Config) (_ *weblite.Server, err error) {
	if c.Key, err = hkdf.Key(sha256.New, masterKey, nil, "log links", 32); err != nil {
		return nil, err
	}
	return weblite.New(c)
}

// providers are the model providers for which there is a key.
func (a *App) providers() map[string]gateway.Provider {
	all := map[string]gateway.Provider{
		model.Anthropic: {BaseURL: a.c.AnthropicURL, Key: a.c.Secrets.AnthropicKey},
		model.OpenAI:    {BaseURL: a.c.OpenAIURL, Key: a.c.Secrets.OpenAIKey},
	}
	for id, p := range all {
		if p.Key == "" {
			delete(all, id)
		}
	}
	return all
}

// models are those of the catalogue for which there is a key.
func (a *App) models() []model.Model {
	return slices.DeleteFunc(model.All(), func(m model.Model) bool { return !slices.Contains(a.c.providers(), m.Provider) })
}

func (a *App) available(id string) bool {
	return slices.ContainsFunc(a.models(), func(m model.Model) bool { return m.ID == id })
}
