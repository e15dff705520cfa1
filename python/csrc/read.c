/* JSON -> Python values, for what the engine hands over. Strict, and bounded in depth. */
#include "native.h"

#define DEPTH 512

typedef struct {
  const char *at, *end;
  const char *start;
  module_state *state;
  int depth;
} reader;

static PyObject *malformed(const reader *r) {
  PyErr_Format(PyExc_ValueError, "malformed JSON at byte %zd", (Py_ssize_t)(r->at - r->start));
  return NULL;
}

static inline void skip_space(reader *r) {
  while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\t' || *r->at == '\r')) r->at++;
}

static inline bool next_is(reader *r, char c) {
  skip_space(r);
  if (r->at >= r->end || *r->at != c) return false;
  r->at++;
  return true;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* Four digits at p. -1: they are not. */
static int32_t hex_unit(const char *p, const char *end) {
  if (end - p < 4) return -1;
  int32_t unit = 0;
  for (int i = 0; i < 4; i++) {
    int digit = hex_digit(p[i]);
    if (digit < 0) return -1;
    unit = unit << 4 | digit;
  }
  return unit;
}

/* Surrogates included, in their three bytes. */
static char *put_utf8(char *to, uint32_t c) {
  if (c < 0x80) {
    *to++ = (char)c;
  } else if (c < 0x800) {
    *to++ = (char)(0xc0 | c >> 6);
    *to++ = (char)(0x80 | (c & 63));
  } else if (c < 0x10000) {
    *to++ = (char)(0xe0 | c >> 12);
    *to++ = (char)(0x80 | (c >> 6 & 63));
    *to++ = (char)(0x80 | (c & 63));
  } else {
    *to++ = (char)(0xf0 | c >> 18);
    *to++ = (char)(0x80 | (c >> 12 & 63));
    *to++ = (char)(0x80 | (c >> 6 & 63));
    *to++ = (char)(0x80 | (c & 63));
  }
  return to;
}

/* The escape after a backslash, at r->at. -> where to go on writing, NULL: malformed */
static char *unescape(reader *r, char *to) {
  static const char from[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
  if (r->at >= r->end) return NULL;
  char c = *r->at;
  const char *found = c ? strchr(from, c) : NULL;
  if (found) {
    r->at++;
    *to++ = meant[found - from];
    return to;
  }
  if (c != 'u') return NULL;
  int32_t unit = hex_unit(r->at + 1, r->end);
  if (unit < 0) return NULL;
  r->at += 5;
  if (unit >= 0xd800 && unit < 0xdc00 && r->end - r->at >= 6 && r->at[0] == '\\' && r->at[1] == 'u') {
    int32_t low = hex_unit(r->at + 2, r->end);
    if (low >= 0xdc00 && low < 0xe000) {
      r->at += 6;
      return put_utf8(to, 0x10000 + ((uint32_t)(unit - 0xd800) << 10) + (uint32_t)(low - 0xdc00));
    }
  }
  return put_utf8(to, (uint32_t)unit);
}

/* The string whose first escape is at r->at; what is before it begins at from. */
static PyObject *read_escaped(reader *r, const char *from) {
  const char *close = r->at;
  while (close < r->end && *close != '"') close += *close == '\\' ? 2 : 1;
  if (close >= r->end) return malformed(r);
  char *buffer = PyMem_Malloc((size_t)(close - from)), *to = buffer;
  if (!buffer) return PyErr_NoMemory();
  memcpy(to, from, (size_t)(r->at - from));
  to += r->at - from;
  while (to && r->at < close) {
    if ((unsigned char)*r->at < 0x20) {
      to = NULL;
    } else if (*r->at == '\\') {
      r->at++;
      to = unescape(r, to);
    } else {
      *to++ = *r->at++;
    }
  }
  PyObject *text = to ? PyUnicode_DecodeUTF8(buffer, to - buffer, "surrogatepass") : malformed(r);
  PyMem_Free(buffer);
  r->at = close + 1;
  return text;
}

/* Where a string ends, or needs more than a copy. */
static const char *plain_end(const reader *r, const char *p) {
  uint64_t eight;
  for (; r->end - p >= 8; p += 8) {
    memcpy(&eight, p, 8);
    if (special_bytes(eight)) break;
  }
  while (p < r->end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20) p++;
  return p;
}

/* After the opening quote. */
static PyObject *read_string(reader *r) {
  const char *from = r->at, *p = plain_end(r, from);
  r->at = p;
  if (p >= r->end || (unsigned char)*p < 0x20) return malformed(r);
  if (*p == '\\') return read_escaped(r, from);
  r->at++;
  return PyUnicode_FromStringAndSize(from, p - from);
}

/* As read_string, for names, which come again and again. */
static PyObject *read_name(reader *r) {
  const char *from = r->at, *p = plain_end(r, from);
  size_t length = (size_t)(p - from);
  if (p >= r->end || *p != '"' || length > sizeof r->state->names->bytes) return read_string(r);
  uint64_t first = 0, last = 0;
  memcpy(&first, from, length < 8 ? length : 8);
  if (length > 8) memcpy(&last, p - 8, 8);
  uint64_t hash = (first ^ last * 0x9e3779b97f4a7c15u ^ length) * 0xff51afd7ed558ccdu;
  known_name *known = &r->state->names[hash >> 32 & (KNOWN_NAMES - 1)];
  if (!known->text || known->length != length || memcmp(known->bytes, from, length) != 0) {
    PyObject *text = read_string(r), *before = known->text;
    if (!text) return NULL;
    known->text = Py_NewRef(text);
    known->length = (uint8_t)length;
    memcpy(known->bytes, from, length);
    Py_XDECREF(before);
    return text;
  }
  r->at = p + 1;
  return Py_NewRef(known->text);
}

static const char *skip_digits(const reader *r, const char *p) {
  while (p < r->end && *p >= '0' && *p <= '9') p++;
  return p;
}

/* -> end of the number, NULL: malformed */
static const char *number_end(const reader *r, bool *whole) {
  const char *p = r->at;
  if (p < r->end && *p == '-') p++;
  const char *digits = p;
  p = skip_digits(r, p);
  if (p == digits || (*digits == '0' && p - digits > 1)) return NULL;
  *whole = true;
  if (p < r->end && *p == '.') {
    *whole = false;
    const char *fraction = ++p;
    p = skip_digits(r, p);
    if (p == fraction) return NULL;
  }
  if (p < r->end && (*p == 'e' || *p == 'E')) {
    *whole = false;
    p++;
    if (p < r->end && (*p == '+' || *p == '-')) p++;
    const char *exponent = p;
    p = skip_digits(r, p);
    if (p == exponent) return NULL;
  }
  return p;
}

/* Few digits and no exponent: both parts are exact, and the division rounds once. -> false: not of that kind */
static bool short_float(const char *from, const char *end, double *value) {
  static const double powers[] = {1,    1e1,  1e2,  1e3,  1e4,  1e5,  1e6, 1e7,
                                  1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
  bool negative = *from == '-';
  const char *point = NULL;
  uint64_t digits = 0;
  if (end - from > 16) return false;
  for (const char *p = from + negative; p < end; p++) {
    if (*p == '.') point = p;
    else if (*p < '0' || *p > '9') return false;
    else digits = digits * 10 + (uint64_t)(*p - '0');
  }
  *value = (double)digits / powers[point ? end - point - 1 : 0];
  if (negative) *value = -*value;
  return true;
}

static PyObject *read_number(reader *r) {
  bool whole;
  const char *from = r->at, *end = number_end(r, &whole);
  if (!end) return malformed(r);
  r->at = end;
  size_t length = (size_t)(end - from);
  if (whole && length <= 18) {
    long long value = 0;
    for (const char *p = from + (*from == '-'); p < end; p++) value = value * 10 + (*p - '0');
    return PyLong_FromLongLong(*from == '-' ? -value : value);
  }
  double exact;
  if (!whole && short_float(from, end, &exact)) return PyFloat_FromDouble(exact);
  char small[64], *text = length < sizeof small ? small : PyMem_Malloc(length + 1);
  if (!text) return PyErr_NoMemory();
  memcpy(text, from, length);
  text[length] = 0;
  PyObject *number = NULL;
  if (whole) {
    number = PyLong_FromString(text, NULL, 10);
  } else {
    double value = PyOS_string_to_double(text, NULL, NULL);
    if (value != -1 || !PyErr_Occurred()) number = PyFloat_FromDouble(value);
  }
  if (text != small) PyMem_Free(text);
  return number;
}

static PyObject *read_value(reader *r);

static PyObject *read_array(reader *r) {
  PyObject *list = PyList_New(0);
  if (!list || next_is(r, ']')) return list;
  do {
    PyObject *item = read_value(r);
    if (!item || PyList_Append(list, item) < 0) {
      Py_XDECREF(item);
      Py_DECREF(list);
      return NULL;
    }
    Py_DECREF(item);
  } while (next_is(r, ','));
  if (next_is(r, ']')) return list;
  Py_DECREF(list);
  return malformed(r);
}

static int read_member(reader *r, PyObject *dict) {
  if (!next_is(r, '"')) return (void)malformed(r), -1;
  PyObject *key = read_name(r), *value = NULL;
  if (key) {
    if (next_is(r, ':'))
      value = read_value(r);
    else
      malformed(r);
  }
  int result = value ? PyDict_SetItem(dict, key, value) : -1;
  Py_XDECREF(key);
  Py_XDECREF(value);
  return result;
}

static PyObject *read_object(reader *r) {
  PyObject *dict = PyDict_New();
  if (!dict || next_is(r, '}')) return dict;
  do {
    if (read_member(r, dict) < 0) {
      Py_DECREF(dict);
      return NULL;
    }
  } while (next_is(r, ','));
  if (next_is(r, '}')) return dict;
  Py_DECREF(dict);
  return malformed(r);
}

static PyObject *read_word(reader *r, const char *word, PyObject *value) {
  size_t length = strlen(word);
  if ((size_t)(r->end - r->at) < length || memcmp(r->at, word, length) != 0) return malformed(r);
  r->at += length;
  return Py_NewRef(value);
}

static PyObject *read_value(reader *r) {
  skip_space(r);
  if (r->at >= r->end) return malformed(r);
  switch (*r->at) {
  case '"':
    r->at++;
    return read_string(r);
  case '{':
  case '[': {
    if (r->depth >= DEPTH) return malformed(r);
    r->depth++;
    PyObject *value = *r->at++ == '{' ? read_object(r) : read_array(r);
    r->depth--;
    return value;
  }
  case 't':
    return read_word(r, "true", Py_True);
  case 'f':
    return read_word(r, "false", Py_False);
  case 'n':
    return read_word(r, "null", Py_None);
  default:
    return read_number(r);
  }
}

PyObject *read_json(module_state *state, const char *data, int64_t length) {
  reader r = {data, data + length, data, state, 0};
  PyObject *value = read_value(&r);
  skip_space(&r);
  if (value && r.at != r.end) {
    Py_DECREF(value);
    return malformed(&r);
  }
  return value;
}
