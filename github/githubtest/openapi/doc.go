// Package openapi holds REST calls and their answers against GitHub's own OpenAPI description, which npm fetches once into the user's cache. It is
// for tests: githubtest.Config.Validate takes a Checker's hook, so that neither our client asks for what GitHub does not have, nor the double answers
// what GitHub would not.
//
// A request is judged always: that there is such an operation, its parameters, its query (nothing that is not described), its body (likewise). An
// answer is judged where the description lists its status; it leaves out many refusals that GitHub does give.
package openapi
