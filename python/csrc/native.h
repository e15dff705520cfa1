/* fraiseql._native: the engine of libfraiseql for Python. What its files share.
 *
 * module.c     the module and its state          load.c      the library, forks
 * executor.c   the type Executor                 job.c       work on C threads
 * records.c    what is registered                table.c     hash tables
 * register.c   register_subscription             publish.c   publish_event
 * next.c       next_event and its like           mailbox.c   wake-ups of event loops
 * calls.c      resolvers and authentication      session.c   WebSockets of a host, serve
 * write.c      Python -> JSON                    read.c      JSON -> Python
 * operation.c  what waits for the bus
 * arguments.c  arguments of methods              errors.c    exceptions
 * event.c      the type Event                    describe.c  what resolvers take
 * faults.c     faults in the library
 *
 * Everything here is guarded by the GIL, except what job.c and load.c say about themselves. Py_RETURN_NONE and its
 * like are not used: the headers of 3.12 and 3.13 make them return without a reference, which 3.10 and 3.11 need.
 */
#ifndef FRAISEQL_NATIVE_H
#define FRAISEQL_NATIVE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "fraiseql.h"
#include "library.h"

/* Names of arguments, and of attributes that are looked up. */
#define WORDS(X)                                                                                       \
  X(authenticate, "_authenticate")                                                                     \
  X(hook, "_hook")                                                                                     \
  X(await_call, "_await_call")                                                                         \
  X(broadcast, "broadcast")                                                                            \
  X(channel, "channel")                                                                                \
  X(connection_id, "connection_id")                                                                    \
  X(data, "data")                                                                                      \
  X(describe_resolver, "_describe_resolver")                                                           \
  X(event_type, "event_type")                                                                          \
  X(federation_id, "federation_id")                                                                    \
  X(id, "id")                                                                                          \
  X(max, "max")                                                                                        \
  X(operation_name, "operation_name")                                                                  \
  X(qualname, "__qualname__")                                                                          \
  X(query, "query")                                                                                    \
  X(resolver, "resolver")                                                                              \
  X(resolver_failed, "_resolver_failed")                                                               \
  X(resolver_named, "_resolver_named")                                                                 \
  X(resume, "resume")                                                                                  \
  X(roles, "roles")                                                                                    \
  X(scopes, "scopes")                                                                                  \
  X(service_name, "service_name")                                                                      \
  X(subscription_id, "subscription_id")                                                                \
  X(tenant_id, "tenant_id")                                                                            \
  X(user_id, "user_id")                                                                                \
  X(variables, "variables")

enum word {
#define WORD(name, text) W_##name,
  WORDS(WORD)
#undef WORD
      WORD_COUNT
};

/* A name that texts of the engine had lately, to be used again. */
typedef struct {
  PyObject *text;
  uint8_t length;
  char bytes[23];
} known_name;

#define KNOWN_NAMES 256
#define KNOWN_IDS 256

typedef struct {
  PyTypeObject *executor_type;
  PyTypeObject *event_type;
  PyObject *error_factory; /* configure(): each may be NULL */
  PyObject *default_hook;
  PyObject *skip_type;
  PyObject *words[WORD_COUNT]; /* interned */
  known_name names[KNOWN_NAMES];
  PyObject *ids[KNOWN_IDS]; /* decimal texts of small ints, NULL: not needed yet */
} module_state;

extern struct PyModuleDef native_module;

/* table.c: open addressing over items that the caller owns. */

typedef struct {
  uint64_t hash;
  void *item;
} table_slot;

typedef struct {
  table_slot *slots; /* NULL while empty; mask + 1 of them */
  size_t mask, used;
} table;

int table_put(table *t, uint64_t hash, void *item); /* -1 with MemoryError */
void table_remove(table *t, uint64_t hash, const void *item);
void table_free(table *t);

static inline size_t table_first(const table *t, uint64_t hash) {
  return (size_t)((hash * 0x9e3779b97f4a7c15u) >> 20) & t->mask;
}

/* records.c */

typedef struct record record;
typedef struct connection connection;
typedef struct channel channel;

struct record {
  int64_t handle;
  PyObject *id; /* exact str */
  uint64_t id_hash;
  connection *connection;
  channel *channel;
  int64_t resolver; /* token of its own resolver, 0: none */
  record *same_next, *same_previous; /* of this id */
  record *connection_next, *connection_previous;
  record *channel_next, *channel_previous;
};

struct connection {
  PyObject *id;
  uint64_t hash;
  int64_t handle;
  const fq_ready *ready;
  record *first;
  uint64_t cost; /* ns that taking its messages took last time */
};

struct channel {
  PyObject *name;
  uint64_t hash;
  record *first;
  Py_ssize_t count;
};

typedef struct {
  table handles;     /* handle -> record */
  table ids;         /* id -> first record of that id */
  table pairs;       /* (connection, id) -> record */
  table connections; /* id -> connection */
  table channels;    /* name -> channel */
} records;

typedef struct {
  PyObject *connection_id, *subscription_id, *channel; /* exact str, borrowed */
  int64_t handle, connection, resolver;
  const fq_ready *ready;
} record_spec;

record *records_add(records *r, const record_spec *spec);
void records_drop(records *r, record *it);
record *records_by_handle(const records *r, int64_t handle);
/* NULL: none. *ambiguous: more than one connection has the id, and connection_id is NULL. */
record *records_find(const records *r, PyObject *id, PyObject *connection_id, bool *ambiguous);
connection *records_connection(const records *r, PyObject *id);
channel *records_channel(const records *r, PyObject *name);
void records_drop_connection(records *r, connection *c);
void records_clear(records *r);

/* job.c: work on a C thread of its own, which Python's signals do not reach. */

typedef struct job job;
struct job {
  void (*run)(job *j); /* without the GIL */
  void (*orphaned)(job *j); /* after run and job_leave, on either thread; NULL: nothing */
  enum library_kind kind; /* to be loaded */
  const library *fq;
  int64_t engine, subject, window;
  fq_shared *shared;
  char *config;  /* malloc, freed with the job */
  int64_t config_length;
  int64_t result;
  fq_out out;    /* its block is freed with the job */
  char *failure; /* malloc: the library could not be loaded */
  uint32_t generation;
  struct job_sync *sync;
};

job *job_new(void (*run)(job *));
void job_start(job *j);
int job_wait(job *j);     /* releases the GIL; -1: a signal handler raised, the job goes on */
void job_hold(job *j);    /* for another waiter; job_release ends it */
void job_release(job *j);
void job_leave(job *j);   /* the caller is done with it; does not wait */
void close_later(const library *fq, int64_t engine); /* on one thread, one after the other */

/* executor.c */

enum phase { PHASE_NEW, PHASE_STARTING, PHASE_OPEN, PHASE_FAILED, PHASE_CLOSED };

#define COSTS 256

typedef struct resolver resolver;

typedef struct {
  PyObject_HEAD
  module_state *state;
  PyObject *module; /* keeps state alive */
  enum phase phase;
  uint32_t generation; /* the process that made it */
  const library *fq; /* that the engine is of; NULL until it is loaded */
  int64_t engine;
  fq_shared *shared;
  job *starting;
  PyObject *failure; /* PHASE_FAILED: str, or bytes of an error object */
  records records;
  table resolvers; /* token -> resolver */
  PyObject *resolver_tokens; /* function -> token, of subscriptions' own resolvers */
  resolver *dropped; /* resolvers to be let go */
  int64_t last_token;
  /* Threads inside of fq_subscribe and fq_take_connection without the GIL. Never both: what a connection gives may be
   * of a subscription that is not in records yet. */
  int subscribing, taking;
  bool remote; /* the bus is outside of the process: publishing waits for it */
  uint64_t costs[COSTS]; /* ns that the last publish took, by channel hash */
} Executor;

int executor_wait(Executor *self); /* slow path of executor_ready */
int executor_serves(Executor *self); /* executor_ready, and its library has sessions and a listener */

/* The engine may be called: 0; else -1 with an exception. */
static inline int executor_ready(Executor *self) {
  if (self->phase == PHASE_OPEN && self->generation == process_generation) return 0;
  return executor_wait(self);
}

extern PyType_Spec executor_spec;
extern PyType_Spec event_spec;

/* operation.c */

#define INTERRUPTED INT64_MIN /* an exception is set */
int64_t operation_wait(Executor *self, int64_t operation, fq_subscription *s, fq_out *out);

/* errors.c. All return NULL with an exception. */

PyObject *raise_error(module_state *state, const char *json, int64_t length);
PyObject *raise_coded(module_state *state, const char *code, const char *format, ...);
PyObject *raise_slow(module_state *state, PyObject *id); /* of a subscription */
PyObject *raise_result(Executor *self, int64_t result, fq_out *out); /* any negative constant; frees out */
PyObject *exception_text(PyObject *exception); /* "Type: message", never fails with an exception set: NULL */
PyObject *take_exception(void);                /* the current one, normalised, with its traceback; clears it */
void put_exception(PyObject *exception);       /* raises it again; steals */

/* arguments.c */

typedef struct {
  const char *method;
  uint8_t required, positional, total;
  uint8_t words[18]; /* enum word */
} signature;

int arguments(const module_state *state, const signature *s, PyObject *const *args, Py_ssize_t count,
              PyObject *names, PyObject **out);
/* str, or int as its decimal text. -> exact str, not empty; NULL with an exception */
PyObject *identifier(PyObject *value, const char *name);
/* The UTF-8 of a str; None and NULL: absent. -1 with an exception. */
int text_of(PyObject *value, const char *name, fq_text *text);
/* As text_of, an int too; *held keeps what text points to (NULL: value does). */
int identifier_text(PyObject *value, const char *name, fq_text *text, PyObject **held);
/* -> -1 with a TypeError: "name must be wanted, not ..." */
int wrong_type(const char *name, const char *wanted, PyObject *value);
/* An int; one beyond the range is the end of it. -1 with an exception. */
int count_of(PyObject *value, const char *name, long long *count);
/* A bool; None and NULL: false. -1 with an exception. */
int flag_of(PyObject *value, const char *name);

/* write.c */

typedef struct {
  char *data;
  size_t length, capacity;
  bool owned; /* data is a block of PyMem */
  const module_state *state;
  const char *root; /* first part of the path in error texts */
  int hooks;
} writer;

void writer_init(writer *w, const module_state *state, const char *root, char *buffer, size_t size);
void writer_free(writer *w);
int write_json(writer *w, PyObject *value);
int write_raw(writer *w, const char *data, size_t length);
int write_quoted(writer *w, const char *data, size_t length); /* UTF-8 -> JSON string */

/* Has one of eight bytes to be escaped in JSON? May say yes for none. */
static inline uint64_t special_bytes(uint64_t v) {
  const uint64_t ones = 0x0101010101010101u;
  uint64_t quote = v ^ (ones * '"'), slash = v ^ (ones * '\\');
  return (((v - ones * 0x20) & ~v) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash)) & (ones * 0x80);
}

/* read.c. NULL with ValueError. */

PyObject *read_json(module_state *state, const char *data, int64_t length);

/* event.c: takes copies. */

PyObject *event_new(module_state *state, const fq_text *envelope, const fq_text *data);

/* calls.c */

void resolvers_clear(Executor *self);
int resolvers_traverse(Executor *self, visitproc visit, void *arg);
int64_t resolver_acquire(Executor *self, PyObject *function, int64_t *context); /* 0: failed */
void resolver_release(Executor *self, int64_t token); /* runs no Python code: resolvers_sweep does */
void resolvers_sweep_now(Executor *self);
static inline void resolvers_sweep(Executor *self) {
  if (self->dropped) resolvers_sweep_now(self);
}
int calls_may_nest(void); /* -1: a resolver publishes what makes a resolver publish, without end */
Py_ssize_t run_calls(Executor *self, int64_t max, bool work); /* work: workers, too. -1: an exception that is no Exception */

/* next.c */

void forget_record(Executor *self, record *it);

static inline uint32_t waiting(const uint32_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }

/* Calls that took longer last time are made without the GIL, whose release costs some 35 us, and 10 ms at worst, when
 * another thread wants it. */
#define LONG_CALL 60000 /* ns */

static inline uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#define OUT(buffer) {(buffer), sizeof(buffer), 0, 0}
static inline void out_free(fq_out *out) {
  if (out->owned) free(out->data);
  out->owned = 0;
}

/* Methods of Executor, by file. */
typedef PyObject *fast_method(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names);
fast_method executor_register, executor_publish, executor_publish_begin, executor_next_event, executor_next_events,
    executor_complete, executor_complete_connection, executor_by_channel;
typedef PyObject *plain_method(PyObject *self, PyObject *args);
plain_method executor_find, executor_take, executor_take_one, executor_watch, executor_mailbox, executor_mailbox_take,
    executor_resume, executor_revoke, executor_revoke_begin, executor_set_schema, executor_finish, executor_leave,
    executor_mailbox_calls, executor_mailbox_close, executor_set_resolver, executor_work, executor_work_stop,
    executor_run_calls, executor_answer, executor_describe_resolver, executor_sessions, executor_session_open, executor_session_receive,
    executor_session_take, executor_session_shut, executor_session_close, executor_serve, executor_serve_stop;

#endif
