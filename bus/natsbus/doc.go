// Package natsbus carries events over NATS: through JetStream, which stores them and delivers at least once, or with
// mode=core through NATS alone, which delivers at most once and keeps nothing.
//
// # URLs
//
//	nats://[user:password@|token@]host[:port][,host…][?parameter=value&…]
//	tls://…                                                     the same over TLS
//
//	mode=jetstream|core     jetstream
//	prefix=fraiseql         begins every subject; two deployments on one server have two
//	stream=<prefix>         name of the stream of events; dots of the prefix become _
//	replicas=1|3|5          on how many servers a stream is stored; 1 for a new stream
//	maxbytes=1GiB           what the stream of events holds, then the oldest are dropped
//	maxage=24h              how old events become there
//	creds=FILE, nkey=FILE   a credentials file, or the file of an nkey seed
//	tls_ca=FILE, tls_cert=FILE, tls_key=FILE
//
// Streams are created when they do not exist. One that exists is changed to what the URL says explicitly (replicas,
// maxbytes, maxage) and otherwise left as it is. JetStream is used from version 2.11 of the NATS server on. An event
// with its headers must fit the server's max_payload, which is 1 MiB unless it is set.
//
// # Format, version 1
//
// Whoever publishes a message to
//
//	<prefix>.<channel>
//
// publishes an event. The channel is one token: each of its bytes that is a dot, *, >, %, white space or a control
// character is written as % and two upper-case hexadecimal digits (a.b is a%2Eb). The payload is the event's data, a
// JSON object. Headers, of which only the first must be there:
//
//	Fraiseql-Type         the event's type
//	Nats-Msg-Id           JetStream drops a second message with the same one within 30 s, so that publishing again is safe.
//	                      It is the id, too, unless there is a Fraiseql-Id. Since ids are those of one channel and tenant,
//	                      this package ends it with @ and a hash of both (base64url, without padding, of the 64 bits of
//	                      FNV-1a over channel, a zero byte, tenant), which is not part of the id; others may
//	Fraiseql-Id           its id; absent, and no Nats-Msg-Id: one made from its place in the stream (in mode core: a new
//	                      one at each node)
//	Fraiseql-Time         RFC 3339; absent: when the server stored it
//	Fraiseql-Tenant, Fraiseql-User, Fraiseql-Federation, Fraiseql-Service
//	                      tenant_id, user_id, federation_id, service_name. One that is there and empty, or there twice, makes the
//	                      event unreadable: it must not count as absent, which would be for more people
//	Fraiseql-Broadcast    true or false (the default)
//	Fraiseql-Version      1; absent: 1. Another version is unreadable, too: left out, counted and logged
//
// In values, % and control characters, and a space at either end, are written as % and two hexadecimal digits. Headers
// that are not in this list are ignored. For example:
//
//	nats pub fraiseql.orders '{"id":17}' -H Fraiseql-Type:created
//
// The streams of a prefix, each a file store with limits, direct gets and the transform of subjects shown:
//
//	<stream>           <prefix>.*            stored as  <prefix>.{{partition(8,1)}}.{{wildcard(1)}}
//	<stream>_control   <prefix>.control.*    stored as  <prefix>.control.{{partition(1,1)}}.{{wildcard(1)}}
//	<stream>_node      <prefix>.node.*       stored as  <prefix>.node.{{partition(8,1)}}.{{wildcard(1)}}
//
// The second holds $control, for as long as RetainControl says, 64 MiB of it at most; when it is full, publishing there
// fails, for a revocation must not be forgotten. The third holds what nodes say to one another, for a minute. Whoever may publish to
// <prefix>.control.> can revoke every token: give other programs the right to publish to <prefix>.* only, which does
// not include it.
//
// # Reading
//
// A node has one consumer (a lane) for each partition that has a channel with a subscriber here, ordered and without
// acknowledgements, not one per channel or subscription, and one goroutine that delivers. A position is the stream's
// sequence number; its epoch is when the stream was created. On a new connection a lane goes on behind the last event
// that it delivered. It tells of a gap when the stream no longer holds what it has yet to read, was deleted and made
// anew (all of the new one is delivered), or lost its newest events, as an unreplicated server does when its machine
// loses power: then the first node that sees it writes a new epoch into the stream, and positions of before are foreign.
// A consumer lives on one server. When that lags behind the leader, as it may for half a minute after elections, the lane
// sees within some ten seconds that the leader has what does not come, and makes another consumer.
//
// # Order
//
// The events of one Publish are sent without waiting for one another and stored in order. What is not acknowledged when
// a connection ends is sent again, in order; JetStream drops what it has. In a stream with replicas a leader may be
// elected between two events that are on their way. There, from NATS 2.12 on, events that are published together are stored as wholes of up
// to 256, or not at all: nothing comes between, and no order changes. A whole whose acknowledgement was lost with its
// leader is sent again after a second. If it was stored, or some of its events were that come again with others, the new
// leader is asked which ones it knows, by messages that expect a last sequence that no stream has, so that they are never
// stored; the others follow as wholes. On NATS 2.11, and while a server has too many wholes on their way, events are sent
// one by one: if one fails and a later one was stored, nothing is sent again, the caller is told how many leading events
// are stored, and fraiseql_nats_unordered_batches counts it.
//
// # Core
//
// With mode=core a node subscribes to the subject of each channel. What is published while a connection is away, or
// faster than a node reads, is lost for it; the next event of the channel then comes behind a gap. Servers of a cluster
// learn of a new subscription some milliseconds after Established has returned.
package natsbus
