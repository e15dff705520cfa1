/* Mailboxes: how event loops learn that something waits. */
#include "native.h"

#define TOKENS 512

PyObject *executor_mailbox(PyObject *o, PyObject *unused) {
  (void)unused;
  Executor *self = (Executor *)o;
  if (executor_ready(self) < 0) return NULL;
  char buffer[512];
  fq_out out = OUT(buffer);
  int64_t fd = -1;
  int64_t mailbox = self->fq->mailbox_new(self->engine, &fd, &out);
  if (mailbox < 0) return raise_result(self, mailbox, &out);
  return Py_BuildValue("(LL)", (long long)mailbox, (long long)fd);
}

PyObject *executor_mailbox_take(PyObject *o, PyObject *mailbox) {
  Executor *self = (Executor *)o;
  long long handle = PyLong_AsLongLong(mailbox);
  if ((handle == -1 && PyErr_Occurred()) || executor_ready(self) < 0) return NULL;
  int64_t tokens[TOKENS];
  int64_t count = self->fq->mailbox_take(self->engine, handle, tokens, TOKENS);
  if (count < 0) {
    fq_out none = {NULL, 0, 0, 0};
    return raise_result(self, count, &none);
  }
  PyObject *list = PyList_New((Py_ssize_t)count);
  for (Py_ssize_t i = 0; list && i < count; i++) {
    PyObject *token = PyLong_FromLongLong(tokens[i]);
    if (!token) Py_CLEAR(list);
    else PyList_SetItem(list, i, token);
  }
  return list;
}

static PyObject *simple(Executor *self, PyObject *handle, int64_t (*function)(int64_t, int64_t)) {
  long long number = PyLong_AsLongLong(handle);
  if (number == -1 && PyErr_Occurred()) return NULL;
  int64_t result = function(self->engine, number);
  fq_out none = {NULL, 0, 0, 0};
  return result == FQ_ERROR ? raise_result(self, result, &none) : PyBool_FromLong(result >= 0);
}

PyObject *executor_mailbox_calls(PyObject *o, PyObject *mailbox) {
  return executor_ready((Executor *)o) < 0 ? NULL : simple((Executor *)o, mailbox, ((Executor *)o)->fq->mailbox_calls);
}

PyObject *executor_mailbox_close(PyObject *o, PyObject *mailbox) {
  return executor_ready((Executor *)o) < 0 ? NULL : simple((Executor *)o, mailbox, ((Executor *)o)->fq->mailbox_close);
}

PyObject *executor_session_close(PyObject *o, PyObject *session) {
  return executor_serves((Executor *)o) < 0 ? NULL : simple((Executor *)o, session, ((Executor *)o)->fq->session_close);
}

PyObject *executor_watch(PyObject *o, PyObject *args) {
  Executor *self = (Executor *)o;
  long long handle, mailbox, token;
  if (!PyArg_ParseTuple(args, "LLL:_watch", &handle, &mailbox, &token) || executor_ready(self) < 0) return NULL;
  int64_t result = self->fq->watch(self->engine, handle, mailbox, token);
  if (result >= 0 || result == FQ_ENDED || result == FQ_SLOW) return PyBool_FromLong(result == 0);
  fq_out none = {NULL, 0, 0, 0};
  return raise_result(self, result, &none);
}
