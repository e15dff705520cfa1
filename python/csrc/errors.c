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

PyObject *raise_coded(module_state *state, const char *code, const char *format, ...) {
  va_list list;
  va_start(list, format);
  PyObject *message = PyUnicode_FromFormatV(format, list);
  va_end(list);
  if (!message) return NULL;
  char buffer[512];
  writer w;
  writer_init(&w, state, "message", buffer, sizeof buffer);
  Py_ssize_t length = 0;
  PyObject *bytes = PyUnicode_AsEncodedString(message, "utf-8", "replace");
  Py_DECREF(message);
  char *text = bytes ? PyBytes_AsString(bytes) : NULL;
  if (text) length = PyBytes_Size(bytes);
  if (text && write_raw(&w, "{\"code\":", 8) == 0 && write_quoted(&w, code, strlen(code)) == 0 &&
      write_raw(&w, ",\"message\":", 11) == 0 && write_quoted(&w, text, (size_t)length) == 0 &&
      write_raw(&w, "}", 1) == 0)
    raise_error(state, w.data, (int64_t)w.length);
  writer_free(&w);
  Py_XDECREF(bytes);
  return NULL;
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
