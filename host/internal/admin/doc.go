// Package admin is a host's HTTP listener: its API, its health and its metrics.
//
// One table (routes.go) says what there is, and which scope of a token each entry needs; openapi.json
// describes it, and a test holds the two together. Every request passes, in this order:
//
//	log ─► recover ─► security headers ─► host name ─► origin ─► token and scope ─► handler
//
// A handler returns an error instead of writing one: problem.go turns it into an RFC 9457 problem with a
// sentence, and a hint where there is one.
//
// Invariants:
//
//   - Nothing a client does takes memory without bound or holds up another: bodies are counted while they
//     are read, an append that finds the queue full is refused with 503, a listing looks at so many
//     documents and gives a cursor, and every stream of server-sent events pulls at its own pace.
//   - No event above the watermark is shown as one of the log's: what was read is final.
//   - No token is in a log line, in an answer, or in memory other than as its SHA-256.
package admin
