// Package pgbus carries events in a table of PostgreSQL 13 or later: an outbox that programs of any language write to in
// their own transactions, and that every node reads to the end, in one order.
//
// # What other programs write (format version 1)
//
// With schema fraiseql, the default (another one by ?schema=):
//
//	fraiseql.publish(channel text, type text, data json|jsonb|text, id text, tenant_id text, user_id text,
//	                 broadcast boolean, federation_id text, service_name text) RETURNS text
//
// Everything behind data may be left out and is mostly given by name: SELECT fraiseql.publish('orders', 'created',
// '{"id":1}', tenant_id => 'acme'). It returns the event's id, a UUIDv7 unless one was given. The event is delivered once
// the transaction has committed, and never if it rolls back. data is one JSON object of at most 1 MiB and 64 levels; given as json
// or text it is kept letter by letter (but for line ends between tokens), given as jsonb as PostgreSQL prints it. NULL is an absent
// member, an empty text is refused, as is everything that the other doors refuse: SQLSTATE 22023 (22P02 where data is not JSON) with
// the text "event <member>: <what is wrong>". Calls of one transaction keep their order.
//
// fraiseql.outbox is the table: xid xid8 (of the transaction) and id bigint (in the order of insertion), which together are the
// position; timestamp, stored_at timestamptz; v smallint, the version of the format; channel, type, event_id, tenant_id, user_id,
// federation_id, service_name text; broadcast boolean; data json. Programs that read it read what is committed and below the horizon:
//
//	SELECT … FROM fraiseql.outbox WHERE (xid, id) > ($1, $2) AND xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY xid, id
//
// Rows are written by the functions alone, whose checks nothing else makes.
//
// # Order, and what it costs
//
// Transactions commit in another order than the one in which they take numbers. A row is read when every transaction
// with a smaller number has ended, so that nothing can appear before what was read: no late commit is skipped and all
// nodes see one order. The price: one open writing transaction, anywhere in the cluster, prepared ones and those of other
// databases included, delays all events of later transactions until it ends (plus at most 10 ms). The gauge
// fraiseql_pg_horizon_lag_seconds shows for how long, Inspect names the process, above ?max_lag= the node is not ready.
//
// NOTIFY wakes the nodes, once per transaction; its commits wait for one another in the whole cluster. The payload is nothing, or the
// number of the transaction and one that its node has drawn; whatever it is, it tells nobody anything of an event, and is no
// reason to believe one. A node that has written the very next transaction itself delivers it without reading it again. With
// ?notify=off nodes read every ?poll= instead and do not notify; other programs do not where ALTER ROLE or ALTER DATABASE
// sets fraiseql.notify to off.
//
// # Retention
//
// The table is partitioned into a ring that is filled by time: each of four partitions for a third of the retention (24 h
// unless it was set otherwise). When a partition is older than the retention it is emptied by TRUNCATE: no row is deleted
// one by one, no catalogue grows, and nobody who writes waits. Its newest position is recorded first: a cursor below has a gap, and
// a node that had not read so far is told of one. $control and the channels of nodes have partitions of their own.
//
// # Epochs
//
// The epoch of positions is in the database. It changes when the database comes from another server (a dump that was restored;
// the events in it are dropped, their numbers mean nothing here) and when an event that a node has read is gone after a
// reconnect (a server that lost its newest transactions, as after the promotion of a follower that was behind) or after
// the table was replaced by an older one (pg_restore --clean). A follower that had everything keeps the epoch: cursors go on. A
// transaction that the server lost before any node had read it leaves no trace, in the outbox as in the tables that it
// wrote to; synchronous_standby_names rules that out. The numbers of lost transactions are given to others: after a promotion or
// a restart a node reads again from the newest event that it had handed over, so what those publish is not taken for read. A
// channel that came to be of interest after that event is told of a gap if something of it is found that may be older, until the node has
// come to the end once, and every channel is where nothing had been handed over yet when another server was promoted. A cursor of a channel
// that had no event yet stands where the server was: what a promoted server that lacks transactions publishes there under their numbers may be
// missed by who comes back with it.
//
// Restore with --single-transaction, or with the nodes stopped or install=off: a node that connects between the
// dropping and the making of the schema would make it.
//
// # Several servers
//
// A URL may name a primary and its followers, postgres://a,b/app: the node uses the one that takes writes, and looks for it
// again when it is gone (target_session_attrs=read-write asks for the same).
//
// # Connections
//
// A node holds one connection to read and listen, however many channels it has subscribers for, and up to ?pool= others to
// publish and to read history. Events that are published at the same time share a transaction.
package pgbus
