/* What waits: next_event, next_events; and what ends: complete_subscription, complete_connection.
 *
 * Making a container may run the collector, and so any Python code: records and connections are looked up after it. */
#include "native.h"

#define MANY_MESSAGES 1024 /* taking one costs some 50 ns */
#define MANY_RECORDS 100   /* completing one costs some 500 ns */

void forget_record(Executor *self, record *it) {
  int64_t token = it->resolver;
  records_drop(&self->records, it);
  if (token) resolver_release(self, token);
}

/* Exact str, borrowed where it is kept elsewhere. *held is to be released. */
static PyObject *id_argument(const Executor *self, PyObject *value, const char *name, PyObject **held) {
  *held = NULL;
  if (PyUnicode_CheckExact(value)) return value;
  if (!PyLong_CheckExact(value)) return *held = identifier(value, name);
  int overflow;
  long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
  if (overflow || number < 0 || number >= KNOWN_IDS) return *held = identifier(value, name);
  PyObject **known = &self->state->ids[number];
  if (!*known) *known = identifier(value, name);
  return *known;
}

/* The record of an id. NULL with *missing: there is none; NULL with an exception otherwise. */
static record *find(Executor *self, PyObject *id, PyObject *connection_id, bool *missing) {
  PyObject *held_id, *held_connection = NULL;
  bool ambiguous = false;
  record *it = NULL;
  *missing = false;
  if (connection_id == Py_None) connection_id = NULL;
  id = id_argument(self, id, "subscription_id", &held_id);
  if (!id) return NULL;
  if (connection_id) connection_id = id_argument(self, connection_id, "connection_id", &held_connection);
  if (connection_id || !PyErr_Occurred()) {
    it = records_find(&self->records, id, connection_id, &ambiguous);
    *missing = !it;
  }
  if (ambiguous) {
    PyErr_Format(PyExc_ValueError, "more than one connection has a subscription %R: give connection_id", id);
    it = NULL;
  }
  Py_XDECREF(held_id);
  Py_XDECREF(held_connection);
  return it;
}

/* The result of fq_next for a record, which is forgotten at its end. */
static PyObject *next_of(Executor *self, record *it) {
  char buffer[4096];
  fq_out out = OUT(buffer);
  int64_t handle = it->handle;
  int64_t result = self->fq->next(self->engine, handle, &out);
  if (result == 1) {
    PyObject *message = PyBytes_FromStringAndSize(out.data, (Py_ssize_t)out.len);
    out_free(&out);
    return message;
  }
  if (result == 0) return Py_NewRef(Py_None);
  if (result == FQ_ENDED || result == FQ_SLOW || result == FQ_UNKNOWN) {
    PyObject *id = Py_NewRef(it->id);
    self->fq->complete(self->engine, handle);
    forget_record(self, it);
    PyObject *answer = result == FQ_SLOW ? raise_slow(self->state, id) : Py_NewRef(Py_None);
    Py_DECREF(id);
    return answer;
  }
  return raise_result(self, result, &out);
}

PyObject *executor_next_event(PyObject *o, PyObject *const *args, Py_ssize_t count, PyObject *names) {
  static const signature s = {"next_event", 1, 2, 2, {W_subscription_id, W_connection_id}};
  Executor *self = (Executor *)o;
  PyObject *given[2];
  bool missing;
  if (executor_ready(self) < 0 || arguments(self->state, &s, args, count, names, given) < 0) return NULL;
  record *it = find(self, given[0], given[1], &missing);
  if (it) {
    if (!waiting(&it->connection->ready->ready)) return Py_NewRef(Py_None);
    PyObject *message = next_of(self, it);
    resolvers_sweep(self);
    return message;
  }
  return missing ? Py_NewRef(Py_None) : NULL;
}

/* Steals message. */
static int append_pair(PyObject *list, PyObject *id, PyObject *message) {
  PyObject *pair = message ? PyTuple_New(2) : NULL;
  if (!pair) {
    Py_XDECREF(message);
    return -1;
  }
  PyTuple_SetItem(pair, 0, Py_NewRef(id));
  PyTuple_SetItem(pair, 1, message);
  int result = PyList_Append(list, pair);
  Py_DECREF(pair);
  return result;
}

/* The messages of fq_take_connection. Those of a subscription that was completed meanwhile are left out. */
static int append_taken(Executor *self, const fq_out *out, int64_t count, PyObject *list) {
  const char *at = out->data;
  for (; count > 0; count--) {
    int64_t handle;
    uint32_t length;
    memcpy(&handle, at, sizeof handle);
    memcpy(&length, at + 8, sizeof length);
    record *it = records_by_handle(&self->records, handle);
    if (it) {
      PyObject *id = Py_NewRef(it->id);
      int result = append_pair(list, id, PyBytes_FromStringAndSize(at + 12, length));
      Py_DECREF(id);
      if (result < 0) return -1;
    }
    at += 12 + length;
  }
  return 0;
}

/* Asks one subscription after the other, up to the first that has a message, or did not keep up, which raises. For
 * what has ended, and while there may be subscriptions that are not known here yet. */
static int look_at_each(Executor *self, connection *c, PyObject *list) {
  size_t count = 0;
  for (record *it = c->first; it; it = it->connection_next) count++;
  int64_t *handles = PyMem_Malloc((count + 1) * sizeof *handles);
  if (!handles) return (void)PyErr_NoMemory(), -1;
  count = 0;
  for (record *it = c->first; it; it = it->connection_next) handles[count++] = it->handle;
  int result = 0;
  for (size_t i = 0; result == 0 && i < count && PyList_Size(list) == 0; i++) {
    record *it = records_by_handle(&self->records, handles[i]);
    if (!it) continue;
    PyObject *id = Py_NewRef(it->id);
    PyObject *message = next_of(self, it);
    if (message == Py_None) Py_DECREF(message);
    else result = append_pair(list, id, message);
    Py_DECREF(id);
  }
  PyMem_Free(handles);
  return result;
}

/* fq_take_connection, without the GIL when it will take long: it did last time. */
static int64_t take_connection(Executor *self, connection *c, int64_t max, fq_out *out) {
  int64_t engine = self->engine, handle = c->handle, count;
  uint64_t from = now();
  if (c->cost <= LONG_CALL) {
    count = self->fq->take_connection(engine, handle, max, out);
    c->cost = now() - from;
    return count;
  }
  PyObject *id = Py_NewRef(c->id);
  self->taking++;
  Py_BEGIN_ALLOW_THREADS
  from = now();
  count = self->fq->take_connection(engine, handle, max, out);
  from = now() - from;
  Py_END_ALLOW_THREADS
  self->taking--;
  c = records_connection(&self->records, id);
  if (c) c->cost = from;
  Py_DECREF(id);
  return count;
}

static int append_waiting(Executor *self, PyObject *id, int64_t max, PyObject *list) {
  connection *c = records_connection(&self->records, id);
  if (!c || !waiting(&c->ready->ready)) return 0;
  if (self->subscribing) return look_at_each(self, c, list);
  char buffer[8192];
  fq_out out = OUT(buffer);
  int64_t count = take_connection(self, c, max, &out);
  if (count == FQ_UNKNOWN) return 0;
  if (count < 0) {
    raise_result(self, count, &out);
    return -1;
  }
  int result = append_taken(self, &out, count, list);
  out_free(&out);
  if (count > 0 || self->phase != PHASE_OPEN) return result;
  c = records_connection(&self->records, id);
  return c && waiting(&c->ready->ready) ? look_at_each(self, c, list) : 0;
}

PyObject *executor_next_events(PyObject *o, PyObject *const *args, Py_ssize_t count, PyObject *names) {
  static const signature s = {"next_events", 1, 2, 2, {W_connection_id, W_max}};
  Executor *self = (Executor *)o;
  PyObject *given[2];
  if (executor_ready(self) < 0 || arguments(self->state, &s, args, count, names, given) < 0) return NULL;
  long long max = 256;
  if (given[1] && count_of(given[1], "max", &max) < 0) return NULL;
  if (max <= 0) {
    PyErr_SetString(PyExc_ValueError, "max must be positive");
    return NULL;
  }
  PyObject *id = identifier(given[0], "connection_id");
  if (!id) return NULL;
  PyObject *list = PyList_New(0);
  if (list && append_waiting(self, id, max, list) < 0) Py_CLEAR(list);
  Py_DECREF(id);
  resolvers_sweep(self);
  return list;
}

PyObject *executor_complete(PyObject *o, PyObject *const *args, Py_ssize_t count, PyObject *names) {
  static const signature s = {"complete_subscription", 1, 2, 2, {W_subscription_id, W_connection_id}};
  Executor *self = (Executor *)o;
  PyObject *given[2];
  bool missing;
  if (executor_ready(self) < 0 || arguments(self->state, &s, args, count, names, given) < 0) return NULL;
  record *it = find(self, given[0], given[1], &missing);
  if (!it) {
    if (missing) return Py_NewRef(Py_False);
    return NULL;
  }
  int64_t handle = it->handle;
  forget_record(self, it);
  int64_t done = self->fq->complete(self->engine, handle);
  fq_out none = {NULL, 0, 0, 0};
  if (done == FQ_ERROR) return raise_result(self, done, &none);
  resolvers_sweep(self);
  return PyBool_FromLong(done == 1);
}

PyObject *executor_complete_connection(PyObject *o, PyObject *const *args, Py_ssize_t count, PyObject *names) {
  static const signature s = {"complete_connection", 1, 1, 1, {W_connection_id}};
  Executor *self = (Executor *)o;
  PyObject *given[1];
  if (executor_ready(self) < 0 || arguments(self->state, &s, args, count, names, given) < 0) return NULL;
  PyObject *id = identifier(given[0], "connection_id");
  if (!id) return NULL;
  connection *c = records_connection(&self->records, id);
  Py_DECREF(id);
  if (!c) return Py_NewRef(Py_False);
  int64_t engine = self->engine, handle = c->handle, done;
  int completed = 0;
  for (; c->first; completed++) forget_record(self, c->first);
  records_drop_connection(&self->records, c);
  if (completed > MANY_RECORDS) {
    Py_BEGIN_ALLOW_THREADS
    done = self->fq->complete_connection(engine, handle);
    Py_END_ALLOW_THREADS
  } else {
    done = self->fq->complete_connection(engine, handle);
  }
  fq_out none = {NULL, 0, 0, 0};
  if (done == FQ_ERROR) return raise_result(self, done, &none);
  resolvers_sweep(self);
  return PyBool_FromLong(done == 1);
}

PyObject *executor_by_channel(PyObject *o, PyObject *const *args, Py_ssize_t count, PyObject *names) {
  static const signature s = {"subscriptions_by_channel", 1, 1, 1, {W_channel}};
  Executor *self = (Executor *)o;
  PyObject *given[1];
  if (executor_ready(self) < 0 || arguments(self->state, &s, args, count, names, given) < 0) return NULL;
  PyObject *name = identifier(given[0], "channel");
  if (!name) return NULL;
  Py_ssize_t size = 0;
  PyObject *list;
  channel *c;
  for (;;) {
    list = PyList_New(size);
    c = records_channel(&self->records, name);
    if (!list || size == (c ? c->count : 0)) break;
    size = c ? c->count : 0;
    Py_DECREF(list);
  }
  Py_DECREF(name);
  for (record *it = list && c ? c->first : NULL; it; it = it->channel_next)
    PyList_SetItem(list, --size, Py_NewRef(it->id));
  return list;
}

PyObject *executor_find(PyObject *o, PyObject *args) {
  Executor *self = (Executor *)o;
  PyObject *id, *connection_id = NULL;
  bool missing;
  if (!PyArg_UnpackTuple(args, "_find", 1, 2, &id, &connection_id) || executor_ready(self) < 0) return NULL;
  record *it = find(self, id, connection_id, &missing);
  if (it) return PyLong_FromLongLong(it->handle);
  if (missing) PyErr_Format(PyExc_KeyError, "no subscription %R", id);
  return NULL;
}

static PyObject *messages_of(const fq_out *out, int64_t count) {
  PyObject *list = PyList_New((Py_ssize_t)count);
  const char *at = out->data;
  for (Py_ssize_t i = 0; list && i < count; i++) {
    uint32_t length;
    memcpy(&length, at, sizeof length);
    PyObject *message = PyBytes_FromStringAndSize(at + 4, length);
    if (!message) Py_CLEAR(list);
    else PyList_SetItem(list, i, message);
    at += 4 + length;
  }
  return list;
}

PyObject *executor_take(PyObject *o, PyObject *args) {
  Executor *self = (Executor *)o;
  long long handle, max;
  if (!PyArg_ParseTuple(args, "LL:_take", &handle, &max) || executor_ready(self) < 0) return NULL;
  char buffer[8192];
  fq_out out = OUT(buffer);
  int64_t engine = self->engine, count;
  if (max > MANY_MESSAGES) {
    Py_BEGIN_ALLOW_THREADS
    count = self->fq->take(engine, handle, max, &out);
    Py_END_ALLOW_THREADS
  } else {
    count = self->fq->take(engine, handle, max, &out);
  }
  if (count >= 0) {
    PyObject *list = messages_of(&out, count);
    out_free(&out);
    return list;
  }
  record *it = records_by_handle(&self->records, handle);
  PyObject *id = it ? Py_NewRef(it->id) : NULL, *answer;
  if (it && count != FQ_ERROR) {
    self->fq->complete(self->engine, handle);
    forget_record(self, it);
  }
  resolvers_sweep(self);
  if (count == FQ_ENDED || count == FQ_UNKNOWN) answer = Py_NewRef(Py_None);
  else answer = count == FQ_SLOW && id ? raise_slow(self->state, id) : raise_result(self, count, &out);
  Py_XDECREF(id);
  return answer;
}

/* The message at the head of a subscription; None: none waits; False: none will come any more. */
PyObject *executor_take_one(PyObject *o, PyObject *handle_object) {
  Executor *self = (Executor *)o;
  int64_t handle = PyLong_AsLongLong(handle_object);
  if ((handle == -1 && PyErr_Occurred()) || executor_ready(self) < 0) return NULL;
  record *it = records_by_handle(&self->records, handle);
  if (!it) return Py_NewRef(Py_False);
  if (!waiting(&it->connection->ready->ready)) return Py_NewRef(Py_None);
  PyObject *message = next_of(self, it);
  resolvers_sweep(self);
  if (message != Py_None || records_by_handle(&self->records, handle)) return message;
  Py_DECREF(message);
  return Py_NewRef(Py_False);
}
