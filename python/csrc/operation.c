/* What waits for the bus: it goes on in the library while the caller looks for signals, or an event loop does something
 * else. */
#include "native.h"

#define LOOK 20 /* ms between two looks for signals */

/* Waits for an operation, without the GIL. -> as fq_finish; INTERRUPTED: a signal handler raised, and what the operation
 * comes to is not asked for any more. */
int64_t operation_wait(Executor *self, int64_t operation, fq_subscription *s, fq_out *out) {
  const library *fq = self->fq;
  for (;;) {
    int64_t result;
    Py_BEGIN_ALLOW_THREADS
    result = fq->finish(operation, LOOK, s, out);
    Py_END_ALLOW_THREADS
    if (result != FQ_PENDING) return result;
    int raised = PyErr_CheckSignals();
    if (self->generation != process_generation) /* a handler forked: the operation is the parent's */
      return raised < 0 || executor_wait(self) < 0 ? INTERRUPTED : FQ_UNKNOWN;
    if (raised < 0) {
      fq->leave(operation);
      return INTERRUPTED;
    }
  }
}

/* _finish(operation): what a publish or a revocation came to, False while it goes on. Also of an executor that was closed. */
PyObject *executor_finish(PyObject *o, PyObject *operation) {
  Executor *self = (Executor *)o;
  long long number = PyLong_AsLongLong(operation);
  if (number == -1 && PyErr_Occurred()) return NULL;
  if (!self->fq || self->generation != process_generation) return Py_NewRef(Py_False);
  char buffer[512];
  fq_out out = OUT(buffer);
  int64_t result = self->fq->finish(number, 0, NULL, &out);
  if (result == FQ_PENDING) return Py_NewRef(Py_False);
  if (result < 0 && result != FQ_ACKNOWLEDGED) return raise_result(self, result, &out);
  out_free(&out);
  return Py_NewRef(Py_None);
}

/* _leave(operation): nobody asks what it comes to. */
PyObject *executor_leave(PyObject *o, PyObject *operation) {
  Executor *self = (Executor *)o;
  long long number = PyLong_AsLongLong(operation);
  if (number == -1 && PyErr_Occurred()) return NULL;
  if (self->fq && self->generation == process_generation) self->fq->leave(number);
  return Py_NewRef(Py_None);
}
