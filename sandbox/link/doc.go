// Package link is the connection between the bot and a runner: one WebSocket, dialled by the bot, that carries plain HTTP both ways.
//
// The WebSocket carries a yamux session; on its streams both ends serve and call ordinary net/http. There is no message protocol of our own:
// what is said is in wire.go, as requests and answers. One socket is one truth about being connected, one authentication and one redial.
//
// The bot proves itself with a bearer token. The runner knows only the token's SHA-256. Which session a request belongs to is known from the
// link it came over, never from the request.
//
// # What a sandbox may do to the bot
//
// Nothing that comes over a link is believed, and all of it is bounded, on the bot's side:
//
//	a line of the journal       1 MiB                      sandbox.TestLineOfExactlyAMebibyte, TestStrikes
//	numbers, journals' names    as asked for               sandbox.TestForgedNumbers, TestRunnerThatLies, FuzzJournal
//	what is not committed yet   one batch and one window   sandbox.TestSlowSessionHoldsItsRunnerBack
//	a tool's body               1 MiB                      sandbox.TestToolBodyOfExactlyAMebibyte
//	a bundle                    100 MiB, never at rest     sandbox.TestPromptStopBundle, TestEventsBesideABundle, TestBundleThatStandsStill
//	any other answer            64 KiB, 5 or 30 s          sandbox.TestEndlessAnswers
//	calls at a time             64                         TestBotServesSoManyAtOnce, TestStreamsLeftOpenCostTheLink
//	headers                     64 KiB, 45 s               TestHeadersAreBounded, TestSlowHeader
//	a request's body            2 min                      TestSlowBody, TestLongAnswerAfterBody
//	a stream without a request  2 min                      TestIdleStreamIsClosed
//	silence of the network      25 s                       TestBlackHole, TestRunnerThatNeverReads
//	silence of the runner       90 s, then it is asked     sandbox.TestSilence
//	pings                       32 unanswered              TestGuard
//	a session's log             256 MiB                    session.TestSandboxCannotFillTheLog, and session's bound.go for what one event may hold
package link
