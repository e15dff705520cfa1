/* Loading libfraiseql.so, or libfraiseql-memory.so, which knows no bus but that of the process and serves nobody.
 *
 * It is loaded by the first executor, so that a process that only imports the module has no second runtime and may
 * fork as it likes. A forked child has the memory of its parent's copy but none of its threads, so that copy is
 * dead: a child that needs the library loads a private one, from a memfd, because the dynamic loader recognises
 * files and names that it has loaded before.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "library.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

uint32_t process_generation;

static pthread_mutex_t load_lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows, held across dlopen */
static uint32_t loaded[LIBRARIES];        /* 1 + the generation whose copy is in memory, 0: none is */
static library functions[LIBRARIES];
static char beside[LIBRARIES][PATH_MAX];  /* the libraries beside the module */

static const char *const names[LIBRARIES] = {"libfraiseql-memory.so", "libfraiseql.so"};

static const struct {
  const char *name;
  size_t offset;
  bool serves; /* not in the small build */
} symbols[] = {
#define SYMBOL(name) {"fq_" #name, offsetof(library, name), false}
#define SERVING(name) {"fq_" #name, offsetof(library, name), true}
    SYMBOL(abi),          SYMBOL(engine_new),      SYMBOL(engine_close),        SYMBOL(metrics),
    SYMBOL(subscribe),    SYMBOL(publish),         SYMBOL(next),                SYMBOL(take),
    SYMBOL(take_connection), SYMBOL(complete),     SYMBOL(complete_connection), SYMBOL(mailbox_new),
    SYMBOL(mailbox_take), SYMBOL(mailbox_calls),   SYMBOL(mailbox_close),       SYMBOL(watch),
    SYMBOL(resolver_set), SYMBOL(calls_take),      SYMBOL(call_answer),         SYMBOL(work),
    SYMBOL(publish_start), SYMBOL(revoke_start),   SYMBOL(subscribe_start),     SYMBOL(finish),
    SYMBOL(leave),        SYMBOL(call_begin),
    SYMBOL(work_stop),    SYMBOL(resume),          SYMBOL(revoke),              SYMBOL(schema_set),
    SERVING(sessions_new), SERVING(session_open),  SERVING(session_receive),    SERVING(session_take),
    SERVING(session_shut), SERVING(session_close), SERVING(serve),              SERVING(serve_stop),
#undef SERVING
#undef SYMBOL
};

static char *why(const char *path, const char *reason) {
  char *text = NULL;
  if (asprintf(&text, "cannot load %s: %s", path, reason) < 0) return strdup("cannot load libfraiseql.so");
  return text;
}

/* A fork waits for a load: the child would find the dynamic loader's lock taken for ever. */
static void before_fork(void) { pthread_mutex_lock(&load_lock); }

static void after_fork_in_parent(void) { pthread_mutex_unlock(&load_lock); }

static void after_fork_in_child(void) {
  static const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
  load_lock = fresh;
  process_generation++;
  jobs_after_fork();
}

/* A process that exits while a thread loads would run destructors beside constructors. */
static void before_exit(void) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += 2;
  if (pthread_mutex_timedlock(&load_lock, &until) == 0) pthread_mutex_unlock(&load_lock);
}

int library_prepare(void) {
  static int prepared;
  if (prepared) return 0;
  errno = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
  if (errno || atexit(before_exit)) return -1;
  prepared = 1;
  return 0;
}

/* The library beside the module, whose path Python made absolute. Looking for links in it asks the kernel about every
 * folder, which importing the module need not wait for. -> what is wrong, or NULL */
static char *find_beside(enum library_kind kind) {
  if (*beside[kind]) return NULL;
  Dl_info own;
  char module[PATH_MAX];
  if (!dladdr((void *)library_prepare, &own) || !own.dli_fname) return why(names[kind], "the folder of this module is not known");
  if (!realpath(own.dli_fname, module)) return why(own.dli_fname, strerror(errno));
  char *name = strrchr(module, '/');
  if (name) name[1] = 0;
  char path[PATH_MAX];
  int length = snprintf(path, sizeof path, "%s%s", module, names[kind]);
  if (length < 0 || (size_t)length >= sizeof path) return why(module, strerror(ENAMETOOLONG));
  memcpy(beside[kind], path, (size_t)length + 1);
  return NULL;
}

/* A library that somebody chose has everything. */
static const char *chosen_library(void) {
  const char *chosen = getenv("FRAISEQL_LIBRARY");
  return chosen && *chosen ? chosen : NULL;
}

static bool serves; /* guarded by the GIL */

void library_serve(void) { serves = true; }

enum library_kind library_kind_for(int remote) {
  return remote || serves || chosen_library() ? LIBRARY_FULL : LIBRARY_MEMORY;
}

const library *library_loaded(enum library_kind kind) {
  for (int able = LIBRARY_FULL; able >= (int)kind; able--)
    if (__atomic_load_n(&loaded[able], __ATOMIC_ACQUIRE) == process_generation + 1) return &functions[able];
  return NULL;
}

void signals_block(void *before) {
  static const int ours[] = {SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS, SIGURG};
  sigset_t set;
  sigfillset(&set);
  for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) sigdelset(&set, ours[i]);
  pthread_sigmask(SIG_SETMASK, &set, before);
}

/* A copy of the file in memory. -> file descriptor, -1 with errno */
static int memory_copy(const char *path) {
  int from = open(path, O_RDONLY | O_CLOEXEC);
  if (from < 0) return -1;
  int to = memfd_create("libfraiseql", MFD_CLOEXEC);
  struct stat info;
  char *bytes = MAP_FAILED;
  if (to >= 0 && fstat(from, &info) == 0)
    bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, from, 0);
  int failed = bytes == MAP_FAILED;
  for (off_t done = 0; !failed && done < info.st_size;) {
    ssize_t n = write(to, bytes + done, (size_t)(info.st_size - done));
    if (n > 0) done += n;
    failed = n <= 0 && errno != EINTR;
  }
  int reason = errno;
  if (bytes != MAP_FAILED) munmap(bytes, (size_t)info.st_size);
  close(from);
  if (failed && to >= 0) close(to);
  errno = reason;
  return failed ? -1 : to;
}

/* dlopen of a private copy. The loader compares names too: each generation spells its own. */
static void *open_copy(enum library_kind kind, const char *path, char **failure) {
  int file = memory_copy(path);
  if (file < 0) {
    *failure = why(path, strerror(errno));
    return NULL;
  }
  char name[PATH_MAX] = "/proc/self/";
  size_t length = strlen(name);
  for (uint32_t i = 0; i < process_generation * LIBRARIES + kind && length < sizeof name - 64; i++) {
    memcpy(name + length, "./", 2);
    length += 2;
  }
  snprintf(name + length, sizeof name - length, "fd/%d", file);
  void *handle = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!handle) *failure = why(path, dlerror());
  close(file);
  return handle;
}

static char *resolve(enum library_kind kind, void *handle, const char *path) {
  library found = {0};
  for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
    if (symbols[i].serves && kind == LIBRARY_MEMORY) continue;
    void *address = dlsym(handle, symbols[i].name);
    if (!address) return why(path, dlerror());
    memcpy((char *)&found + symbols[i].offset, &address, sizeof address);
  }
  int64_t abi = found.abi(); /* waits until the runtime runs */
  if (abi != FQ_ABI) {
    char reason[96];
    snprintf(reason, sizeof reason, "its interface is %lld, this module was built for %d", (long long)abi, FQ_ABI);
    return why(path, reason);
  }
  functions[kind] = found;
  return NULL;
}

/* How late timers of the library's threads may be, nanoseconds. They inherit it from the thread that loads. The monitor of
 * the Go runtime asks for naps of 20 us for a while whenever something happens, and was a fifth of the CPU time of serve()
 * under bursts; nothing in the library needs a timer to be that exact. Threads of the host keep what they have. */
#define TIMER_SLACK 500000

static char *load_locked(enum library_kind kind) {
  const char *chosen = chosen_library();
  char *failure = chosen ? NULL : find_beside(kind);
  if (failure) return failure;
  const char *path = chosen ? chosen : beside[kind];
  struct sigaction pipe_action;
  sigaction(SIGPIPE, NULL, &pipe_action);
  int slack = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
  if (slack > 0 && slack < TIMER_SLACK) prctl(PR_SET_TIMERSLACK, TIMER_SLACK, 0, 0, 0);
  void *handle;
  if (loaded[kind]) {
    handle = open_copy(kind, path, &failure);
  } else {
    handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!handle) failure = why(path, dlerror());
  }
  if (handle) failure = resolve(kind, handle, path);
  sigaction(SIGPIPE, &pipe_action, NULL);
  if (slack > 0) prctl(PR_SET_TIMERSLACK, slack, 0, 0, 0);
  if (!failure) {
    faults_learn(kind, (void *)functions[kind].abi);
    __atomic_store_n(&loaded[kind], process_generation + 1, __ATOMIC_RELEASE);
  }
  return failure;
}

char *library_load(enum library_kind kind, const library **found) {
  char *failure = NULL;
  pthread_mutex_lock(&load_lock);
  if (!library_loaded(kind)) failure = load_locked(kind);
  if (!failure) *found = library_loaded(kind);
  pthread_mutex_unlock(&load_lock);
  return failure;
}
