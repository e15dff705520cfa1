/* Work on a C thread of its own: loading the library, and calls that block. Signals of Python stay with Python's
 * threads, and a thread that waits here still answers to Ctrl-C. A job has two holders, its thread and the one who
 * made it; the last of them frees it.
 *
 * Engines whose executors were left behind are closed by one more thread, which is there while there are any. */
#include "native.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

struct job_sync {
  pthread_mutex_t mutex; /* guards what follows */
  pthread_cond_t changed;
  int holders;
  bool done; /* run has returned */
  bool left; /* its maker left */
};

job *job_new(void (*run)(job *)) {
  job *j = calloc(1, sizeof *j);
  struct job_sync *s = calloc(1, sizeof *s);
  if (!j || !s) {
    free(j);
    free(s);
    return (void)PyErr_NoMemory(), NULL;
  }
  pthread_condattr_t monotonic;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_mutex_init(&s->mutex, NULL);
  pthread_cond_init(&s->changed, &monotonic);
  pthread_condattr_destroy(&monotonic);
  s->holders = 1;
  j->run = run;
  j->sync = s;
  j->generation = process_generation;
  return j;
}

static void job_free(job *j) {
  pthread_mutex_destroy(&j->sync->mutex);
  pthread_cond_destroy(&j->sync->changed);
  free(j->sync);
  free(j->config);
  free(j->failure);
  out_free(&j->out);
  free(j);
}

void job_hold(job *j) {
  pthread_mutex_lock(&j->sync->mutex);
  j->sync->holders++;
  pthread_mutex_unlock(&j->sync->mutex);
}

void job_release(job *j) {
  pthread_mutex_lock(&j->sync->mutex);
  int left = --j->sync->holders;
  pthread_mutex_unlock(&j->sync->mutex);
  if (left == 0) job_free(j);
}

static void job_finish(job *j) {
  j->run(j);
  pthread_mutex_lock(&j->sync->mutex);
  j->sync->done = true;
  bool orphan = j->sync->left;
  pthread_cond_broadcast(&j->sync->changed);
  pthread_mutex_unlock(&j->sync->mutex);
  if (orphan && j->orphaned) j->orphaned(j);
  job_release(j);
}

static void *job_thread(void *argument) {
  job_finish(argument);
  return NULL;
}

/* On a thread of its own; on this one if there can be no more threads. */
static void start_thread(void *(*run)(void *), void *argument) {
  sigset_t before;
  pthread_t thread;
  pthread_attr_t detached;
  pthread_attr_init(&detached);
  pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
  signals_block(&before);
  if (pthread_create(&thread, &detached, run, argument) != 0) run(argument);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&detached);
}

void job_start(job *j) {
  j->sync->holders++;
  start_thread(job_thread, j);
}

/* Up to 20 ms, after which the caller looks for signals. */
static bool job_wait_a_little(job *j) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_nsec += 20 * 1000 * 1000;
  if (until.tv_nsec >= 1000 * 1000 * 1000) {
    until.tv_nsec -= 1000 * 1000 * 1000;
    until.tv_sec++;
  }
  pthread_mutex_lock(&j->sync->mutex);
  int timed_out = 0;
  while (!j->sync->done && !timed_out)
    timed_out = pthread_cond_timedwait(&j->sync->changed, &j->sync->mutex, &until);
  bool done = j->sync->done;
  pthread_mutex_unlock(&j->sync->mutex);
  return done;
}

int job_wait(job *j) {
  for (;;) {
    bool done;
    Py_BEGIN_ALLOW_THREADS
    done = job_wait_a_little(j);
    Py_END_ALLOW_THREADS
    if (done) return 0;
    if (PyErr_CheckSignals() < 0) return -1;
  }
}

void job_leave(job *j) {
  if (j->generation != process_generation) return; /* its thread is the parent's */
  pthread_mutex_lock(&j->sync->mutex);
  j->sync->left = true;
  bool orphan = j->sync->done;
  pthread_mutex_unlock(&j->sync->mutex);
  if (orphan && j->orphaned) j->orphaned(j);
  job_release(j);
}

typedef struct left_engine left_engine;
struct left_engine {
  const library *fq;
  int64_t engine;
  left_engine *next;
};

static pthread_mutex_t left_lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static left_engine *left_engines;
static bool closing;

void jobs_after_fork(void) {
  static const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
  left_lock = fresh;
  left_engines = NULL;
  closing = false;
}

static left_engine *next_left(void) {
  pthread_mutex_lock(&left_lock);
  left_engine *it = left_engines;
  if (it) left_engines = it->next;
  else closing = false;
  pthread_mutex_unlock(&left_lock);
  return it;
}

static void *closing_thread(void *unused) {
  for (left_engine *it; (it = next_left()); free(it)) {
    fq_out out = {NULL, 0, 0, 0};
    it->fq->engine_close(it->engine, &out);
    out_free(&out);
  }
  return unused;
}

void close_later(const library *fq, int64_t engine) {
  left_engine *it = malloc(sizeof *it);
  if (!it) return; /* it goes on, unused */
  it->fq = fq;
  it->engine = engine;
  pthread_mutex_lock(&left_lock);
  it->next = left_engines;
  left_engines = it;
  bool begin = !closing;
  closing = true;
  pthread_mutex_unlock(&left_lock);
  if (begin) start_thread(closing_thread, NULL);
}
