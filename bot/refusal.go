package bot

import (
	"errors"
	"slices"

	"github.com/slack-go/slack"

	"openinspect/session"
)

// What Slack's error codes mean to the bot. They are from the pages of the methods in Slack's reference.

// refusalOf returns the code of a refusal of Slack's; empty for any other error, and for none.
func refusalOf(err error) string {
	refusal, _ := errors.AsType[slack.SlackErrorResponse](err)
	return refusal.Err
}

// problemsOf returns what Slack finds wrong with a call, in its words.
func problemsOf(err error) []string {
	refusal, _ := errors.AsType[slack.SlackErrorResponse](err)
	return refusal.ResponseMetadata.Messages
}

// passing reports whether a code is about the moment, not about the call.
func passing(code string) bool {
	switch code {
	case "internal_error", "fatal_error", "service_unavailable", "request_timeout", "ratelimited", "rate_limited", "message_limit_exceeded",
		"team_added_to_org", "accesslimited":
		return true
	}
	return false
}

// revoked reports whether a token is good for nothing any more: only the operator can mend that.
func revoked(err error) bool {
	switch refusalOf(err) {
	case "invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "not_allowed_token_type":
		return true
	}
	return false
}

// mendable reports whether the operator can make Slack take the same call. What is to be said waits for that.
func mendable(err error) bool {
	switch refusalOf(err) {
	case "missing_scope", "no_permission", "access_denied", "team_access_not_granted", "ekm_access_denied", "org_login_required",
		"enterprise_is_restricted", "two_factor_setup_required":
		return true
	}
	return false
}

// closed reports whether nothing can be said in a channel any more: it is archived or locked, or the bot was removed from it.
func closed(err error) bool { return shuts(refusalOf(err)) }

// shuts is closed by the code.
func shuts(code string) bool {
	switch code {
	case "is_archived", "is_inactive", "channel_not_found", "not_in_channel", "restricted_action", "restricted_action_read_only_channel",
		"restricted_action_thread_only_channel", "restricted_action_non_threadable_channel", "restricted_action_thread_locked":
		return true
	}
	return false
}

// absent reports whether a person cannot be reached in a channel, or a channel not at all.
func absent(err error) bool { return closed(err) || refusalOf(err) == "user_not_in_channel" }

// plainer reports whether Slack refuses the form of a message, so that less of it may pass.
func plainer(err error) bool {
	return slices.Contains([]string{"invalid_blocks", "invalid_blocks_format", "msg_too_long", "msg_blocks_too_long", "block_mismatch",
		"markdown_text_conflict", "unsupported_block_type", "no_text", "too_many_emoji"}, refusalOf(err))
}

// advice is what the operator can do about an error, to be put after what happened; empty if there is nothing.
func advice(err error) string {
	refusal, _ := errors.AsType[slack.SlackErrorResponse](err)
	switch {
	case refusal.Err == "missing_scope":
		return ". Add the scope " + refusal.Needed + " on the app's page OAuth & Permissions (manifest.yaml has all of them), and install the app again"
	case mendable(err):
		return ". The workspace's administrators restrict the app; ask them to allow it"
	case refusal.Err == "is_archived" || refusal.Err == "is_inactive":
		return ". The channel is archived"
	case closed(err):
		return ". The bot is not in the channel any more, or may not post there"
	}
	return ""
}

// outside wraps an error of Slack's API: what Slack refuses is final, everything else may pass. A revoked token ends the run.
func (b *Bot) outside(method string, err error) error {
	if revoked(err) {
		b.fail(refusedToken("SLACK_BOT_TOKEN", err))
	}
	if code := refusalOf(err); code != "" && !passing(code) {
		return &session.Error{Code: session.Internal, Op: "slack " + method + advice(err), Err: err,
			Message: "Slack refused something the bot needs (" + code + "). The operator's log has the details."}
	}
	return &session.Error{Code: session.Unavailable, Op: "slack " + method, Err: err, Message: "Slack does not answer. Please try again in a minute."}
}

// refusedToken says which variable to mend when Slack does not take a token.
func refusedToken(variable string, err error) error {
	code := refusalOf(err)
	if code == "" || passing(code) {
		return &session.Error{Code: session.Unavailable, Err: err, Message: "Slack does not answer. Check the network, and SLACK_API_URL if it is set."}
	}
	hint := "Copy the Bot User OAuth Token (xoxb-…) from the app's page OAuth & Permissions."
	if variable == "SLACK_APP_TOKEN" {
		hint = "It must be an app-level token (xapp-…) with the scope connections:write, and Socket Mode must be switched on; see the app's page Basic Information."
	}
	switch code {
	case "token_revoked", "account_inactive":
		hint = "The token was revoked or the app was removed from the workspace. Install the app again, and copy its new token. What was to be said is kept and said then."
	case "token_expired":
		hint = "The app rotates its tokens, which this bot does not follow. Switch token rotation off on the app's page OAuth & Permissions, install the app again, and copy its new token. What was to be said is kept and said then."
	}
	return &session.Error{Code: session.Invalid, Err: err, Message: "Slack refuses " + variable + " (" + code + "). " + hint}
}
