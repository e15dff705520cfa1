/* Exceptions. What has a code is made by the factory that configure() was given. */
#include "native.h"

#include <stdarg.h>

PyObject *raise_error(module_state *state, const char *json, int64_t length) {
  PyObject *text = PyBytes_FromStringAndSize(json, (Py_ssize_t)length);
  if (!text) return NULL;
  if (!state->error_factory) {
    PyErr_Format(PyExc_RuntimeError, "%s", PyBytes_AsString(text));
    Py_DECREF(text);
    return NULL;
  }
  PyObject *factory = Py_NewRef(state->error_factory);
  PyObject *exception = PyObject_CallFunctionObjArgs(factory, text, NULL);
  Py_DECREF(factory);
  Py_DECREF(text);
  if (!exception) return NULL;
  if (PyExceptionInstance_Check(exception))
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
  else
    PyErr_SetString(PyExc_TypeError, "the error factory returned something that is no exception");
  Py_DECREF(exception);
  return NULL;
}

static int write_pair(writer *w, const char *name, const char *data, size_t length) {
  if (write_quoted(w, name, strlen(name)) < 0 || write_raw(w, ":", 1) < 0) return -1;
  return write_quoted(w, data, length);
}

/* A reason: its code and message, and the subscription that it is about, unless that is NULL. */
static int write_reason(writer *w, const char *code, PyObject *message, PyObject *id) {
  int result = -1;
  PyObject *text = PyUnicode_AsEncodedString(message, "utf-8", "replace");
  PyObject *name = id ? PyUnicode_AsEncodedString(id, "utf-8", "replace") : NULL;
  if (text && (name || !id) && write_pair(w, "code", code, strlen(code)) == 0 && write_raw(w, ",", 1) == 0 &&
      write_pair(w, "message", PyBytes_AsString(text), (size_t)PyBytes_Size(text)) == 0)
    result = 0;
  if (result == 0 && name) {
    result = write_raw(w, ",", 1);
    if (result == 0) result = write_pair(w, "id", PyBytes_AsString(name), (size_t)PyBytes_Size(name));
  }
  Py_XDECREF(text);
  Py_XDECREF(name);
  return result;
}

/* Steals message, which may be NULL with an exception. */
static PyObject *raise_reason(module_state *state, const char *code, PyObject *message, PyObject *id) {
  if (!message) return NULL;
  char buffer[512];
  writer w;
  writer_init(&w, state, "message", buffer, sizeof buffer);
  if (write_raw(&w, "{", 1) == 0 && write_reason(&w, code, message, NULL) == 0 && write_raw(&w, ",\"errors\":[{", 12) == 0 &&
      write_reason(&w, code, message, id) == 0 && write_raw(&w, "}]}", 3) == 0)
    raise_error(state, w.data, (int64_t)w.length);
  writer_free(&w);
  Py_DECREF(message);
  return NULL;
}

PyObject *raise_coded(module_state *state, const char *code, const char *format, ...) {
  va_list list;
  va_start(list, format);
  PyObject *message = PyUnicode_FromFormatV(format, list);
  va_end(list);
  return raise_reason(state, code, message, NULL);
}

PyObject *raise_slow(module_state *state, PyObject *id) {
  return raise_reason(state, "SLOW_CONSUMER", PyUnicode_FromFormat("The subscription %R did not keep up and was ended.", id), id);
}

PyObject *raise_result(Executor *self, int64_t result, fq_out *out) {
  switch (result) {
  case FQ_ERROR:
    /* Functions without a text to answer with fail for one reason only. */
    if (out->len > 0) raise_error(self->state, out->data, out->len);
    else raise_coded(self->state, "INTERNAL_SERVER_ERROR", "A fault of the library.");
    break;
  case FQ_SLOW:
    raise_coded(self->state, "SLOW_CONSUMER", "The subscription did not keep up and was ended.");
    break;
  case FQ_UNKNOWN:
    if (self->phase == PHASE_CLOSED)
      raise_coded(self->state, "CLOSED", "The executor is closed.");
    else
      raise_coded(self->state, "BAD_USER_INPUT", "There is no such handle any more.");
    break;
  default:
    PyErr_Format(PyExc_SystemError, "libfraiseql answered %lld", (long long)result);
  }
  out_free(out);
  return NULL;
}

PyObject *take_exception(void) {
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  if (value && traceback) PyException_SetTraceback(value, traceback);
  Py_XDECREF(type);
  Py_XDECREF(traceback);
  return value;
}

void put_exception(PyObject *exception) {
  PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(exception)), exception, PyException_GetTraceback(exception));
}

PyObject *exception_text(PyObject *exception) {
  PyObject *name = PyObject_GetAttrString((PyObject *)Py_TYPE(exception), "__name__");
  PyObject *message = PyObject_Str(exception);
  PyObject *text = NULL;
  if (name && message) text = PyUnicode_FromFormat(PyUnicode_GetLength(message) ? "%U: %U" : "%U%U", name, message);
  Py_XDECREF(name);
  Py_XDECREF(message);
  PyErr_Clear();
  return text;
}
