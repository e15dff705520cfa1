/* publish_event; _revoke, which publishes too; _set_schema, which publishers wait for. */
#include "native.h"

#define LONG_DATA 32768 /* bytes: validating takes about 1 ns for each */

enum { TYPE, CHANNEL, DATA, ID, TENANT, USER, BROADCAST, FEDERATION, SERVICE };

/* fq_publish on a bus outside of the process. */
static int64_t publish_remote(Executor *self, fq_event *event, fq_out *out) {
  int64_t operation = self->fq->publish_start(self->engine, event, 1, 0, 0, out);
  return operation > 0 ? operation_wait(self, operation, NULL, out) : operation;
}

/* fq_publish, without the GIL when it will take long: the last one on the channel did, or the data is long. */
static int64_t publish(Executor *self, fq_event *event, Py_hash_t channel_, fq_out *out) {
  uint64_t *cost = &self->costs[(size_t)channel_ % COSTS], from, took;
  int64_t engine = self->engine, result;
  if (self->remote) return publish_remote(self, event, out);
  if (*cost > LONG_CALL || event->data.len > LONG_DATA) {
    Py_BEGIN_ALLOW_THREADS
    from = now();
    result = self->fq->publish(engine, event, 1, out);
    took = now() - from;
    Py_END_ALLOW_THREADS
  } else {
    from = now();
    result = self->fq->publish(engine, event, 1, out);
    took = now() - from;
  }
  *cost = took;
  return result;
}

static int read_data(writer *w, PyObject *data, fq_text *text) {
  if (PyBytes_Check(data)) {
    text->data = PyBytes_AsString(data);
    text->len = PyBytes_Size(data);
    return 0;
  }
  if (PyUnicode_Check(data)) return text_of(data, "data", text);
  if (write_json(w, data) < 0) return -1;
  if (w->data[0] != '{') {
    PyErr_SetString(PyExc_TypeError, "data must be a dict, or bytes or str that hold a JSON object");
    return -1;
  }
  text->data = w->data;
  text->len = (int64_t)w->length;
  return 0;
}

static int need_text(PyObject *value, const char *name, fq_text *text) {
  if (text_of(value, name, text) < 0) return -1;
  if (text->data) return 0;
  PyErr_Format(PyExc_TypeError, "%s must be str, not NoneType", name);
  return -1;
}

/* held: what texts of ints point to. */
static int read_event(writer *w, PyObject *const *given, fq_event *event, PyObject **held) {
  if (need_text(given[TYPE], "event_type", &event->type) < 0 ||
      need_text(given[CHANNEL], "channel", &event->channel) < 0 ||
      (given[ID] && identifier_text(given[ID], "id", &event->id, &held[0]) < 0) ||
      (given[TENANT] && identifier_text(given[TENANT], "tenant_id", &event->tenant_id, &held[1]) < 0) ||
      (given[USER] && identifier_text(given[USER], "user_id", &event->user_id, &held[2]) < 0) ||
      (given[FEDERATION] && text_of(given[FEDERATION], "federation_id", &event->federation_id) < 0) ||
      (given[SERVICE] && text_of(given[SERVICE], "service_name", &event->service_name) < 0))
    return -1;
  int broadcast = flag_of(given[BROADCAST], "broadcast");
  if (broadcast < 0) return -1;
  event->broadcast = broadcast;
  return read_data(w, given[DATA], &event->data);
}

/* Sync resolvers that this event waits for run now; a resolver that publishes does the same, one level further in. Workers
 * do not: the publisher may hold what they wait for. */
static PyObject *published(Executor *self, int64_t result, fq_out *out) {
  if (result == INTERRUPTED) return NULL;
  if (result < 0 && result != FQ_ACKNOWLEDGED) return raise_result(self, result, out);
  out_free(out);
  if (self->phase == PHASE_OPEN) {
    uint32_t calls = waiting(&self->shared->calls);
    if (calls && run_calls(self, calls, false) < 0) return NULL;
  }
  if (result == FQ_ACKNOWLEDGED) return Py_NewRef(Py_None);
  return PyLong_FromLongLong(result);
}

static PyObject *publish_given(Executor *self, PyObject *const *given, writer *w) {
  fq_event event = {0};
  PyObject *held[3] = {NULL, NULL, NULL}, *answer = NULL;
  if (read_event(w, given, &event, held) == 0 && executor_ready(self) == 0 && calls_may_nest() == 0) {
    char buffer[256];
    fq_out out = OUT(buffer);
    Py_hash_t channel_ = PyUnicode_CheckExact(given[CHANNEL]) ? PyObject_Hash(given[CHANNEL]) : 0;
    int64_t result = publish(self, &event, channel_, &out);
    answer = published(self, result, &out);
  }
  for (int i = 0; i < 3; i++) Py_XDECREF(held[i]);
  return answer;
}

static const signature publish_signature = {"publish_event", 3, 3, 9,
                                            {W_event_type, W_channel, W_data, W_id, W_tenant_id, W_user_id, W_broadcast,
                                             W_federation_id, W_service_name}};

PyObject *executor_publish(PyObject *o, PyObject *const *args, Py_ssize_t count, PyObject *names) {
  Executor *self = (Executor *)o;
  PyObject *given[9];
  if (executor_ready(self) < 0 || arguments(self->state, &publish_signature, args, count, names, given) < 0) return NULL;
  char buffer[4096];
  writer w;
  writer_init(&w, self->state, "data", buffer, sizeof buffer);
  PyObject *answer = publish_given(self, given, &w);
  writer_free(&w);
  return answer;
}

/* _publish_begin(mailbox, token, as publish_event): the mailbox is told the token at the end. -> operation */
PyObject *executor_publish_begin(PyObject *o, PyObject *const *args, Py_ssize_t count, PyObject *names) {
  Executor *self = (Executor *)o;
  PyObject *given[9], *held[3] = {NULL, NULL, NULL}, *operation = NULL;
  if (count < 2) return PyErr_SetString(PyExc_TypeError, "_publish_begin() takes a mailbox and a token first"), NULL;
  long long mailbox = PyLong_AsLongLong(args[0]), token = PyLong_AsLongLong(args[1]);
  if (PyErr_Occurred() || executor_ready(self) < 0 ||
      arguments(self->state, &publish_signature, args + 2, count - 2, names, given) < 0)
    return NULL;
  char buffer[4096], text[512];
  fq_event event = {0};
  writer w;
  writer_init(&w, self->state, "data", buffer, sizeof buffer);
  if (read_event(&w, given, &event, held) == 0 && executor_ready(self) == 0) {
    fq_out out = OUT(text);
    int64_t result = self->fq->publish_start(self->engine, &event, 1, mailbox, token, &out);
    operation = result > 0 ? PyLong_FromLongLong(result) : raise_result(self, result, &out);
  }
  for (int i = 0; i < 3; i++) Py_XDECREF(held[i]);
  writer_free(&w);
  return operation;
}

/* _revoke_begin(mailbox, token, revocation): in the same way. */
PyObject *executor_revoke_begin(PyObject *o, PyObject *args) {
  Executor *self = (Executor *)o;
  long long mailbox, token;
  PyObject *revocation;
  if (!PyArg_ParseTuple(args, "LLS:_revoke_begin", &mailbox, &token, &revocation) || executor_ready(self) < 0) return NULL;
  char buffer[512];
  fq_out out = OUT(buffer);
  fq_text text = {PyBytes_AsString(revocation), PyBytes_Size(revocation)};
  int64_t result = self->fq->revoke_start(self->engine, &text, mailbox, token, &out);
  return result > 0 ? PyLong_FromLongLong(result) : raise_result(self, result, &out);
}

/* Waits for the bus. */
PyObject *executor_revoke(PyObject *o, PyObject *args) {
  Executor *self = (Executor *)o;
  PyObject *revocation;
  if (!PyArg_ParseTuple(args, "S:_revoke", &revocation) || executor_ready(self) < 0) return NULL;
  char buffer[512];
  fq_out out = OUT(buffer);
  fq_text text = {PyBytes_AsString(revocation), PyBytes_Size(revocation)};
  int64_t result = self->fq->revoke_start(self->engine, &text, 0, 0, &out);
  if (result > 0) result = operation_wait(self, result, NULL, &out);
  if (result == INTERRUPTED) return NULL;
  if (result < 0) return raise_result(self, result, &out);
  out_free(&out);
  return Py_NewRef(Py_None);
}

/* Compiles documents: that may take a while. */
PyObject *executor_set_schema(PyObject *o, PyObject *args) {
  Executor *self = (Executor *)o;
  PyObject *schema;
  if (!PyArg_ParseTuple(args, "S:_set_schema", &schema) || executor_ready(self) < 0) return NULL;
  char buffer[512];
  fq_out out = OUT(buffer);
  fq_text text = {PyBytes_AsString(schema), PyBytes_Size(schema)};
  int64_t engine = self->engine, result;
  Py_BEGIN_ALLOW_THREADS
  result = self->fq->schema_set(engine, &text, &out);
  Py_END_ALLOW_THREADS
  if (result < 0) return raise_result(self, result, &out);
  out_free(&out);
  return Py_BuildValue("LL", (long long)(result >> 32), (long long)(result & 0xffffffff));
}
