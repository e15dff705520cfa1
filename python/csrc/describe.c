/* How many arguments a resolver takes: the shape that its signature shows. */
#include "native.h"

/* -> count of positional parameters, 3 for *args; -1 with an exception */
static int count_parameters(PyObject *signature_) {
  PyObject *parameters = PyObject_GetAttrString(signature_, "parameters");
  PyObject *values = parameters ? PyMapping_Values(parameters) : NULL;
  Py_XDECREF(parameters);
  if (!values) return -1;
  int count = 0;
  for (Py_ssize_t i = 0; count >= 0 && i < PyList_Size(values); i++) {
    PyObject *kind = PyObject_GetAttrString(PyList_GetItem(values, i), "kind");
    long number = kind ? PyLong_AsLong(kind) : -1;
    Py_XDECREF(kind);
    if (number < 0) count = -1;
    else if (number <= 1) count++; /* positional, or either */
    else if (number == 2) count = 3;
  }
  Py_DECREF(values);
  return count;
}

PyObject *executor_describe_resolver(PyObject *self, PyObject *function) {
  (void)self;
  PyObject *inspect = PyImport_ImportModule("inspect");
  PyObject *shape = inspect ? PyObject_CallMethod(inspect, "signature", "O", function) : NULL;
  int count = 1;
  if (shape) {
    count = count_parameters(shape);
  } else if (PyErr_ExceptionMatches(PyExc_ValueError)) {
    PyErr_Clear(); /* a builtin without a signature */
  } else {
    count = -1;
  }
  PyObject *waits = count >= 0 ? PyObject_CallMethod(inspect, "iscoroutinefunction", "O", function) : NULL;
  Py_XDECREF(shape);
  Py_XDECREF(inspect);
  PyObject *result = waits ? Py_BuildValue("(iO)", count > 3 ? 3 : count, waits) : NULL;
  Py_XDECREF(waits);
  return result;
}
