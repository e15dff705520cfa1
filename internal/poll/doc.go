// Package poll carries the bytes of many connections with little memory: on Linux, raw descriptors in an epoll
// set per shard, one reader and one writer goroutine each; elsewhere, for TLS and for whatever is no socket of
// the system, a reading and a draining goroutine per connection behind the same interface.
//
// The writer sleeps while nothing waits. Whoever makes a few connections dirty and could write to them cheaper than
// wake it says so before and after: see Poller.Announce.
//
// What goes out is taken from the connection's queue.Conn and framed by its Owner; what comes in is handed to
// the Owner as bytes. A connection without traffic costs its Conn and 20 bytes of its shard's table: no
// net.Conn, goroutine, timer, map or buffer.
//
// # Concurrency
//
// A connection belongs to one shard for its life. OnBytes, OnDeadline and OnClose of one connection never run
// at the same time and OnClose is the last; they must not block. Framing methods run on the writer or on a
// helper, under the connection's I/O lock, possibly at the same time as the others.
//
// A writer that finds several connections with little to write submits their writes together, by io_uring where the
// system has it: see together.
//
// Locks: the I/O lock of a connection guards its descriptor. It is held for system calls that do not block and
// while frames are built; a writer holds those of a batch until the system has said what became of each. Below it
// come the locks that Framing methods take and the lock of queue.Conn. A descriptor is used under that lock after a check that it is still open, and closed in one place, finish, on
// the reader of its shard, after the connection has left the table: a late event finds a newer generation.
package poll
