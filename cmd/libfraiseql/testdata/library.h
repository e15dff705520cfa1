/* The library as a program that loads it sees it. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fraiseql.h"

#define EXPORTS(X)                                                                                                    \
  X(fq_abi, (void))                                                                                                   \
  X(fq_engine_new, (fq_text *, fq_shared **, fq_out *))                                                               \
  X(fq_engine_close, (int64_t, fq_out *))                                                                             \
  X(fq_metrics, (int64_t, fq_out *))                                                                                  \
  X(fq_subscribe, (int64_t, fq_subscription *, fq_out *))                                                             \
  X(fq_publish, (int64_t, fq_event *, int64_t, fq_out *))                                                             \
  X(fq_next, (int64_t, int64_t, fq_out *))                                                                            \
  X(fq_take, (int64_t, int64_t, int64_t, fq_out *))                                                                   \
  X(fq_take_connection, (int64_t, int64_t, int64_t, fq_out *))                                                        \
  X(fq_complete, (int64_t, int64_t))                                                                                  \
  X(fq_complete_connection, (int64_t, int64_t))                                                                       \
  X(fq_mailbox_new, (int64_t, int64_t *, fq_out *))                                                                   \
  X(fq_mailbox_take, (int64_t, int64_t, int64_t *, int64_t))                                                          \
  X(fq_mailbox_calls, (int64_t, int64_t))                                                                             \
  X(fq_mailbox_close, (int64_t, int64_t))                                                                             \
  X(fq_watch, (int64_t, int64_t, int64_t, int64_t))                                                                   \
  X(fq_resolver_set, (int64_t, fq_text *, int64_t, int64_t, fq_out *))                                                \
  X(fq_calls_take, (int64_t, int64_t, fq_out *))                                                                      \
  X(fq_call_answer, (int64_t, int64_t, int64_t, fq_text *, fq_out *))                                                 \
  X(fq_sessions_new, (int64_t, fq_text *, fq_out *))                                                                  \
  X(fq_session_open, (int64_t, int64_t, fq_text *, int64_t, int64_t, fq_out *))                                       \
  X(fq_session_receive, (int64_t, int64_t, fq_text *))                                                                \
  X(fq_session_take, (int64_t, int64_t, int64_t, fq_out *))                                                           \
  X(fq_session_shut, (int64_t, int64_t, int64_t, fq_text *))                                                          \
  X(fq_session_close, (int64_t, int64_t))                                                                             \
  X(fq_serve, (int64_t, fq_text *, fq_out *))                                                                         \
  X(fq_serve_stop, (int64_t, int64_t, int64_t, fq_out *))

#define DECLARE(name, arguments) static int64_t(*name) arguments;
EXPORTS(DECLARE)

/* load opens the library and finds every export. */
static void *load(const char *path) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    exit(2);
  }
#define FIND(name, arguments)                                                                                         \
  *(void **)&name = dlsym(library, #name);                                                                            \
  if (name == NULL) {                                                                                                 \
    fprintf(stderr, "no export %s\n", #name);                                                                         \
    exit(2);                                                                                                          \
  }
  EXPORTS(FIND)
  return library;
}

#define TEXT(literal) ((fq_text){(literal), (int64_t)strlen(literal)})

static char room[256];
static fq_out out;

/* fresh empties the buffer of results. */
static fq_out *fresh(void) {
  if (out.owned) free(out.data);
  out = (fq_out){room, sizeof room, 0, 0};
  return &out;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}
