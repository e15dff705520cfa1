/* Executor: one engine. What makes it, waits for it and ends it. */
#include "native.h"

#define LONG_CONFIG 4096 /* bytes; a schema is among them */

/* The state of the module that made type or a base of it. */
static module_state *state_of(PyTypeObject *type, PyObject **module) {
  for (; type; type = (PyTypeObject *)PyType_GetSlot(type, Py_tp_base)) {
    if (!(PyType_GetFlags(type) & Py_TPFLAGS_HEAPTYPE)) continue;
    *module = PyType_GetModule(type);
    if (*module && PyModule_GetDef(*module) == &native_module) return PyModule_GetState(*module);
    PyErr_Clear();
  }
  PyErr_SetString(PyExc_TypeError, "not a type of fraiseql._native");
  return NULL;
}

static PyObject *executor_new(PyTypeObject *type, PyObject *args, PyObject *names) {
  (void)args;
  (void)names;
  PyObject *module;
  module_state *state = state_of(type, &module);
  if (!state) return NULL;
  Executor *self = (Executor *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
  if (!self) return NULL;
  self->state = state;
  self->module = Py_NewRef(module);
  self->phase = PHASE_NEW;
  self->generation = process_generation;
  return (PyObject *)self;
}

static void run_create(job *j) {
  j->failure = library_load(j->kind, &j->fq);
  if (j->failure) return;
  fq_text config = {j->config, j->config_length};
  j->result = j->fq->engine_new(&config, &j->shared, &j->out);
}

static void run_close(job *j) { j->result = j->fq->engine_close(j->engine, &j->out); }

static void close_orphan(job *j) {
  if (!j->failure && j->result > 0) close_later(j->fq, j->result);
}

static void fail_with(Executor *self, PyObject *failure) {
  self->phase = PHASE_FAILED;
  self->failure = failure;
}

/* What fq_engine_new answered becomes the executor's state. */
static void settle(Executor *self, int64_t result, fq_shared *shared, const fq_out *out) {
  if (result > 0) {
    self->engine = result;
    self->shared = shared;
    self->phase = PHASE_OPEN;
  } else {
    fail_with(self, PyBytes_FromStringAndSize(result == FQ_ERROR ? out->data : "{}", result == FQ_ERROR ? (Py_ssize_t)out->len : 2));
  }
}

static void settle_job(Executor *self) {
  job *j = self->starting;
  self->starting = NULL;
  j->orphaned = NULL;
  if (j->failure) {
    fail_with(self, PyUnicode_DecodeLocale(j->failure, "surrogateescape"));
  } else {
    self->fq = j->fq;
    settle(self, j->result, j->shared, &j->out);
  }
  job_leave(j);
}

static PyObject *raise_failure(Executor *self) {
  if (!self->failure) return PyErr_NoMemory();
  if (PyUnicode_Check(self->failure)) PyErr_SetObject(PyExc_ImportError, self->failure);
  else raise_error(self->state, PyBytes_AsString(self->failure), PyBytes_Size(self->failure));
  return NULL;
}

/* Several threads may wait; the first that is back settles. */
static int wait_for_start(Executor *self) {
  job *j = self->starting;
  job_hold(j);
  int result = job_wait(j);
  if (result == 0 && self->starting == j) settle_job(self);
  job_release(j);
  return result;
}

int executor_wait(Executor *self) {
  if (self->generation != process_generation) {
    raise_coded(self->state, "FORK", "This executor belongs to the process that forked: create the executor in the worker.");
    return -1;
  }
  for (;;) {
    switch (self->phase) {
    case PHASE_OPEN:
      return 0;
    case PHASE_STARTING:
      if (wait_for_start(self) < 0) return -1;
      break;
    case PHASE_FAILED:
      raise_failure(self);
      return -1;
    case PHASE_CLOSED:
      raise_coded(self->state, "CLOSED", "The executor is closed.");
      return -1;
    default:
      PyErr_SetString(PyExc_RuntimeError, "Executor.__init__() was not called");
      return -1;
    }
  }
}

static int create_here(Executor *self, const char *config, Py_ssize_t length) {
  char buffer[1024];
  fq_out out = OUT(buffer);
  fq_text text = {config, length};
  fq_shared *shared = NULL;
  int64_t result;
  faults_guard();
  if (length > LONG_CONFIG) {
    Py_BEGIN_ALLOW_THREADS
    result = self->fq->engine_new(&text, &shared, &out);
    Py_END_ALLOW_THREADS
  } else {
    result = self->fq->engine_new(&text, &shared, &out);
  }
  settle(self, result, shared, &out);
  out_free(&out);
  return 0;
}

static int create_in_thread(Executor *self, enum library_kind kind, const char *config, Py_ssize_t length) {
  job *j = job_new(run_create);
  if (!j) return -1;
  j->orphaned = close_orphan;
  j->kind = kind;
  j->config = malloc((size_t)length + 1);
  if (!j->config) {
    job_release(j);
    return (void)PyErr_NoMemory(), -1;
  }
  memcpy(j->config, config, (size_t)length);
  j->config_length = length;
  self->starting = j;
  self->phase = PHASE_STARTING;
  job_start(j);
  return 0;
}

static int executor_init(PyObject *o, PyObject *args, PyObject *names) {
  static char *keywords[] = {"config", "wait", "remote", NULL};
  Executor *self = (Executor *)o;
  PyObject *config;
  int wait = 0, remote = 0;
  if (!PyArg_ParseTupleAndKeywords(args, names, "S|pp:Executor", keywords, &config, &wait, &remote)) return -1;
  if (self->phase != PHASE_NEW) {
    PyErr_SetString(PyExc_RuntimeError, "Executor.__init__() was called before");
    return -1;
  }
  self->generation = process_generation;
  self->remote = remote;
  const char *bytes = PyBytes_AsString(config);
  Py_ssize_t length = PyBytes_Size(config);
  enum library_kind kind = library_kind_for(remote);
  self->fq = library_loaded(kind);
  if (self->fq) return create_here(self, bytes, length) < 0 ? -1 : executor_wait(self);
  if (create_in_thread(self, kind, bytes, length) < 0) return -1;
  return wait ? executor_wait(self) : 0;
}

static void forget_all(Executor *self) {
  records_clear(&self->records);
  resolvers_clear(self);
}

/* Ends the engine without waiting for it. */
static void abandon(Executor *self) {
  enum phase before = self->phase;
  self->phase = PHASE_CLOSED;
  if (self->generation != process_generation) return;
  if (before == PHASE_STARTING) {
    job *j = self->starting;
    self->starting = NULL;
    job_leave(j);
  } else if (before == PHASE_OPEN) {
    close_later(self->fq, self->engine);
  }
}

static PyObject *executor_close(PyObject *o, PyObject *unused) {
  (void)unused;
  Executor *self = (Executor *)o;
  if (self->generation == process_generation && self->phase == PHASE_STARTING && wait_for_start(self) < 0) return NULL;
  bool open = self->generation == process_generation && self->phase == PHASE_OPEN;
  self->phase = PHASE_CLOSED;
  job *j = open ? job_new(run_close) : NULL;
  if (open && !j) return NULL;
  PyObject *result = NULL;
  if (j) {
    j->fq = self->fq;
    j->engine = self->engine;
    job_start(j);
    if (job_wait(j) == 0) {
      if (j->result == FQ_ERROR) raise_result(self, j->result, &j->out);
      else result = Py_NewRef(Py_None);
    }
    job_leave(j);
  }
  PyObject *raised = PyErr_Occurred() ? take_exception() : NULL;
  forget_all(self);
  if (raised) put_exception(raised);
  return j ? result : Py_NewRef(Py_None);
}

static PyObject *executor_warmup(PyObject *o, PyObject *unused) {
  (void)unused;
  return executor_ready((Executor *)o) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *executor_metrics(PyObject *o, PyObject *unused) {
  (void)unused;
  Executor *self = (Executor *)o;
  if (executor_ready(self) < 0) return NULL;
  faults_guard();
  char buffer[4096];
  fq_out out = OUT(buffer);
  int64_t engine = self->engine, result;
  Py_BEGIN_ALLOW_THREADS /* it looks at every channel */
  result = self->fq->metrics(engine, &out);
  Py_END_ALLOW_THREADS
  if (result < 0) return raise_result(self, result, &out);
  PyObject *metrics = read_json(self->state, out.data, out.len);
  out_free(&out);
  return metrics;
}

static int executor_traverse(PyObject *o, visitproc visit, void *arg) {
  Executor *self = (Executor *)o;
  Py_VISIT(Py_TYPE(o));
  Py_VISIT(self->module);
  Py_VISIT(self->failure);
  return resolvers_traverse(self, visit, arg);
}

static int executor_clear(PyObject *o) {
  Executor *self = (Executor *)o;
  abandon(self);
  forget_all(self);
  Py_CLEAR(self->failure);
  return 0;
}

static void executor_dealloc(PyObject *o) {
  PyTypeObject *type = Py_TYPE(o);
  PyObject_GC_UnTrack(o);
  executor_clear(o);
  Py_CLEAR(((Executor *)o)->module);
  ((freefunc)PyType_GetSlot(type, Py_tp_free))(o);
  Py_DECREF(type);
}

#define FAST(function) (PyCFunction)(void (*)(void))(function), METH_FASTCALL | METH_KEYWORDS
static PyMethodDef executor_methods[] = {
    {"register_subscription", FAST(executor_register),
     "register_subscription($self, /, connection_id, subscription_id, query, operation_name=None, variables=None, "
     "user_id=None, tenant_id=None, *, roles=(), scopes=(), federation_id=None, service_name=None, resolver=None, "
     "resume=False)\n--\n\n"
     "Starts a subscription whose messages are pulled. Returns subscription_id as str."},
    {"publish_event", FAST(executor_publish),
     "publish_event($self, /, event_type, channel, data, *, id=None, tenant_id=None, user_id=None, broadcast=False, "
     "federation_id=None, service_name=None)\n--\n\n"
     "Publishes an event. Returns the number of subscriptions that it was enqueued for, None where the bus does not tell."},
    {"next_event", FAST(executor_next_event),
     "next_event($self, /, subscription_id, connection_id=None)\n--\n\n"
     "The oldest message that waits, or None. Never blocks. None too when the subscription has ended."},
    {"next_events", FAST(executor_next_events),
     "next_events($self, /, connection_id, max=256)\n--\n\n"
     "Up to max messages of a connection, as pairs of subscription id and message."},
    {"complete_subscription", FAST(executor_complete),
     "complete_subscription($self, /, subscription_id, connection_id=None)\n--\n\n"
     "Ends a subscription. False when there is none."},
    {"complete_connection", FAST(executor_complete_connection),
     "complete_connection($self, /, connection_id)\n--\n\nEnds all subscriptions of a connection. False when there is none."},
    {"subscriptions_by_channel", FAST(executor_by_channel),
     "subscriptions_by_channel($self, /, channel)\n--\n\nThe ids of the subscriptions registered here for a channel, oldest first."},
    {"get_metrics", executor_metrics, METH_NOARGS, "get_metrics($self, /)\n--\n\nFigures of the engine."},
    {"warmup", executor_warmup, METH_NOARGS, "warmup($self, /)\n--\n\nWaits until the engine runs."},
    {"close", executor_close, METH_NOARGS, "close($self, /)\n--\n\nEnds the engine and everything of it. May be called twice."},
    {"_find", executor_find, METH_VARARGS, NULL},
    {"_take", executor_take, METH_VARARGS, NULL},
    {"_take_one", executor_take_one, METH_O, NULL},
    {"_watch", executor_watch, METH_VARARGS, NULL},
    {"_resume", executor_resume, METH_VARARGS, NULL},
    {"_revoke", executor_revoke, METH_VARARGS, NULL},
    {"_revoke_begin", executor_revoke_begin, METH_VARARGS, NULL},
    {"_publish_begin", FAST(executor_publish_begin), NULL},
    {"_finish", executor_finish, METH_O, NULL},
    {"_leave", executor_leave, METH_O, NULL},
    {"_set_schema", executor_set_schema, METH_VARARGS, NULL},
    {"_mailbox", executor_mailbox, METH_NOARGS, NULL},
    {"_mailbox_take", executor_mailbox_take, METH_O, NULL},
    {"_mailbox_calls", executor_mailbox_calls, METH_O, NULL},
    {"_mailbox_close", executor_mailbox_close, METH_O, NULL},
    {"_set_resolver", executor_set_resolver, METH_VARARGS, NULL},
    {"_work", executor_work, METH_VARARGS, NULL},
    {"_work_stop", executor_work_stop, METH_VARARGS, NULL},
    {"_describe_resolver", executor_describe_resolver, METH_O, NULL},
    {"_run_calls", executor_run_calls, METH_VARARGS, NULL},
    {"_answer", executor_answer, METH_VARARGS, NULL},
    {"_sessions", executor_sessions, METH_O, NULL},
    {"_session_open", executor_session_open, METH_VARARGS, NULL},
    {"_session_receive", executor_session_receive, METH_VARARGS, NULL},
    {"_session_take", executor_session_take, METH_VARARGS, NULL},
    {"_session_shut", executor_session_shut, METH_VARARGS, NULL},
    {"_session_close", executor_session_close, METH_O, NULL},
    {"_serve", executor_serve, METH_O, NULL},
    {"_serve_stop", executor_serve_stop, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot executor_slots[] = {
    {Py_tp_doc, "Executor(config, wait=False, remote=False)\n--\n\nAn engine of this process. config: JSON, as docs/reference/c.md says."},
    {Py_tp_new, executor_new},
    {Py_tp_init, executor_init},
    {Py_tp_methods, executor_methods},
    {Py_tp_traverse, executor_traverse},
    {Py_tp_clear, executor_clear},
    {Py_tp_dealloc, executor_dealloc},
    {0, NULL},
};

PyType_Spec executor_spec = {
    .name = "fraiseql._native.Executor",
    .basicsize = sizeof(Executor),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = executor_slots,
};
