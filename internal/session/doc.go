// Package session is the protocol machine of graphql-transport-ws on whole messages: bytes in, actions out,
// no I/O. A WebSocket transport, a Python ASGI mount or a test drives it.
//
// There are two levels:
//
//   - Machine holds the protocol: state, identity, table of operations. It has no lock, goroutine, clock or
//     I/O; each call appends the actions that follow from one input. Source of its rules: PROTOCOL.md of
//     graphql-ws 6.4 and the reference server's behaviour.
//   - Driver binds a Machine to an Engine and to the queue.Conn of one connection, executes the actions and
//     feeds results back. What may block (Authenticate, documents that are not Prepared) runs on the bounded
//     worker pool of a Host, which the drivers of one endpoint share.
//
// A host embeds a Driver in its connection and does four things: it hands over whole text messages (Receive),
// says when time for connection_init is over (InitTimeout), when a message marked End is about to be written
// (Ended), and when the peer is gone (Closed). What is to be sent arrives in the queue.Conn: the host takes
// items and writes them, with AppendItem or its own framing of the same bytes.
//
// Concurrency: all methods of Driver and Host may be called from any goroutine; Receive from one at a time per
// Driver, in the order of the messages. No method of Driver waits for the engine's slow paths or for the peer.
// A Driver's lock is held while control messages are queued, hence before the connection's lock, and never
// while the engine or a subscription is called; queue.Sink.Wake must not call the Driver back synchronously.
package session
