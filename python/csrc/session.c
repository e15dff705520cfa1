/* WebSockets whose host owns the socket, and the listener of the library itself. */
#include "native.h"

#define LONG_MESSAGE 8192 /* bytes */

/* Whether its library serves clients. -1: it waits in vain, is closed, or serves none. */
int executor_serves(Executor *self) {
  if (executor_ready(self) < 0) return -1;
  if (self->fq->serve) return 0;
  PyErr_SetString(PyExc_RuntimeError, "this executor was made before anything that serves clients was imported: import fraiseql.integrations "
                                      "first, or mount a SubscriptionManager");
  return -1;
}

static int config_text(PyObject *config, fq_text *text) {
  if (!PyBytes_Check(config)) return text_of(config, "config", text);
  text->data = PyBytes_AsString(config);
  text->len = PyBytes_Size(config);
  return 0;
}

PyObject *executor_sessions(PyObject *o, PyObject *config) {
  Executor *self = (Executor *)o;
  fq_text text;
  if (executor_serves(self) < 0 || config_text(config, &text) < 0) return NULL;
  char buffer[512];
  fq_out out = OUT(buffer);
  int64_t sessions = self->fq->sessions_new(self->engine, &text, &out);
  return sessions > 0 ? PyLong_FromLongLong(sessions) : raise_result(self, sessions, &out);
}

PyObject *executor_session_open(PyObject *o, PyObject *args) {
  Executor *self = (Executor *)o;
  long long sessions, mailbox, token;
  PyObject *request;
  fq_text text;
  if (!PyArg_ParseTuple(args, "LOLL:_session_open", &sessions, &request, &mailbox, &token)) return NULL;
  if (executor_serves(self) < 0 || config_text(request, &text) < 0) return NULL;
  char buffer[512];
  fq_out out = OUT(buffer);
  int64_t session = self->fq->session_open(self->engine, sessions, &text, mailbox, token, &out);
  return session > 0 ? PyLong_FromLongLong(session) : raise_result(self, session, &out);
}

PyObject *executor_session_receive(PyObject *o, PyObject *args) {
  Executor *self = (Executor *)o;
  PyObject *handle, *message;
  if (!PyArg_UnpackTuple(args, "_session_receive", 2, 2, &handle, &message) || executor_serves(self) < 0) return NULL;
  long long session = PyLong_AsLongLong(handle);
  fq_text text;
  if ((session == -1 && PyErr_Occurred()) || config_text(message, &text) < 0) return NULL;
  int64_t result;
  if (text.len > LONG_MESSAGE) {
    Py_BEGIN_ALLOW_THREADS
    result = self->fq->session_receive(self->engine, session, &text);
    Py_END_ALLOW_THREADS
  } else {
    result = self->fq->session_receive(self->engine, session, &text);
  }
  fq_out none = {NULL, 0, 0, 0};
  return result == FQ_ERROR ? raise_result(self, result, &none) : PyBool_FromLong(result >= 0);
}

static PyObject *messages_of(const fq_out *out, int64_t count) {
  PyObject *list = PyList_New((Py_ssize_t)count);
  const char *at = out->data;
  for (Py_ssize_t i = 0; list && i < count; i++) {
    uint32_t words[3]; /* kind, close code, length */
    memcpy(words, at, sizeof words);
    PyObject *item = Py_BuildValue("(kky#)", (unsigned long)words[0], (unsigned long)words[1], at + sizeof words,
                                   (Py_ssize_t)words[2]);
    if (!item) Py_CLEAR(list);
    else PyList_SetItem(list, i, item);
    at += sizeof words + words[2];
  }
  return list;
}

PyObject *executor_session_take(PyObject *o, PyObject *args) {
  Executor *self = (Executor *)o;
  long long session, max_bytes;
  if (!PyArg_ParseTuple(args, "LL:_session_take", &session, &max_bytes) || executor_serves(self) < 0) return NULL;
  char buffer[8192];
  fq_out out = OUT(buffer);
  int64_t count = self->fq->session_take(self->engine, session, max_bytes, &out);
  if (count == FQ_UNKNOWN) return PyList_New(0);
  if (count < 0) return raise_result(self, count, &out);
  PyObject *list = messages_of(&out, count);
  out_free(&out);
  return list;
}

PyObject *executor_session_shut(PyObject *o, PyObject *args) {
  Executor *self = (Executor *)o;
  long long session, code;
  PyObject *reason = NULL;
  fq_text text;
  if (!PyArg_ParseTuple(args, "LL|U:_session_shut", &session, &code, &reason)) return NULL;
  if (executor_serves(self) < 0 || text_of(reason, "reason", &text) < 0) return NULL;
  int64_t result = self->fq->session_shut(self->engine, session, code, &text);
  fq_out none = {NULL, 0, 0, 0};
  return result == FQ_ERROR ? raise_result(self, result, &none) : PyBool_FromLong(result >= 0);
}

PyObject *executor_serve(PyObject *o, PyObject *config) {
  Executor *self = (Executor *)o;
  fq_text text;
  if (executor_serves(self) < 0 || config_text(config, &text) < 0) return NULL;
  char buffer[1024];
  fq_out out = OUT(buffer);
  int64_t server;
  Py_BEGIN_ALLOW_THREADS
  server = self->fq->serve(self->engine, &text, &out);
  Py_END_ALLOW_THREADS
  if (server <= 0) return raise_result(self, server, &out);
  PyObject *address = read_json(self->state, out.data, out.len), *result = NULL;
  out_free(&out);
  if (!address) return NULL;
  PyObject *host = PyMapping_GetItemString(address, "host"), *port = PyMapping_GetItemString(address, "port");
  if (host && port) result = Py_BuildValue("(LOO)", (long long)server, host, port);
  Py_XDECREF(host);
  Py_XDECREF(port);
  Py_DECREF(address);
  return result;
}

#define LONGEST_WINDOW 600 /* seconds, as in the engine, which would stop nothing */

static void run_stop(job *j) { j->result = j->fq->serve_stop(j->engine, j->subject, j->window, &j->out); }

PyObject *executor_serve_stop(PyObject *o, PyObject *args) {
  Executor *self = (Executor *)o;
  long long server;
  double seconds = 0;
  if (!PyArg_ParseTuple(args, "L|d:_serve_stop", &server, &seconds) || executor_serves(self) < 0) return NULL;
  if (!(seconds >= 0 && seconds <= LONGEST_WINDOW)) {
    PyErr_Format(PyExc_ValueError, "window_seconds must be between 0 and %d", LONGEST_WINDOW);
    return NULL;
  }
  job *j = job_new(run_stop);
  if (!j) return NULL;
  j->fq = self->fq;
  j->engine = self->engine;
  j->subject = server;
  j->window = (int64_t)(seconds * 1000);
  job_start(j);
  PyObject *result = NULL;
  if (job_wait(j) == 0) result = j->result == FQ_ERROR ? raise_result(self, j->result, &j->out) : Py_NewRef(Py_None);
  job_leave(j);
  return result;
}
