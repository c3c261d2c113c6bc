// Package slacktest is a Slack on loopback: one workspace whose Web API and
// Socket Mode answer an unmodified Slack client, and whose people are Go values
// that type, react and press buttons.
//
//	slack := slacktest.New(slacktest.Config{})
//	if err := slack.Start(); err != nil { ... }
//	defer slack.Close()
//	// the app under test connects to slack.URL() with slack.BotToken() and slack.AppToken()
//	msg, err := slack.As("alice").Post("general", "@inspect fix the flaky test")
//	err = slack.Wait(ctx, func(now *slacktest.Snapshot) bool {
//		return len(now.Thread("general", msg.TS)) > 1
//	})
//	fmt.Println(slack.Render("general", msg.TS))
//
// # What it promises
//
// Every action of a person sends the app the payloads that Slack's documentation
// and clients describe for an app subscribed to [DefaultEvents]: a mention in a channel arrives twice
// (app_mention and message, one ts, two event ids), the app's own posts come back
// as message events with a bot_id, an edit is a message_changed with the message
// nested, and events of channels the bot is not in never arrive.
//
// Refusals carry Slack's error codes, and the limits of messages and blocks are
// Slack's. A method that is not offered answers unknown_method.
//
// # Socket Mode
//
// A URL from apps.connections.open works once. Each payload goes to one of the
// connected sockets, the oldest unless [Config.Spread] says otherwise. An event that is not acknowledged before its socket is gone,
// or that happened while none was open, is sent again with retry_attempt and
// retry_reason when the next socket opens, and whenever [Server.Redeliver] is
// called. Slash commands and interactions are never repeated: the person who
// made them sees a failure, as in Slack.
//
// # Faults
//
// [Server.Inject] makes calls fail, by method and channel, so many times; [Server.Revoke]
// takes a token away; [Server.Archive] and [Server.Kick] close a channel to the bot.
// [Server.Disconnect], [Server.CutSockets], [Server.HalfOpen], [Server.Split],
// [Server.SendFrame] and [Server.Emit] are about the sockets and what comes on them.
//
// [Faults] has one hook before the work of a call, one after it, and one around
// the delivery of each envelope; between them they can refuse, limit, delay,
// reorder, repeat, lose and cut.
package slacktest
