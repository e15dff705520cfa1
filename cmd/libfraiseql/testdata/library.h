/* The library as a program that loads it sees it. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fraiseql.h"

#define EXPORTS(X)                                                                                                    \
  X(fq_abi, (void), ())                                                                                               \
  X(fq_engine_new, (fq_text *, fq_shared **, fq_out *), (&none, &shared, fresh()))                                    \
  X(fq_engine_close, (int64_t, fq_out *), (1, fresh()))                                                               \
  X(fq_metrics, (int64_t, fq_out *), (1, fresh()))                                                                    \
  X(fq_subscribe, (int64_t, fq_subscription *, fq_out *), (1, &nobody, fresh()))                                      \
  X(fq_publish, (int64_t, fq_event *, int64_t, fq_out *), (1, &nothing, 1, fresh()))                                  \
  X(fq_next, (int64_t, int64_t, fq_out *), (1, 1, fresh()))                                                           \
  X(fq_take, (int64_t, int64_t, int64_t, fq_out *), (1, 1, 1, fresh()))                                               \
  X(fq_take_connection, (int64_t, int64_t, int64_t, fq_out *), (1, 1, 1, fresh()))                                    \
  X(fq_resume, (int64_t, int64_t, fq_text *, fq_out *), (1, 1, &none, fresh()))                                        \
  X(fq_complete, (int64_t, int64_t), (1, 1))                                                                          \
  X(fq_complete_connection, (int64_t, int64_t), (1, 1))                                                               \
  X(fq_mailbox_new, (int64_t, int64_t *, fq_out *), (1, &number, fresh()))                                            \
  X(fq_mailbox_take, (int64_t, int64_t, int64_t *, int64_t), (1, 1, &number, 1))                                      \
  X(fq_mailbox_calls, (int64_t, int64_t), (1, 1))                                                                     \
  X(fq_mailbox_close, (int64_t, int64_t), (1, 1))                                                                     \
  X(fq_watch, (int64_t, int64_t, int64_t, int64_t), (1, 1, 1, 1))                                                     \
  X(fq_resolver_set, (int64_t, fq_text *, int64_t, int64_t, fq_out *), (1, &none, 1, 0, fresh()))                     \
  X(fq_calls_take, (int64_t, int64_t, fq_out *), (1, 1, fresh()))                                                     \
  X(fq_call_begin, (int64_t, int64_t), (1, 1))                                                                        \
  X(fq_call_answer, (int64_t, int64_t, int64_t, fq_text *, fq_out *), (1, 1, 0, &none, fresh()))                      \
  X(fq_work, (int64_t, fq_text *, fq_text *, int64_t, fq_out *), (1, &none, &none, 1, fresh()))                       \
  X(fq_work_stop, (int64_t, int64_t), (1, 1))                                                                         \
  X(fq_revoke, (int64_t, fq_text *, fq_out *), (1, &none, fresh()))                                                   \
  X(fq_publish_start, (int64_t, fq_event *, int64_t, int64_t, int64_t, fq_out *), (1, &nothing, 1, 0, 0, fresh()))     \
  X(fq_revoke_start, (int64_t, fq_text *, int64_t, int64_t, fq_out *), (1, &none, 0, 0, fresh()))                     \
  X(fq_subscribe_start, (int64_t, fq_subscription *, fq_out *), (1, &nobody, fresh()))                                \
  X(fq_finish, (int64_t, int64_t, fq_subscription *, fq_out *), (1, 0, &nobody, fresh()))                             \
  X(fq_leave, (int64_t), (1))                                                                                         \
  X(fq_schema_set, (int64_t, fq_text *, fq_out *), (1, &none, fresh()))                                               \
  SERVING(X)

/* Not in a build with the tag fqmemory. */
#define SERVING(X)                                                                                                   \
  X(fq_sessions_new, (int64_t, fq_text *, fq_out *), (1, &none, fresh()))                                             \
  X(fq_session_open, (int64_t, int64_t, fq_text *, int64_t, int64_t, fq_out *), (1, 1, &none, 1, 1, fresh()))         \
  X(fq_session_receive, (int64_t, int64_t, fq_text *), (1, 1, &none))                                                 \
  X(fq_session_take, (int64_t, int64_t, int64_t, fq_out *), (1, 1, 1, fresh()))                                       \
  X(fq_session_shut, (int64_t, int64_t, int64_t, fq_text *), (1, 1, 1000, &none))                                     \
  X(fq_session_close, (int64_t, int64_t), (1, 1))                                                                     \
  X(fq_serve, (int64_t, fq_text *, fq_out *), (1, &none, fresh()))                                                    \
  X(fq_serve_stop, (int64_t, int64_t, int64_t, fq_out *), (1, 1, 0, fresh()))

#define DECLARE(name, parameters, arguments) static int64_t(*name) parameters;
EXPORTS(DECLARE)

static int64_t (*fq_fault)(const char *, int64_t); /* NULL in a build without faults */

/* served reports whether an export is one of SERVING. */
static int served(const char *name) {
#define COMPARE(other, parameters, arguments)                                                                         \
  if (strcmp(name, #other) == 0) return 1;
  SERVING(COMPARE)
  return 0;
}

/* load opens the library and finds every export. */
static void load(const char *path) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    exit(2);
  }
  int serves = dlsym(library, "fq_serve") != NULL;
#define FIND(name, parameters, arguments)                                                                             \
  *(void **)&name = dlsym(library, #name);                                                                            \
  if (name == NULL && (serves || !served(#name))) {                                                                   \
    fprintf(stderr, "no export %s\n", #name);                                                                         \
    exit(2);                                                                                                          \
  }
  EXPORTS(FIND)
  *(void **)&fq_fault = dlsym(library, "fq_fault");
}

#define TEXT(literal) ((fq_text){(literal), (int64_t)strlen(literal)})

static char room[256];
static fq_out out;

/* fresh empties the buffer of results. */
__attribute__((unused)) static fq_out *fresh(void) {
  if (out.owned) free(out.data);
  out = (fq_out){room, sizeof room, 0, 0};
  return &out;
}
