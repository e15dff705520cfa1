/* Arguments of methods: positional and keyword, compared by pointer first (the compiler interns names). */
#include "native.h"

static int index_of(const module_state *state, const signature *s, PyObject *name, int expected) {
  if (expected < s->total && state->words[s->words[expected]] == name) return expected;
  for (int i = 0; i < s->total; i++)
    if (state->words[s->words[i]] == name) return i;
  for (int i = 0; i < s->total; i++)
    if (PyUnicode_Compare(state->words[s->words[i]], name) == 0) return i;
  return -1;
}

static int missing(const module_state *state, const signature *s, PyObject **out) {
  for (int i = 0; i < s->required; i++)
    if (!out[i]) {
      PyErr_Format(PyExc_TypeError, "%s() missing required argument: '%U'", s->method, state->words[s->words[i]]);
      return -1;
    }
  return 0;
}

int arguments(const module_state *state, const signature *s, PyObject *const *args, Py_ssize_t count,
              PyObject *names, PyObject **out) {
  if (count > s->positional) {
    PyErr_Format(PyExc_TypeError, "%s() takes at most %d positional arguments (%zd given)", s->method,
                 (int)s->positional, count);
    return -1;
  }
  for (Py_ssize_t i = 0; i < count; i++) out[i] = args[i];
  for (Py_ssize_t i = count; i < s->total; i++) out[i] = NULL;
  Py_ssize_t named = names ? PyTuple_Size(names) : 0;
  for (Py_ssize_t i = 0; i < named; i++) {
    PyObject *name = PyTuple_GetItem(names, i);
    int at = index_of(state, s, name, (int)(count + i));
    if (at < 0) {
      PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", s->method, name);
      return -1;
    }
    if (out[at]) {
      PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%U'", s->method, name);
      return -1;
    }
    out[at] = args[count + i];
  }
  return missing(state, s, out);
}

int wrong_type(const char *name, const char *wanted, PyObject *value) {
  PyObject *type = PyObject_GetAttrString((PyObject *)Py_TYPE(value), "__name__");
  if (type) PyErr_Format(PyExc_TypeError, "%s must be %s, not %U", name, wanted, type);
  Py_XDECREF(type);
  return -1;
}

PyObject *identifier(PyObject *value, const char *name) {
  PyObject *text;
  if (PyUnicode_CheckExact(value)) {
    text = Py_NewRef(value);
  } else if (PyUnicode_Check(value)) {
    text = PyUnicode_FromObject(value);
  } else if (PyLong_Check(value) && !PyBool_Check(value)) {
    text = PyNumber_ToBase(value, 10);
  } else {
    wrong_type(name, "str or int", value);
    return NULL;
  }
  if (text && PyUnicode_GetLength(text) == 0) {
    PyErr_Format(PyExc_ValueError, "%s is empty", name);
    Py_CLEAR(text);
  }
  return text;
}

int text_of(PyObject *value, const char *name, fq_text *text) {
  text->data = NULL;
  text->len = 0;
  if (!value || value == Py_None) return 0;
  if (!PyUnicode_Check(value)) return wrong_type(name, "str", value);
  Py_ssize_t length;
  text->data = PyUnicode_AsUTF8AndSize(value, &length);
  if (!text->data) {
    if (PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
      PyErr_Clear();
      PyErr_Format(PyExc_ValueError, "%s: a lone surrogate has no UTF-8 form", name);
    }
    return -1;
  }
  text->len = length;
  return 0;
}

int identifier_text(PyObject *value, const char *name, fq_text *text, PyObject **held) {
  *held = NULL;
  if (!value || value == Py_None || PyUnicode_Check(value)) return text_of(value, name, text);
  if (!PyLong_Check(value) || PyBool_Check(value)) return wrong_type(name, "str or int", value);
  *held = PyNumber_ToBase(value, 10);
  return *held ? text_of(*held, name, text) : -1;
}

int flag_of(PyObject *value, const char *name) {
  if (!value || value == Py_None || value == Py_False) return 0;
  return value == Py_True ? 1 : wrong_type(name, "bool", value);
}

int count_of(PyObject *value, const char *name, long long *count) {
  if (!PyLong_Check(value)) return wrong_type(name, "int", value);
  int overflow;
  *count = PyLong_AsLongLongAndOverflow(value, &overflow);
  if (overflow) *count = overflow > 0 ? INT64_MAX : INT64_MIN;
  return 0;
}
