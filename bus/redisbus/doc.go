// Package redisbus is the event bus over Redis 7.0 or later: Streams, from which every node reads what it has
// subscribers for, or plain pub/sub, which is cheaper and keeps nothing. Redis may be one server, one behind Sentinel, or
// a cluster.
//
// # URLs
//
//	redis://user:password@host:6379/db     rediss:// is the same over TLS
//	unix://user:password@/run/redis.sock?db=1
//	redis+sentinel://user:password@host1,host2/master/db     rediss+sentinel://
//	redis+cluster://user:password@host1,host2     rediss+cluster://
//
// In a user name or password / ? # @ : % must be percent-encoded. Parameters: prefix (fraiseql; two deployments on one
// server need two), mode (streams, or pubsub), maxlen (10,000 entries per partition), maxage (24h), partitions (64; only
// where the installation is founded), group and claim (of Work: fraiseql, 30s), ca (a file of certificates to trust),
// skip_verify (true trusts any certificate: anybody in between can read and change everything), sentinel_user and
// sentinel_password. All nodes of a deployment should be given the same parameters.
//
// # Format, for programs that publish without us
//
// This is format 1. With the prefix p, the keys of an installation are
//
//	{p}:meta     hash: format = 1, partitions = P, since = when it was founded, milliseconds since 1970
//	{p:N}:e      stream: the events of partition N, 0 ≤ N < P
//	{p:N}:m      hash: epoch = the epoch of partition N; lost = when entries were lost last, ms
//	{p:N}:t      list: samples of time and newest id, by which the age limit works
//	{p:control}:e, {p:node}:e and so on: the engine's own channels; nobody else writes there
//
// The braces are part of the keys. They exist once a node of ours has connected. To publish an event:
//
//  1. N = CRC-32 (the one of zlib, gzip and PNG) of the UTF-8 bytes of the channel, modulo HGET {p}:meta partitions.
//  2. E = HGET {p:N}:m epoch. Both may be kept until step 3 fails.
//  3. XADD {p:N}:e NOMKSTREAM MAXLEN ~ 10000 E-* v 1 channel orders type created id 8f14… data {"id":17}
//     The answer is the entry's id. Nil: the stream is gone, or was not made yet. An error with "equal or smaller": a new epoch
//     has begun. In both cases begin at step 2 again, after a pause in the first.
//
// The fields, in any order; those in this order are stored most compactly:
//
//	v             1; absent: 1. An entry of another version is dropped.
//	channel       required, 1 to 255 bytes without white space and * > { }, not beginning with $ or __
//	type          required, 1 to 255 bytes without white space
//	id            unique per channel and tenant; absent: made of the entry's id. An event that is sent again with its id is
//	              delivered once, so this is what makes a retry safe.
//	timestamp     RFC 3339; absent: when a node reads the entry
//	data          required, the text of a JSON object of at most 1 MiB
//	tenant_id, user_id, federation_id, service_name     as in the envelope; absent: none. One that is there and empty, or
//	              there twice, breaks the rules: it must not count as absent, which would be for more people
//	broadcast     true or false; absent: false
//
// Unknown fields are ignored. An entry that breaks a rule is dropped by every node, counted in
// fraiseql_redis_entries_invalid and logged at most once a minute.
//
// With mode=pubsub an event is PUBLISH p:channel with the JSON {"v":1,"type":"created","data":{…}} and the members
// above, tenant_id and user_id also as integers; null is as wrong as empty. In a cluster it is SPUBLISH {p:N}:channel, N as above
// with P = 64.
//
// # What is promised
//
// Streams: at least once. Ids of a partition are E-1, E-2, …: a number that is missing is an event that was trimmed
// before it was read, and shows as a gap. Whenever a connection is new, and every few seconds, a node proves that the entry at
// which it stands, and the newest that was acknowledged to it, still carry the ids that it knows. Where they do not,
// because a server came back without the end of what it had, or a replica was promoted that lacked it, a new epoch
// begins with a marker at E'-0, and every node sees the gap. How much a crash of Redis can lose is Redis' own setting:
// nothing with appendfsync always, about a second with everysec. Replication is asynchronous: a failover can lose what the
// replica lacked.
//
// A partition's limits hold for all of its channels together: a noisy one shortens its neighbours' history.
//
// A publisher that waits for one event before it publishes the next keeps their order, and so does a batch. Within a
// batch, if Redis itself refuses an event for a passing reason (such as OOM) and takes the next one of the channel,
// the first is sent again behind it.
//
// Pub/sub: at most once. What is published while a node is not connected never reaches it; it is told of a gap.
//
// # Concurrency
//
// Every method may be called from any goroutine; Interest and Status never block. One goroutine looks after the
// connection, one reads (in a cluster, one for each partition that is read), and a few deliver, each one partition at a time: a
// handler that waits holds up its partition, and one of them. Publishing goes over the driver's shared connections; but for a
// cluster, what several goroutines publish at one moment is one pipeline. Each page of history has a connection of its own. No lock is held over I/O or
// while the handler runs.
//
// # Commands
//
// A user of Redis' access control lists needs, for the keys ~{p}* and ~{p:*: ping, hello, info, client|id,
// client|unblock, client|setname, client|setinfo (from Redis 7.2), eval, evalsha, exists, hset, hget, hmget, time, xadd, xread, xrange, xinfo, xtrim,
// xlen, rpush, lpop, lindex; for Work xgroup, xreadgroup, xack, xclaim, xautoclaim; for pub/sub publish, subscribe,
// unsubscribe (spublish, ssubscribe, sunsubscribe) and the channels &p:*.
package redisbus
