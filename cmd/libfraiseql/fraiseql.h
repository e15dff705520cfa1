/* The C interface of libfraiseql: what a host language needs to run the engine in its own process.
 *
 * Conventions
 *   - Handles are positive int64 values, unique per process and never used twice. 0 is no handle.
 *   - Texts go in as pointer and length (fq_text); the library copies what it keeps.
 *   - Results come out in the caller's buffer (fq_out). A result that is longer than the buffer is put into a
 *     block of malloc: owned is then 1, data points to it and the caller frees it.
 *   - Functions return a count or a handle (>= 0), or one of the negative FQ_ constants. With FQ_ERROR, out holds
 *     a JSON object {"code","message","errors":[{"code","message","locations":[{"line","column"}]}]}, safe to show.
 *   - No function waits for the host language. Only those marked "blocks" may take longer than what they do takes.
 *   - A panic inside becomes FQ_ERROR with code INTERNAL_SERVER_ERROR.
 *   - Every function may be called from any thread.
 *
 * Loading
 *   - dlopen it RTLD_NODELETE: it has threads and cannot be unloaded. The first call waits until it has started. It
 *     does not survive fork: the child may call nothing of it.
 *   - Block every signal in the thread that calls dlopen, until the first call has returned: the library's threads
 *     inherit the mask, and then none of the host's signals is delivered to them.
 *   - It takes SIGSEGV, SIGBUS and SIGFPE (a fault in its own code becomes FQ_ERROR, any other goes to the handler
 *     that was there before), SIGURG (for its scheduler; others' go on to the handler before) and SIGPIPE. Put
 *     SIGPIPE back as it was: the library needs no handler for it. Handlers that are there get SA_ONSTACK.
 *   - Handlers that are installed later need SA_ONSTACK. One for SIGSEGV, SIGBUS or SIGFPE must hand faults inside of
 *     calls on to the library's handler (sigaction tells which it was); otherwise they end the process.
 *   - GOMAXPROCS and GOGC of the environment count when it is loaded; without them 4 of its threads may run at
 *     the same time, and its heap may grow to four times what is in use.
 */
#ifndef FRAISEQL_H
#define FRAISEQL_H

#include <stdint.h>

#define FQ_ABI 1

#define FQ_ERROR (-1)        /* out says why */
#define FQ_ACKNOWLEDGED (-2) /* published: the bus has it, the number of subscriptions is not known */
#define FQ_ENDED (-3)        /* the subscription was completed: nothing more comes */
#define FQ_SLOW (-4)         /* the subscription did not keep up and was ended, after what was queued */
#define FQ_UNKNOWN (-5)      /* no such handle (any more) */
#define FQ_PENDING (-6)      /* the operation has not ended yet */

/* data == NULL: absent. UTF-8. Members of an event that are there and empty are refused. */
typedef struct {
  const char *data;
  int64_t len;
} fq_text;

typedef struct {
  char *data;    /* in: buffer; out: the same, or a block of malloc */
  int64_t cap;   /* in: its size */
  int64_t len;   /* out: length of the result */
  int64_t owned; /* out: 1 when data is a block that the caller frees */
} fq_out;

/* Words that both sides read without a call. */
typedef struct {
  /* Not 0 when the subscriptions of a connection may have messages, or have ended. While it is 0, fq_next finds
   * nothing. Read it atomically. It may be read for ever; once the connection was completed, or its only subscribe
   * refused, it says nothing about it any more. */
  uint32_t ready;
} fq_ready;

typedef struct {
  /* Calls that wait for fq_calls_take. Read it atomically. On the memory bus those that a publish caused are here when
   * fq_publish returns, and no mailbox is told of them: whoever publishes takes them, without work. */
  uint32_t calls;
} fq_shared;

typedef struct {
  fq_text connection_id, subscription_id, query, operation_name;
  fq_text variables;  /* JSON object */
  fq_text extensions; /* JSON object */
  fq_text identity;   /* JSON object: user_id, tenant_id, roles, scopes, federation_id, service_name, expires_at */
  int64_t resolver;   /* token of a resolver for this subscription alone; 0: that of its field or event type */
  int64_t resolver_context; /* 1: that resolver takes the context */
  int64_t connection;       /* out: handle of the connection */
  fq_ready *ready;          /* out: of the connection */
} fq_subscription;

typedef struct {
  fq_text channel, type, data; /* data: JSON object */
  fq_text id, tenant_id, user_id, federation_id, service_name;
  int64_t broadcast;
} fq_event;

/* What a call asks of the host. */
#define FQ_CALL_RESOLVE 1
#define FQ_CALL_AUTHENTICATE 2
#define FQ_CALL_WORK 3
#define FQ_CALL_HOOK 4

/* How a call was answered. */
#define FQ_ANSWER_VALUE 0       /* text: JSON of the field's value; the identity's JSON; hook: allowed, no text */
#define FQ_ANSWER_SKIP 1        /* resolver: no message for this event; work: as FQ_ANSWER_VALUE */
#define FQ_ANSWER_FAILED 2      /* resolver: text is the reason, for the log on standard error, absent: not logged;
                                   work: the same, and the event comes again;
                                   authenticate, hook: could not be judged, 1013 */
#define FQ_ANSWER_REFUSED 3     /* authenticate, hook: 4403 */

/* Token that a mailbox gives when calls wait. Other tokens are the caller's own, positive. */
#define FQ_TOKEN_CALLS 0

#define FQ_OUT_TEXT 0
#define FQ_OUT_CLOSE 1

/* Every function below is exported by the shared library under this name.
 *
 * int64 fq_abi(void)
 *   FQ_ABI of the library.
 *
 * int64 fq_engine_new(fq_text *config, fq_shared **shared, fq_out *out)
 *   config is a JSON object (docs/reference/c.md); its unknown members are errors. shared: valid until the engine
 *   is closed. -> engine
 * int64 fq_engine_close(int64 engine, fq_out *out)
 *   Blocks. Ends everything of the engine, mailboxes included.
 * int64 fq_metrics(int64 engine, fq_out *out)
 *   A JSON object.
 *
 * int64 fq_subscribe(int64 engine, fq_subscription *s, fq_out *out)
 *   out: the channel's name. -> subscription
 * int64 fq_publish(int64 engine, fq_event *events, int64 n, fq_out *out)
 *   All or nothing as far as validation goes. -> number of subscriptions, FQ_ACKNOWLEDGED
 * int64 fq_next(int64 engine, int64 subscription, fq_out *out)
 *   -> 1 message in out, 0 none waits, FQ_ENDED, FQ_SLOW. The last two come again and again; after fq_complete it
 *   is FQ_ENDED.
 * int64 fq_take(int64 engine, int64 subscription, int64 max, fq_out *out)
 *   Up to max messages, each uint32 length + bytes. -> count, FQ_ENDED and FQ_SLOW when there is none
 * int64 fq_take_connection(int64 engine, int64 connection, int64 max, fq_out *out)
 *   Up to max messages of any subscription, each int64 subscription + uint32 length + bytes. -> count
 * int64 fq_resume(int64 engine, int64 subscription, fq_text *cursor, fq_out *out)
 *   Waits for the bus. Begins again after the event of a cursor, of length 0: now; what waits is dropped, and each
 *   message has a cursor from then on. -> 1, or 0 when it has ended
 * int64 fq_complete(int64 engine, int64 subscription)
 *   -> 1, or 0 when it was completed before
 * int64 fq_complete_connection(int64 engine, int64 connection)
 *   -> 1, or 0
 *
 * int64 fq_mailbox_new(int64 engine, int64 *fd, fq_out *out)
 *   One per event loop. fd is an eventfd, readable when tokens wait; the library closes it. -> mailbox
 * int64 fq_mailbox_take(int64 engine, int64 mailbox, int64 *tokens, int64 cap)
 *   Tokens that were told since, each once. The fd is reset; it becomes readable again for later ones, and stays
 *   readable when cap was too small. -> count
 * int64 fq_mailbox_calls(int64 engine, int64 mailbox)
 *   From now on this mailbox is told FQ_TOKEN_CALLS when calls wait; the one before it is not any more. mailbox 0:
 *   none is.
 * int64 fq_mailbox_close(int64 engine, int64 mailbox)
 *   Closes the fd, too. -> 1, or 0 when it was closed before
 * int64 fq_watch(int64 engine, int64 subscription, int64 mailbox, int64 token)
 *   Tells the mailbox once, when a message comes or the subscription ends. -> 0, or 1 when that is so already:
 *   then nothing is told; FQ_ENDED when it was completed. A second watch replaces the first. mailbox 0 takes the
 *   watch back; a token that was told before that stays in the mailbox.
 *
 * int64 fq_resolver_set(int64 engine, fq_text *name, int64 token, int64 context, fq_out *out)
 *   name: root field or event type. Subscriptions made from now on use it.
 * int64 fq_calls_take(int64 engine, int64 max, fq_out *out)
 *   Calls to answer, up to max, or up to -max without work when max is negative: that is for whoever publishes. Each: int64 id, int64 kind, int64 token, then texts as uint32 length + bytes, length
 *   0xffffffff = absent. Resolve: token of the resolver; event (JSON object of the envelope without data), data,
 *   variables, context. Authenticate: token of the session, or of the server's
 *   configuration; connection_init payload, request (JSON object). Work: token of the worker; event, data. Hook: token of
 *   the configuration's hooks; question (JSON object), absent.
 *   -> count
 * int64 fq_call_begin(int64 engine, int64 id)
 *   Before the function of a resolve call is called, unless it is the first of the calls that were taken together: what it may
 *   take counts from now, not what it waited for its turn. -> 1, or 0 when an answer would not count any more: nothing needs to
 *   be called
 * int64 fq_call_answer(int64 engine, int64 id, int64 answer, fq_text *text, fq_out *out)
 *   -> 1, or 0 when the call had timed out. After FQ_ERROR (an answer that does not fit the call, or an identity
 *   that is none) it waits on.
 *
 * int64 fq_work(int64 engine, fq_text *group, fq_text *channel, int64 token, fq_out *out)
 *   Work that one node of a group does alone: each event of the channel is one FQ_CALL_WORK on one node, one at a
 *   time; the next one comes once it was answered. FQ_ERROR where the bus cannot do that.
 * int64 fq_work_stop(int64 engine, int64 token)
 *   Ends the worker; what it is at comes again. -> 1, or 0 when there is none
 *
 * int64 fq_revoke(int64 engine, fq_text *revocation, fq_out *out)
 *   Refuses credentials from now on, on every node of the bus, and closes connections that were opened with them.
 *   revocation: JSON object with token_id, user_id, tenant_id and issued_before (RFC 3339, or seconds since 1970, not in
 *   the future), for which everything that is there must hold; without the first three, everybody: true. Waits for the bus.
 *
 * int64 fq_publish_start(int64 engine, fq_event *events, int64 n, int64 mailbox, int64 token, fq_out *out)
 * int64 fq_revoke_start(int64 engine, fq_text *revocation, int64 mailbox, int64 token, fq_out *out)
 *   fq_publish and fq_revoke, which go on while the host does something else. At the end the mailbox is told the token;
 *   mailbox 0: none is. What they are given is copied. Publishes go on their way in the order in which they were started, but
 *   of two that wait at the same time the bus may accept either first. -> operation
 * int64 fq_subscribe_start(int64 engine, fq_subscription *s, fq_out *out)
 *   fq_subscribe in the same way. -> operation
 * int64 fq_finish(int64 operation, int64 wait_ms, fq_subscription *s, fq_out *out)
 *   Blocks up to wait_ms. What the operation came to, once, as fq_publish, fq_revoke or fq_subscribe answer; s: what the
 *   latter fills in, else NULL. The engine may have been closed meanwhile. -> as these, or FQ_PENDING
 * int64 fq_leave(int64 operation)
 *   Nobody asks what it comes to. It goes on; what a subscription would be is ended. -> 1, or 0 when it was finished
 *
 * int64 fq_schema_set(int64 engine, fq_text *schema, fq_out *out)
 *   Puts another schema in the place of that of an engine. schema: JSON object with the member schema of an engine's
 *   configuration. Subscriptions that are valid under it go on from one event to the next, others end with an error of
 *   code SCHEMA_CHANGED. -> moved << 32 | ended, counts of live subscriptions
 *
 * A build with the tag fqmemory has none of those that follow.
 *
 * int64 fq_sessions_new(int64 engine, fq_text *config, fq_out *out)
 *   What WebSockets of one endpoint share, for hosts that own the sockets. -> sessions
 * int64 fq_session_open(int64 engine, int64 sessions, fq_text *request, int64 mailbox, int64 token, fq_out *out)
 *   request: JSON object with authorization, cookie, origin, host and remote_addr as the HTTP request had them, and
 *   whatever the host wants to see again in the call; legacy, true where host and client agreed on graphql-ws. The mailbox is told the token when the session has something
 *   to send: once until fq_session_take is called, and by that again where something is left. With method, path, query and headers (a list of
 *   names and values in turn) it is an HTTP request that is no WebSocket: its body is the one message, also an empty
 *   one. What is taken then: kind 2, the head, with the status for a code and headers as a JSON list of pairs; kind 0,
 *   pieces of the body; kind 1, the end, after which the body is complete with code 1000 and must break off with any
 *   other. -> session
 * int64 fq_session_receive(int64 engine, int64 session, fq_text *message)
 *   A whole text message of the client.
 * int64 fq_session_take(int64 engine, int64 session, int64 max_bytes, fq_out *out)
 *   What is to be sent, about max_bytes, each uint32 kind + uint32 close code + uint32 length + bytes.
 *   -> count
 * int64 fq_session_shut(int64 engine, int64 session, int64 code, fq_text *reason)
 *   Closes from this side; the close is taken like every message, after what waits, and nothing goes in after it.
 * int64 fq_session_close(int64 engine, int64 session)
 *   The client is gone: everything of the session ends. -> 1, or 0 when it was closed before
 *
 * int64 fq_serve(int64 engine, fq_text *config, fq_out *out)
 *   Listens on a TCP address and serves clients on threads of the library. out: {"host","port"}. -> server
 * int64 fq_serve_stop(int64 engine, int64 server, int64 window_ms, fq_out *out)
 *   Blocks. Closes its connections with 1012, spread over the window. -> 1, or 0 when it was stopped before
 */

#endif
