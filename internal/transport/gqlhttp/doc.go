// Package gqlhttp serves GraphQL over plain HTTP: queries answered once (GraphQL over HTTP), and subscriptions as
// streams of server-sent events (graphql-sse: distinct connections and single-connection mode) or of multipart parts
// (Apollo's subscriptionSpec 1.0). What a client gets is decided by its Accept header.
//
// Over HTTP/1 a stream is taken from net/http and lives in the poller like a WebSocket: no goroutine and no buffer
// while it is idle. Over HTTP/2, and wherever a connection cannot be taken over, the handler's own goroutine writes
// from the same queue with the same framing.
//
// A stream that ended in order ends with `complete` (SSE), the final boundary (multipart) and the last chunk. Every
// other end, of a slow consumer, of credentials, of the server, lacks all of them, so that no client takes it for the
// end of its subscription.
//
// Concurrency: Handler's methods are safe for concurrent use. A stream's callbacks come from its poller, one at a
// time; framing runs on the poller's writer. Lock order: the poller's I/O lock, then a single connection's mu, then
// that of queue.Conn.
package gqlhttp
