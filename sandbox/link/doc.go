// Package link is the connection between the bot and a runner: one WebSocket, dialled by the bot, that carries plain HTTP both ways.
//
// The WebSocket carries a yamux session; on its streams both ends serve and call ordinary net/http. There is no message protocol of our own:
// what is said is in wire.go, as requests and answers. One socket is one truth about being connected, one authentication and one redial.
//
// The bot proves itself with a bearer token. The runner knows only the token's SHA-256. Which session a request belongs to is known from the
// link it came over, never from the request.
package link
