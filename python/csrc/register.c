/* register_subscription. */
#include "native.h"

#define LONG_QUERY 2048 /* bytes; parsing and validating takes some 15 ns for each */
#define LONG_VARIABLES 16384

enum { CONNECTION, SUBSCRIPTION, QUERY, OPERATION, VARIABLES, USER, TENANT, ROLES, SCOPES, FEDERATION, SERVICE, RESOLVER, RESUME };

static int write_key(writer *w, const char *name) {
  size_t length = strlen(name);
  if (write_raw(w, w->length > 1 ? "," : "", w->length > 1) < 0 || write_quoted(w, name, length) < 0) return -1;
  return write_raw(w, ":", 1);
}

static int write_member_text(writer *w, const char *name, PyObject *value) {
  fq_text text;
  PyObject *held;
  if (identifier_text(value, name, &text, &held) < 0) {
    Py_XDECREF(held);
    return -1;
  }
  int result = 0;
  if (text.data && text.len == 0) {
    PyErr_Format(PyExc_ValueError, "%s is empty; None is nobody", name);
    result = -1;
  } else if (text.data) {
    result = write_key(w, name);
    if (result == 0) result = write_quoted(w, text.data, (size_t)text.len);
  }
  Py_XDECREF(held);
  return result;
}

static int write_member_list(writer *w, const char *name, PyObject *value) {
  if (!value || value == Py_None) return 0;
  /* The keys of a dict are no list: {"admin": False} does not mean to give that role. */
  if (PyUnicode_Check(value) || PyBytes_Check(value) || PyDict_Check(value)) {
    PyErr_Format(PyExc_TypeError, "%s must be a collection of str, not a single one or a dict", name);
    return -1;
  }
  PyObject *list = PySequence_List(value);
  if (!list) {
    if (!PyErr_ExceptionMatches(PyExc_TypeError)) return -1;
    PyErr_Clear();
    return wrong_type(name, "a collection of str", value);
  }
  Py_ssize_t size = PyList_Size(list);
  int result = size ? write_key(w, name) : 0;
  for (Py_ssize_t i = 0; result == 0 && i < size; i++) {
    fq_text text;
    PyObject *item = PyList_GetItem(list, i);
    result = write_raw(w, i ? "," : "[", 1);
    if (result == 0 && item == Py_None) {
      PyErr_Format(PyExc_TypeError, "%s must be a collection of str", name);
      result = -1;
    }
    if (result == 0) result = text_of(item, name, &text);
    if (result == 0) result = write_quoted(w, text.data, (size_t)text.len);
  }
  if (result == 0 && size) result = write_raw(w, "]", 1);
  Py_DECREF(list);
  return result;
}

/* The identity, absent when nothing of it is given. */
static int write_identity(writer *w, PyObject *const *given, fq_text *text) {
  if (write_raw(w, "{", 1) < 0 || write_member_text(w, "user_id", given[USER]) < 0 ||
      write_member_text(w, "tenant_id", given[TENANT]) < 0 || write_member_list(w, "roles", given[ROLES]) < 0 ||
      write_member_list(w, "scopes", given[SCOPES]) < 0 ||
      write_member_text(w, "federation_id", given[FEDERATION]) < 0 ||
      write_member_text(w, "service_name", given[SERVICE]) < 0 || write_raw(w, "}", 1) < 0)
    return -1;
  if (w->length > 2) {
    text->data = w->data;
    text->len = (int64_t)w->length;
  }
  return 0;
}

static int write_variables(writer *w, PyObject *variables, fq_text *text) {
  if (!variables || variables == Py_None) return 0;
  if (PyBytes_Check(variables)) {
    text->data = PyBytes_AsString(variables);
    text->len = PyBytes_Size(variables);
    return 0;
  }
  if (write_json(w, variables) < 0) return -1;
  if (w->data[0] != '{') {
    PyErr_SetString(PyExc_TypeError, "variables must be a dict");
    return -1;
  }
  text->data = w->data;
  text->len = (int64_t)w->length;
  return 0;
}

/* Where it begins: True is now, a str the cursor of a message. Both give every message a cursor. */
static int write_resume(writer *w, PyObject *resume, fq_text *text) {
  if (!resume || resume == Py_None || resume == Py_False) return 0;
  if (write_raw(w, "{\"resume\":", 10) < 0) return -1;
  if (resume == Py_True) {
    if (write_raw(w, "true", 4) < 0) return -1;
  } else if (PyUnicode_Check(resume)) {
    fq_text cursor;
    if (text_of(resume, "resume", &cursor) < 0 || write_quoted(w, cursor.data, (size_t)cursor.len) < 0) return -1;
  } else {
    return wrong_type("resume", "a bool or the cursor of a message as str", resume);
  }
  if (write_raw(w, "}", 1) < 0) return -1;
  text->data = w->data;
  text->len = (int64_t)w->length;
  return 0;
}

/* The subscription is the engine's; the record makes it ours. Takes over the use of the resolver. */
static PyObject *keep(Executor *self, PyObject *const *ids, const fq_subscription *s, int64_t handle, fq_out *out) {
  PyObject *name = PyUnicode_FromStringAndSize(out->data, (Py_ssize_t)out->len);
  out_free(out);
  bool ambiguous;
  record *old = records_find(&self->records, ids[1], ids[0], &ambiguous);
  if (old) forget_record(self, old); /* it had ended */
  record *it = NULL;
  if (name && self->phase != PHASE_OPEN) {
    raise_coded(self->state, "CLOSED", "The executor is closed.");
  } else if (name) {
    record_spec spec = {ids[0], ids[1], name, handle, s->connection, s->resolver, s->ready};
    it = records_add(&self->records, &spec);
  }
  Py_XDECREF(name);
  if (it) return Py_NewRef(ids[1]);
  self->fq->complete(self->engine, handle);
  if (s->resolver) resolver_release(self, s->resolver);
  return NULL;
}

/* Whether it has ended before it could be kept: without the GIL, another thread may have completed its connection, and
 * made it anew. A record would then lead to the connection that is gone. */
static bool ended_meanwhile(Executor *self, int64_t handle) {
  return self->fq->watch(self->engine, handle, 0, 0) == FQ_ENDED;
}

static PyObject *subscribe(Executor *self, PyObject *const *ids, fq_subscription *s) {
  char buffer[1024];
  fq_out out = OUT(buffer);
  int64_t handle;
  faults_guard();
  bool is_long = self->remote || s->query.len > LONG_QUERY || s->variables.len > LONG_VARIABLES ||
                 s->identity.len > LONG_VARIABLES || s->extensions.len; /* it waits for the bus, or reads history */
  bool released = is_long && !self->taking;
  if (released) {
    self->subscribing++;
    handle = self->fq->subscribe_start(self->engine, s, &out);
    if (handle > 0) handle = operation_wait(self, handle, s, &out);
    self->subscribing--;
  } else {
    handle = self->fq->subscribe(self->engine, s, &out);
  }
  if (handle > 0 && !(released && ended_meanwhile(self, handle))) return keep(self, ids, s, handle, &out);
  if (s->resolver) resolver_release(self, s->resolver);
  if (handle == INTERRUPTED) return NULL;
  if (handle <= 0) return raise_result(self, handle, &out);
  out_free(&out);
  return Py_NewRef(ids[1]);
}

static int texts(PyObject *const *given, PyObject *const *ids, fq_subscription *s) {
  if (text_of(ids[0], "connection_id", &s->connection_id) < 0 ||
      text_of(ids[1], "subscription_id", &s->subscription_id) < 0 || text_of(given[QUERY], "query", &s->query) < 0 ||
      text_of(given[OPERATION], "operation_name", &s->operation_name) < 0)
    return -1;
  if (!s->query.data) {
    PyErr_SetString(PyExc_TypeError, "query must be str, not NoneType");
    return -1;
  }
  if (s->query.len) return 0;
  PyErr_SetString(PyExc_ValueError, "query is empty");
  return -1;
}

static PyObject *register_with_ids(Executor *self, PyObject *const *given, PyObject *const *ids) {
  fq_subscription s = {0};
  char identity_buffer[512], variables_buffer[1024], extensions_buffer[128];
  writer identity, variables, extensions;
  PyObject *result = NULL;
  writer_init(&identity, self->state, "identity", identity_buffer, sizeof identity_buffer);
  writer_init(&variables, self->state, "variables", variables_buffer, sizeof variables_buffer);
  writer_init(&extensions, self->state, "resume", extensions_buffer, sizeof extensions_buffer);
  bool ok = texts(given, ids, &s) == 0 && write_identity(&identity, given, &s.identity) == 0 &&
            write_variables(&variables, given[VARIABLES], &s.variables) == 0 &&
            write_resume(&extensions, given[RESUME], &s.extensions) == 0;
  PyObject *function = given[RESOLVER], *named = NULL;
  if (ok && function && PyUnicode_Check(function))
    ok = (function = named = PyObject_CallMethodObjArgs((PyObject *)self, self->state->words[W_resolver_named], function, NULL)) != NULL;
  if (ok && function && function != Py_None)
    ok = (s.resolver = resolver_acquire(self, function, &s.resolver_context)) != 0;
  Py_XDECREF(named);
  if (ok && executor_ready(self) == 0) result = subscribe(self, ids, &s);
  else if (s.resolver) resolver_release(self, s.resolver);
  resolvers_sweep(self);
  writer_free(&identity);
  writer_free(&variables);
  writer_free(&extensions);
  return result;
}

/* _resume(handle, cursor): a live subscription begins again. False when it has ended. */
PyObject *executor_resume(PyObject *o, PyObject *args) {
  Executor *self = (Executor *)o;
  long long handle;
  PyObject *cursor;
  fq_text text;
  if (!PyArg_ParseTuple(args, "LU:_resume", &handle, &cursor) || executor_ready(self) < 0 ||
      text_of(cursor, "resume", &text) < 0)
    return NULL;
  if (!records_by_handle(&self->records, handle)) return Py_NewRef(Py_False);
  char buffer[1024];
  fq_out out = OUT(buffer);
  int64_t result, engine = self->engine;
  faults_guard();
  if (!self->taking) {
    Py_BEGIN_ALLOW_THREADS
    result = self->fq->resume(engine, handle, &text, &out);
    Py_END_ALLOW_THREADS
  } else {
    result = self->fq->resume(engine, handle, &text, &out);
  }
  if (result < 0) return raise_result(self, result, &out);
  out_free(&out);
  return PyBool_FromLong(result == 1);
}

PyObject *executor_register(PyObject *o, PyObject *const *args, Py_ssize_t count, PyObject *names) {
  static const signature s = {"register_subscription", 3, 7, 13,
                              {W_connection_id, W_subscription_id, W_query, W_operation_name, W_variables, W_user_id,
                               W_tenant_id, W_roles, W_scopes, W_federation_id, W_service_name, W_resolver, W_resume}};
  Executor *self = (Executor *)o;
  PyObject *given[13];
  if (executor_ready(self) < 0 || arguments(self->state, &s, args, count, names, given) < 0) return NULL;
  PyObject *ids[2] = {identifier(given[CONNECTION], "connection_id"), NULL}, *result = NULL;
  if (ids[0]) ids[1] = identifier(given[SUBSCRIPTION], "subscription_id");
  if (ids[1]) result = register_with_ids(self, given, ids);
  Py_XDECREF(ids[0]);
  Py_XDECREF(ids[1]);
  return result;
}
