/* Python values -> JSON, straight into the buffer of a call. What has no JSON form is refused, naming the path. */
#include "native.h"

#include <math.h>

#define DEPTH 64 /* arrays and objects in each other, the root included: what the engine accepts in events */
#define HOOKS 64 /* default() may return what needs default() again */

typedef struct frame frame;
struct frame {
  const frame *parent;
  PyObject *key;    /* of an object, else NULL */
  Py_ssize_t index;
};

void writer_init(writer *w, const module_state *state, const char *root, char *buffer, size_t size) {
  writer fresh = {buffer, 0, size, false, state, root, 0};
  *w = fresh;
}

void writer_free(writer *w) {
  if (w->owned) PyMem_Free(w->data);
  w->owned = false;
}

static int enlarge(writer *w, size_t more) {
  size_t capacity = w->capacity * 2 > w->length + more ? w->capacity * 2 : w->length + more + 64;
  char *data = w->owned ? PyMem_Realloc(w->data, capacity) : PyMem_Malloc(capacity);
  if (!data) {
    PyErr_NoMemory();
    return -1;
  }
  if (!w->owned) memcpy(data, w->data, w->length);
  w->data = data;
  w->capacity = capacity;
  w->owned = true;
  return 0;
}

static inline int reserve(writer *w, size_t more) {
  return w->capacity - w->length >= more ? 0 : enlarge(w, more);
}

int write_raw(writer *w, const char *data, size_t length) {
  if (reserve(w, length) < 0) return -1;
  memcpy(w->data + w->length, data, length);
  w->length += length;
  return 0;
}

static size_t escape(unsigned char c, char *to) {
  static const char hex[] = "0123456789abcdef";
  static const char letters[32] = {[8] = 'b', [9] = 't', [10] = 'n', [12] = 'f', [13] = 'r'};
  to[0] = '\\';
  if (c == '"' || c == '\\') {
    to[1] = (char)c;
    return 2;
  }
  if (letters[c]) {
    to[1] = letters[c];
    return 2;
  }
  memcpy(to + 1, "u00", 3);
  to[4] = hex[c >> 4];
  to[5] = hex[c & 15];
  return 6;
}

int write_quoted(writer *w, const char *data, size_t length) {
  if (reserve(w, length + 16) < 0) return -1;
  char *to = w->data + w->length;
  *to++ = '"';
  size_t i = 0;
  while (i < length) {
    uint64_t eight;
    for (; length - i >= 8; i += 8, to += 8) {
      memcpy(&eight, data + i, 8);
      memcpy(to, &eight, 8);
      if (special_bytes(eight)) break;
    }
    size_t end = length - i < 8 ? length : i + 8;
    for (; i < end; i++) {
      unsigned char c = (unsigned char)data[i];
      if (c >= 0x20 && c != '"' && c != '\\') {
        *to++ = (char)c;
        continue;
      }
      w->length = (size_t)(to - w->data);
      if (reserve(w, length - i + 24) < 0) return -1;
      to = w->data + w->length;
      to += escape(c, to);
    }
  }
  *to++ = '"';
  w->length = (size_t)(to - w->data);
  return 0;
}

static PyObject *path_of(const writer *w, const frame *at) {
  const frame *frames[DEPTH + HOOKS + 2];
  int count = 0;
  for (; at && count < DEPTH + HOOKS + 2; at = at->parent) frames[count++] = at;
  PyObject *path = PyUnicode_FromString(w->root);
  while (path && count-- > 0) {
    const frame *f = frames[count];
    PyObject *longer;
    if (!f->key)
      longer = PyUnicode_FromFormat("%U[%zd]", path, f->index);
    else
      longer = PyUnicode_FromFormat(PyUnicode_IsIdentifier(f->key) ? "%U.%U" : "%U[%R]", path, f->key);
    Py_DECREF(path);
    path = longer;
  }
  return path;
}

static int refuse(const writer *w, const frame *at, PyObject *type, const char *reason) {
  PyObject *path = path_of(w, at);
  if (path) PyErr_Format(type, "%U: %s", path, reason);
  Py_XDECREF(path);
  return -1;
}

/* The current exception again, with the path before its text. */
static int refuse_because(const writer *w, const frame *at, PyObject *type) {
  PyObject *cause = take_exception();
  PyObject *path = path_of(w, at);
  PyObject *text = cause ? PyObject_Str(cause) : NULL;
  if (path && text) {
    PyErr_Format(type, "%U: %U", path, text);
    PyObject *exception = take_exception();
    PyException_SetCause(exception, Py_NewRef(cause));
    put_exception(exception);
  }
  Py_XDECREF(cause);
  Py_XDECREF(path);
  Py_XDECREF(text);
  return -1;
}

static int write_text(writer *w, PyObject *o, const frame *at) {
  Py_ssize_t length;
  const char *data = PyUnicode_AsUTF8AndSize(o, &length);
  if (data) return write_quoted(w, data, (size_t)length);
  if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) return -1;
  PyErr_Clear();
  return refuse(w, at, PyExc_ValueError, "a lone surrogate has no UTF-8 form");
}

static char *decimal(char *end, uint64_t value) {
  do {
    *--end = (char)('0' + value % 10);
    value /= 10;
  } while (value);
  return end;
}

static int write_integer(writer *w, PyObject *o, const frame *at) {
  int overflow;
  long long value = PyLong_AsLongLongAndOverflow(o, &overflow);
  if (!overflow) {
    if (value == -1 && PyErr_Occurred()) return -1;
    char digits[24], *end = digits + sizeof digits;
    char *first = decimal(end, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
    if (value < 0) *--first = '-';
    return write_raw(w, first, (size_t)(end - first));
  }
  PyObject *text = PyNumber_ToBase(o, 10);
  if (!text) return PyErr_ExceptionMatches(PyExc_ValueError) ? refuse_because(w, at, PyExc_ValueError) : -1;
  Py_ssize_t length;
  const char *data = PyUnicode_AsUTF8AndSize(text, &length);
  int result = data ? write_raw(w, data, (size_t)length) : -1;
  Py_DECREF(text);
  return result;
}

/* Most floats that people write have few decimals. value == m / 10^k, rounded once, with m below 10^15: then m and
 * k are its shortest form, for no two decimals of 15 digits are the same double. -> length, 0: not of that kind */
static size_t short_float(double value, char *to) {
  static const double powers[] = {1, 10, 100, 1000, 10000};
  double size = fabs(value);
  if (!(size >= 1e-4 && size < 1e15)) return 0;
  for (int k = 0; k < 5; k++) {
    double scaled = size * powers[k];
    if (scaled >= 1e15) return 0;
    uint64_t m = (uint64_t)(scaled + 0.5);
    if (m >= 1000000000000000u || (double)m / powers[k] != size) continue;
    char digits[32], *end = digits + sizeof digits, *first = end;
    int decimals = k ? k : 1;
    if (k == 0) m *= 10;
    for (int i = 0; i < decimals; i++, m /= 10) *--first = (char)('0' + m % 10);
    *--first = '.';
    first = decimal(first, m);
    if (value < 0) *--first = '-';
    memcpy(to, first, (size_t)(end - first));
    return (size_t)(end - first);
  }
  return 0;
}

static int write_float(writer *w, PyObject *o, const frame *at) {
  double value = PyFloat_AsDouble(o);
  if (!isfinite(value)) return refuse(w, at, PyExc_ValueError, "JSON has no NaN and no infinity");
  if (reserve(w, 32) < 0) return -1;
  size_t length = short_float(value, w->data + w->length);
  if (length) {
    w->length += length;
    return 0;
  }
  char *text = PyOS_double_to_string(value, 'r', 0, Py_DTSF_ADD_DOT_0, NULL);
  if (!text) return -1;
  int result = write_raw(w, text, strlen(text));
  PyMem_Free(text);
  return result;
}

static int write_value(writer *w, PyObject *o, const frame *at, int depth);

static int write_member(writer *w, PyObject *key, PyObject *value, const frame *at, int depth) {
  if (!PyUnicode_Check(key)) {
    PyObject *type = PyObject_GetAttrString((PyObject *)Py_TYPE(key), "__name__");
    PyObject *path = path_of(w, at);
    if (type && path) PyErr_Format(PyExc_TypeError, "%U: keys must be str, not %U", path, type);
    Py_XDECREF(type);
    Py_XDECREF(path);
    return -1;
  }
  frame here = {at, key, 0};
  if (write_text(w, key, &here) < 0 || write_raw(w, ":", 1) < 0) return -1;
  return write_value(w, value, &here, depth);
}

/* Nothing but the hook can change the dict in between; what is being written is kept alive. */
static int write_dict(writer *w, PyObject *o, const frame *at, int depth) {
  if (depth >= DEPTH) return refuse(w, at, PyExc_ValueError, "more than 64 levels of nesting");
  Py_ssize_t size = PyDict_Size(o), at_item = 0;
  PyObject *key, *value;
  char before = '{';
  while (PyDict_Next(o, &at_item, &key, &value)) {
    if (write_raw(w, &before, 1) < 0) return -1;
    before = ',';
    Py_INCREF(key);
    Py_INCREF(value);
    int result = write_member(w, key, value, at, depth + 1);
    Py_DECREF(key);
    Py_DECREF(value);
    if (result < 0) return -1;
    if (PyDict_Size(o) != size) return refuse(w, at, PyExc_ValueError, "it changed size while it was being read");
  }
  return before == '{' ? write_raw(w, "{}", 2) : write_raw(w, "}", 1);
}

typedef PyObject *item_of(PyObject *, Py_ssize_t);
typedef Py_ssize_t size_of(PyObject *);

static int write_items(writer *w, PyObject *o, size_of *size, item_of *item, const frame *at, int depth) {
  if (depth >= DEPTH) return refuse(w, at, PyExc_ValueError, "more than 64 levels of nesting");
  if (write_raw(w, "[", 1) < 0) return -1;
  frame here = {at, NULL, 0};
  for (; here.index < size(o); here.index++) {
    if (here.index && write_raw(w, ",", 1) < 0) return -1;
    PyObject *value = item(o, here.index);
    if (!value) return -1;
    Py_INCREF(value);
    int result = write_value(w, value, &here, depth + 1);
    Py_DECREF(value);
    if (result < 0) return -1;
  }
  return write_raw(w, "]", 1);
}

/* A subclass of dict may keep another order, or members of its own: its items() decides. */
static int write_mapping(writer *w, PyObject *o, const frame *at, int depth) {
  if (depth >= DEPTH) return refuse(w, at, PyExc_ValueError, "more than 64 levels of nesting");
  PyObject *items = PyMapping_Items(o);
  if (!items) return -1;
  char before = '{';
  int result = 0;
  for (Py_ssize_t i = 0; result == 0 && i < PyList_Size(items); i++) {
    PyObject *pair = PyList_GetItem(items, i);
    if (!PyTuple_Check(pair) || PyTuple_Size(pair) != 2) {
      result = refuse(w, at, PyExc_TypeError, "items() must give pairs");
      break;
    }
    Py_INCREF(pair);
    result = write_raw(w, &before, 1);
    if (result == 0) result = write_member(w, PyTuple_GetItem(pair, 0), PyTuple_GetItem(pair, 1), at, depth + 1);
    Py_DECREF(pair);
    before = ',';
  }
  Py_DECREF(items);
  if (result < 0) return -1;
  return before == '{' ? write_raw(w, "{}", 2) : write_raw(w, "}", 1);
}

static int write_through_hook(writer *w, PyObject *o, const frame *at, int depth) {
  if (!w->state->default_hook || w->hooks >= HOOKS) {
    PyObject *type = PyObject_GetAttrString((PyObject *)Py_TYPE(o), "__name__");
    PyObject *path = path_of(w, at);
    if (type && path) PyErr_Format(PyExc_TypeError, "%U: %U has no JSON form", path, type);
    Py_XDECREF(type);
    Py_XDECREF(path);
    return -1;
  }
  PyObject *hook = Py_NewRef(w->state->default_hook);
  PyObject *stand_in = PyObject_CallFunctionObjArgs(hook, o, NULL);
  Py_DECREF(hook);
  if (!stand_in) {
    if (PyErr_ExceptionMatches(PyExc_TypeError)) return refuse_because(w, at, PyExc_TypeError);
    if (PyErr_ExceptionMatches(PyExc_ValueError)) return refuse_because(w, at, PyExc_ValueError);
    return -1;
  }
  w->hooks++;
  int result = write_value(w, stand_in, at, depth);
  w->hooks--;
  Py_DECREF(stand_in);
  return result;
}

static int write_value(writer *w, PyObject *o, const frame *at, int depth) {
  PyTypeObject *type = Py_TYPE(o);
  if (type == &PyUnicode_Type) return write_text(w, o, at);
  if (type == &PyLong_Type) return write_integer(w, o, at);
  if (type == &PyDict_Type) return write_dict(w, o, at, depth);
  if (type == &PyList_Type) return write_items(w, o, PyList_Size, PyList_GetItem, at, depth);
  if (type == &PyFloat_Type) return write_float(w, o, at);
  if (o == Py_None) return write_raw(w, "null", 4);
  if (o == Py_True) return write_raw(w, "true", 4);
  if (o == Py_False) return write_raw(w, "false", 5);
  unsigned long flags = PyType_GetFlags(type);
  if (flags & Py_TPFLAGS_TUPLE_SUBCLASS) return write_items(w, o, PyTuple_Size, PyTuple_GetItem, at, depth);
  if (flags & Py_TPFLAGS_UNICODE_SUBCLASS) return write_text(w, o, at);
  if (flags & Py_TPFLAGS_LONG_SUBCLASS) return write_integer(w, o, at);
  if (flags & Py_TPFLAGS_DICT_SUBCLASS) return write_mapping(w, o, at, depth);
  if (flags & Py_TPFLAGS_LIST_SUBCLASS) return write_items(w, o, PyList_Size, PyList_GetItem, at, depth);
  if (PyFloat_Check(o)) return write_float(w, o, at);
  return write_through_hook(w, o, at, depth);
}

int write_json(writer *w, PyObject *value) { return write_value(w, value, NULL, 0); }
