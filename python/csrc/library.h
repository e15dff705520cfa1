/* libfraiseql.so and libfraiseql-memory.so: their functions, and the processes that have loaded them. */
#ifndef FRAISEQL_LIBRARY_H
#define FRAISEQL_LIBRARY_H

#include <stdint.h>

#include "fraiseql.h"

typedef struct {
  int64_t (*abi)(void);
  int64_t (*engine_new)(fq_text *config, fq_shared **shared, fq_out *out);
  int64_t (*engine_close)(int64_t engine, fq_out *out);
  int64_t (*metrics)(int64_t engine, fq_out *out);
  int64_t (*subscribe)(int64_t engine, fq_subscription *s, fq_out *out);
  int64_t (*publish)(int64_t engine, fq_event *events, int64_t n, fq_out *out);
  int64_t (*next)(int64_t engine, int64_t subscription, fq_out *out);
  int64_t (*take)(int64_t engine, int64_t subscription, int64_t max, fq_out *out);
  int64_t (*take_connection)(int64_t engine, int64_t connection, int64_t max, fq_out *out);
  int64_t (*resume)(int64_t engine, int64_t subscription, fq_text *cursor, fq_out *out);
  int64_t (*complete)(int64_t engine, int64_t subscription);
  int64_t (*complete_connection)(int64_t engine, int64_t connection);
  int64_t (*mailbox_new)(int64_t engine, int64_t *fd, fq_out *out);
  int64_t (*mailbox_take)(int64_t engine, int64_t mailbox, int64_t *tokens, int64_t cap);
  int64_t (*mailbox_calls)(int64_t engine, int64_t mailbox);
  int64_t (*mailbox_close)(int64_t engine, int64_t mailbox);
  int64_t (*watch)(int64_t engine, int64_t subscription, int64_t mailbox, int64_t token);
  int64_t (*resolver_set)(int64_t engine, fq_text *name, int64_t token, int64_t context, fq_out *out);
  int64_t (*calls_take)(int64_t engine, int64_t max, fq_out *out);
  int64_t (*call_begin)(int64_t engine, int64_t id);
  int64_t (*call_answer)(int64_t engine, int64_t id, int64_t answer, fq_text *text, fq_out *out);
  int64_t (*work)(int64_t engine, fq_text *group, fq_text *channel, int64_t token, fq_out *out);
  int64_t (*work_stop)(int64_t engine, int64_t token);
  int64_t (*revoke)(int64_t engine, fq_text *revocation, fq_out *out);
  int64_t (*publish_start)(int64_t engine, fq_event *events, int64_t n, int64_t mailbox, int64_t token, fq_out *out);
  int64_t (*revoke_start)(int64_t engine, fq_text *revocation, int64_t mailbox, int64_t token, fq_out *out);
  int64_t (*subscribe_start)(int64_t engine, fq_subscription *s, fq_out *out);
  int64_t (*finish)(int64_t operation, int64_t wait_ms, fq_subscription *s, fq_out *out);
  int64_t (*leave)(int64_t operation);
  int64_t (*schema_set)(int64_t engine, fq_text *schema, fq_out *out);
  /* From here on NULL in the small build. */
  int64_t (*sessions_new)(int64_t engine, fq_text *config, fq_out *out);
  int64_t (*session_open)(int64_t engine, int64_t sessions, fq_text *request, int64_t mailbox, int64_t token,
                          fq_out *out);
  int64_t (*session_receive)(int64_t engine, int64_t session, fq_text *message);
  int64_t (*session_take)(int64_t engine, int64_t session, int64_t max_bytes, fq_out *out);
  int64_t (*session_shut)(int64_t engine, int64_t session, int64_t code, fq_text *reason);
  int64_t (*session_close)(int64_t engine, int64_t session);
  int64_t (*serve)(int64_t engine, fq_text *config, fq_out *out);
  int64_t (*serve_stop)(int64_t engine, int64_t server, int64_t window_ms, fq_out *out);
} library;

/* There are two builds of the library. The one that knows the bus of the process only and serves no clients, neither
 * sessions nor a listener, is less than half as large and loaded in less time. A process that needs both has both, each
 * with a runtime of its own; one that has the full one needs no other. */
enum library_kind { LIBRARY_MEMORY, LIBRARY_FULL, LIBRARIES };

/* What an executor needs whose bus is outside of the process, or not. With the GIL. */
enum library_kind library_kind_for(int remote);

/* From now on executors need what serves clients. With the GIL. */
void library_serve(void);

/* Grows by one in each forked child. */
extern uint32_t process_generation;

/* Finds the library beside the module, and watches forks. Once per process, with the GIL. -1: errno says why. */
int library_prepare(void);

/* The functions of a library that does, when this process has one; they stay valid. NULL: it has none. */
const library *library_loaded(enum library_kind kind);

/* Loads a library for this process. Any thread whose asynchronous signals are blocked; the threads of the library
 * inherit that. -> NULL, or a text of malloc that says why not. */
char *library_load(enum library_kind kind, const library **found);

/* Notes which handlers of faults are those of a library just loaded; address is in its code. */
void faults_learn(enum library_kind kind, void *address);

/* Lets the library handle the faults of its own code where somebody else, faulthandler for one, came first since. With
 * the GIL; a system call when there is nothing to do. */
void faults_guard(void);

/* Blocks the signals that are not ours to handle; *before is for pthread_sigmask. */
void signals_block(void *before);

/* job.c: in a forked child. */
void jobs_after_fork(void);

#endif
