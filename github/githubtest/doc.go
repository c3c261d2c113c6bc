// Package githubtest is a GitHub on loopback: one App, its installations, repositories that are real bare git
// repositories, and people who can be asked to approve a device code. It serves tests and the demo in process.
//
// A Server answers the way a GitHub Enterprise host does, under one base URL:
//
//	/api/v3/…                      REST
//	/{owner}/{repo}.git/…          git over smart HTTP, by git's own http-backend
//	/login/device/code             the device flow; a person answers with Server.Approve or Server.Deny
//	/login/oauth/access_token      its tokens, and their refresh
//	/{owner}/{repo}/pull/{number}  a plain page, so that links lead somewhere
//
// # Use
//
//	server := githubtest.New(githubtest.Config{})
//	if err := server.Start(); err != nil { … }
//	defer server.Close()
//	server.AddUser(githubtest.User{Login: "ada", Access: map[string]string{"acme/web": "write"}})
//	server.AddRepository(githubtest.Repository{Name: "acme/web", Private: true, Files: map[string]string{"a.txt": "a\n"}})
//
// The zero Config is an App called open-inspect with the permissions a coding agent asks for.
//
// # What is true to GitHub
//
// Tokens are scoped, expire on the server's clock and can be revoked. Permissions, rights and refusals carry
// GitHub's status codes and words. Merging, comparing and pushing are done by git. Answers have an ETag that
// belongs to the token that asked, a pull request also a Last-Modified, which is its updated_at, and all have rate limit headers. Response bodies hold the fields that GitHub's published
// OpenAPI description requires: package openapi holds every call of this package's and package github's tests against it, by Config.Validate. Where
// the description says what cannot be, openapi says so.
//
// # What is not there
//
// Forks, teams, GraphQL, merge queues, and rules beyond required approvals on the default branch and those of SetRule.
//
// # Watching and breaking
//
// CreateBranch, Open, Review, Comment, Dismiss, Merge, ClosePull, ReopenPull, EditPull, SetDraft, Lock, Push, ForcePush, UpdateBranch and DeleteBranch are what people do with
// pull requests. Pulls, Log, Refs, Tokens, Calls and Usage say what happened; Wait sleeps until something does; Config.OnEvent is told.
// SetWebhook has it told as GitHub tells Apps; Deliveries and Redeliver are its page of them.
// Config.Fault and Server.Fail answer any call in the server's place, before its work or after it: with an error, with nothing, with half an
// answer. Busy, Refusal, SSO, PrimaryLimit and SecondaryLimit are GitHub's own words. SetRule, Protect, SetMergeMethods, SetDrafts, SetInstalled, Rename, Suspend, SetArchived, SetBlocked, ExpireTokens,
// SpendRefresh, RevokeAuthorization and DisableDeviceFlow change what people change on GitHub.
package githubtest
