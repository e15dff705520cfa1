/* Calls of the engine to the host: resolvers and authentication.
 *
 * The engine never calls Python. What it wants to know waits in a queue, which publish_event empties before it
 * returns, and an event loop when its mailbox says so. While a function of Python runs, nothing here is held but
 * the texts of the calls taken: the function may publish, register, complete and close as it likes. */
#include "native.h"

#define BATCH 32
#define NESTED 100 /* resolvers that publish what resolvers wait for, in each other */

struct resolver {
  int64_t token;
  PyObject *function;
  PyObject *name; /* what failures are reported under */
  int arguments;  /* 1: event, 2: and variables, 3: and context */
  int64_t uses;   /* subscriptions that have it as their own; of a named one: 1 for ever */
  resolver *next_dropped;
};

static resolver *resolver_of(const Executor *self, int64_t token) {
  const table *t = &self->resolvers;
  if (!t->slots) return NULL;
  for (size_t i = table_first(t, (uint64_t)token); t->slots[i].item; i = (i + 1) & t->mask)
    if (t->slots[i].hash == (uint64_t)token) return t->slots[i].item;
  return NULL;
}

static void resolver_free(resolver *r) {
  Py_XDECREF(r->function);
  Py_XDECREF(r->name);
  PyMem_Free(r);
}

static resolver *resolver_add(Executor *self, PyObject *name, PyObject *function, int arguments_) {
  if (!PyCallable_Check(function)) {
    PyErr_SetString(PyExc_TypeError, "a resolver must be callable");
    return NULL;
  }
  if (arguments_ < 1 || arguments_ > 3) {
    PyErr_SetString(PyExc_TypeError, "a resolver takes (event), (event, variables) or (event, variables, context)");
    return NULL;
  }
  resolver *r = PyMem_Calloc(1, sizeof *r);
  if (!r) return (void)PyErr_NoMemory(), NULL;
  r->token = ++self->last_token;
  r->uses = 1;
  r->arguments = arguments_;
  if (table_put(&self->resolvers, (uint64_t)r->token, r) < 0) {
    PyMem_Free(r);
    return NULL;
  }
  r->function = Py_NewRef(function);
  r->name = Py_NewRef(name);
  return r;
}

/* A dict of functions runs their __hash__ and __eq__, which may close the executor: the dict is held meanwhile. */
static int64_t token_of(Executor *self, PyObject *function) {
  PyObject *tokens = self->resolver_tokens;
  if (!tokens) return 0;
  Py_INCREF(tokens);
  PyObject *token = PyDict_GetItemWithError(tokens, function); /* NULL: not known, or not hashable */
  int64_t number = token ? PyLong_AsLongLong(token) : 0;
  PyErr_Clear();
  Py_DECREF(tokens);
  return number;
}

/* The same function. Objects that merely call themselves equal are two: a bound method alone is made anew each time,
 * and equal when object and function are the same. */
static bool same_function(PyObject *a, PyObject *b) {
  if (a == b) return true;
  if (Py_TYPE(a) != Py_TYPE(b) || (PyType_GetFlags(Py_TYPE(a)) & Py_TPFLAGS_HEAPTYPE)) return false;
  PyObject *name = PyObject_GetAttrString((PyObject *)Py_TYPE(a), "__name__");
  bool method = name && PyUnicode_CompareWithASCIIString(name, "method") == 0;
  Py_XDECREF(name);
  PyErr_Clear();
  return method;
}

static resolver *resolver_known(Executor *self, PyObject *function) {
  resolver *r = resolver_of(self, token_of(self, function));
  return r && same_function(r->function, function) ? r : NULL;
}

static void resolver_remember(Executor *self, const resolver *r, PyObject *function) {
  PyObject *token = PyLong_FromLongLong(r->token);
  if (!self->resolver_tokens) self->resolver_tokens = PyDict_New();
  PyObject *tokens = self->resolver_tokens;
  if (token && tokens) {
    Py_INCREF(tokens);
    PyDict_SetItem(tokens, function, token);
    Py_DECREF(tokens);
  }
  Py_XDECREF(token);
  PyErr_Clear(); /* not hashable: it shares with nobody */
}

static void resolver_forget(Executor *self, const resolver *r) {
  if (token_of(self, r->function) != r->token || !self->resolver_tokens) return;
  PyObject *tokens = Py_NewRef(self->resolver_tokens);
  PyDict_DelItem(tokens, r->function);
  PyErr_Clear();
  Py_DECREF(tokens);
}

int64_t resolver_acquire(Executor *self, PyObject *function, int64_t *context) {
  resolver *r = resolver_known(self, function);
  if (!r) {
    PyObject *shape = PyObject_CallMethodObjArgs((PyObject *)self, self->state->words[W_describe_resolver], function, NULL);
    int count = 0, waits = 0;
    if (!shape) return 0;
    PyObject *name = NULL;
    if (PyArg_ParseTuple(shape, "ip;_describe_resolver", &count, &waits)) {
      name = PyObject_GetAttr(function, self->state->words[W_qualname]);
      if (!name) {
        PyErr_Clear();
        name = PyObject_GetAttr((PyObject *)Py_TYPE(function), self->state->words[W_qualname]);
      }
    }
    Py_DECREF(shape);
    r = name ? resolver_add(self, name, function, count) : NULL;
    Py_XDECREF(name);
    if (!r) return 0;
    *context = r->arguments == 3;
    int64_t token = r->token;
    resolver_remember(self, r, function);
    return token;
  }
  r->uses++;
  *context = r->arguments == 3;
  return r->token;
}

void resolver_release(Executor *self, int64_t token) {
  resolver *r = resolver_of(self, token);
  if (!r || --r->uses > 0) return;
  table_remove(&self->resolvers, (uint64_t)token, r);
  r->next_dropped = self->dropped;
  self->dropped = r;
}

/* Letting go may run Python code, which may drop more. An exception that is on its way stays. */
void resolvers_sweep_now(Executor *self) {
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  while (self->dropped) {
    resolver *r = self->dropped;
    self->dropped = r->next_dropped;
    resolver_forget(self, r);
    resolver_free(r);
  }
  PyErr_Restore(type, value, traceback);
}

int resolvers_traverse(Executor *self, visitproc visit, void *arg) {
  const table *t = &self->resolvers;
  for (size_t i = 0; t->slots && i <= t->mask; i++) {
    resolver *r = t->slots[i].item;
    if (!r) continue;
    Py_VISIT(r->function);
    Py_VISIT(r->name);
  }
  for (resolver *r = self->dropped; r; r = r->next_dropped) Py_VISIT(r->function);
  Py_VISIT(self->resolver_tokens);
  return 0;
}

void resolvers_clear(Executor *self) {
  table all = self->resolvers;
  self->resolvers = (table){NULL, 0, 0};
  for (size_t i = 0; all.slots && i <= all.mask; i++) {
    resolver *r = all.slots[i].item;
    if (!r) continue;
    r->next_dropped = self->dropped;
    self->dropped = r;
  }
  table_free(&all);
  Py_CLEAR(self->resolver_tokens);
  resolvers_sweep(self);
}

PyObject *executor_set_resolver(PyObject *o, PyObject *args) {
  Executor *self = (Executor *)o;
  PyObject *name, *function;
  int count, waits;
  if (!PyArg_ParseTuple(args, "UOip:_set_resolver", &name, &function, &count, &waits)) return NULL;
  fq_text text;
  if (executor_ready(self) < 0 || text_of(name, "name", &text) < 0) return NULL;
  resolver *r = resolver_add(self, name, function, count);
  if (!r) return NULL;
  char buffer[512];
  fq_out out = OUT(buffer);
  int64_t token = r->token;
  int64_t result = self->fq->resolver_set(self->engine, &text, token, count == 3, &out);
  if (result >= 0) return Py_NewRef(Py_None);
  resolver_release(self, token);
  raise_result(self, result, &out);
  resolvers_sweep(self);
  return NULL;
}

/* -> the token of the worker */
PyObject *executor_work(PyObject *o, PyObject *args) {
  Executor *self = (Executor *)o;
  PyObject *name, *group, *channel, *function;
  if (!PyArg_ParseTuple(args, "UUUO:_work", &name, &group, &channel, &function)) return NULL;
  fq_text texts[2];
  if (executor_ready(self) < 0 || text_of(group, "group", &texts[0]) < 0 || text_of(channel, "channel", &texts[1]) < 0) return NULL;
  resolver *r = resolver_add(self, name, function, 1);
  if (!r) return NULL;
  char buffer[512];
  fq_out out = OUT(buffer);
  int64_t token = r->token;
  int64_t result = self->fq->work(self->engine, &texts[0], &texts[1], token, &out);
  if (result >= 0) return PyLong_FromLongLong(token);
  resolver_release(self, token);
  raise_result(self, result, &out);
  resolvers_sweep(self);
  return NULL;
}

PyObject *executor_work_stop(PyObject *o, PyObject *args) {
  Executor *self = (Executor *)o;
  long long token;
  if (!PyArg_ParseTuple(args, "L:_work_stop", &token) || executor_ready(self) < 0) return NULL;
  int64_t stopped = self->fq->work_stop(self->engine, token);
  if (stopped == 1) resolver_release(self, token);
  resolvers_sweep(self);
  if (stopped < 0) {
    fq_out none = {0};
    return raise_result(self, stopped, &none);
  }
  return PyBool_FromLong(stopped == 1);
}

typedef struct {
  int64_t id, kind, token;
  fq_text texts[4];
} call;

static const char *read_text(const char *at, fq_text *text) {
  uint32_t length;
  memcpy(&length, at, sizeof length);
  at += sizeof length;
  text->data = length == UINT32_MAX ? NULL : at;
  text->len = text->data ? length : 0;
  return at + text->len;
}

static const char *read_call(const char *at, call *c) {
  memcpy(&c->id, at, 8);
  memcpy(&c->kind, at + 8, 8);
  memcpy(&c->token, at + 16, 8);
  at += 24;
  int count = c->kind == FQ_CALL_RESOLVE ? 4 : 2;
  for (int i = 0; i < count; i++) at = read_text(at, &c->texts[i]);
  return at;
}

/* -> as fq_call_answer; FQ_ERROR with an exception */
static int64_t answer(Executor *self, int64_t id, int64_t kind, const char *data, size_t length) {
  char buffer[512];
  fq_out out = OUT(buffer);
  fq_text text = {data, (int64_t)length};
  int64_t result = self->fq->call_answer(self->engine, id, kind, &text, &out);
  if (result == FQ_ERROR) raise_result(self, result, &out);
  return result;
}

/* Tells the subclass of a failure. -> whether it was told, and logs it */
static int report(Executor *self, PyObject *name, PyObject *exception) {
  PyObject *hook = PyObject_GetAttr((PyObject *)self, self->state->words[W_resolver_failed]);
  if (!hook || hook == Py_None) {
    PyErr_Clear();
    Py_XDECREF(hook);
    return 0;
  }
  PyObject *result = PyObject_CallFunctionObjArgs(hook, name, exception, NULL);
  if (!result) PyErr_WriteUnraisable(hook);
  Py_XDECREF(result);
  Py_DECREF(hook);
  return 1;
}

/* Answers that the current exception came instead of a value. -> it, if it is to go on to the caller */
static PyObject *fail(Executor *self, int64_t id, PyObject *name) {
  PyObject *exception = take_exception();
  PyObject *text = exception_text(exception);
  Py_ssize_t length = 0;
  PyObject *bytes = text ? PyUnicode_AsEncodedString(text, "utf-8", "replace") : NULL;
  const char *data = bytes ? PyBytes_AsString(bytes) : "";
  if (bytes) length = PyBytes_Size(bytes);
  PyErr_Clear();
  int goes_on = !PyErr_GivenExceptionMatches(exception, PyExc_Exception);
  /* A reason would be logged by the library, too. */
  if (name && !goes_on && report(self, name, exception)) data = NULL, length = 0;
  if (answer(self, id, FQ_ANSWER_FAILED, data, (size_t)length) < 0) PyErr_Clear();
  Py_XDECREF(text);
  Py_XDECREF(bytes);
  if (goes_on) return exception;
  Py_DECREF(exception);
  return NULL;
}

/* -1: an exception; the call is not answered. */
static int answer_value(Executor *self, int64_t id, int64_t kind, PyObject *value) {
  if (PyBytes_Check(value))
    return answer(self, id, kind, PyBytes_AsString(value), (size_t)PyBytes_Size(value)) == FQ_ERROR ? -1 : 0;
  char buffer[2048];
  writer w;
  writer_init(&w, self->state, "result", buffer, sizeof buffer);
  int result = write_json(&w, value);
  if (result == 0 && answer(self, id, kind, w.data, w.length) == FQ_ERROR) result = -1;
  writer_free(&w);
  return result;
}

static bool is_awaitable(PyObject *value) {
  PyTypeObject *type = Py_TYPE(value);
  if (type == &PyDict_Type || type == &PyUnicode_Type || value == Py_None) return false;
  return PyType_GetSlot(type, Py_am_await) != NULL;
}

static PyObject *json_or(const Executor *self, const fq_text *text, PyObject *(*otherwise)(void)) {
  return text->data ? read_json(self->state, text->data, text->len) : otherwise();
}

static PyObject *none(void) { return Py_NewRef(Py_None); }

static PyObject *call_function(Executor *self, const resolver *r, const call *c) {
  PyObject *function = Py_NewRef(r->function), *variables = NULL, *context = NULL, *value = NULL;
  int count = r->arguments; /* r may go while the function runs */
  PyObject *event = event_new(self->state, &c->texts[0], &c->texts[1]);
  bool ok = event != NULL;
  if (ok && count >= 2) ok = (variables = json_or(self, &c->texts[2], PyDict_New)) != NULL;
  if (ok && count >= 3) ok = (context = json_or(self, &c->texts[3], none)) != NULL;
  if (ok) value = PyObject_CallFunctionObjArgs(function, event, variables, context, NULL);
  Py_DECREF(function);
  Py_XDECREF(event);
  Py_XDECREF(variables);
  Py_XDECREF(context);
  return value;
}

static PyObject *resolve(Executor *self, const call *c) {
  resolver *r = resolver_of(self, c->token);
  if (!r) {
    static const char gone[] = "the resolver is gone";
    if (answer(self, c->id, FQ_ANSWER_FAILED, gone, sizeof gone - 1) < 0) PyErr_Clear();
    return NULL;
  }
  PyObject *name = Py_NewRef(r->name), *raised = NULL;
  PyObject *value = call_function(self, r, c);
  PyObject *skip = self->state->skip_type;
  if (!value && skip && PyErr_ExceptionMatches(skip)) {
    PyErr_Clear();
    if (answer(self, c->id, FQ_ANSWER_SKIP, NULL, 0) < 0) PyErr_Clear();
  } else if (!value) {
    raised = fail(self, c->id, name);
  } else if (is_awaitable(value)) {
    PyObject *id = PyLong_FromLongLong(c->id);
    PyObject *done = id ? PyObject_CallMethodObjArgs((PyObject *)self, self->state->words[W_await_call], id, value, NULL) : NULL;
    if (!done) raised = fail(self, c->id, name);
    Py_XDECREF(done);
    Py_XDECREF(id);
  } else if (answer_value(self, c->id, FQ_ANSWER_VALUE, value) < 0) {
    raised = fail(self, c->id, name);
  }
  Py_XDECREF(value);
  Py_DECREF(name);
  return raised;
}

static PyObject *bytes_or_none(const fq_text *text) {
  return text->data ? PyBytes_FromStringAndSize(text->data, (Py_ssize_t)text->len) : Py_NewRef(Py_None);
}

/* Calls with two texts that a method of the subclass answers. */
static PyObject *ask(Executor *self, const call *c, PyObject *method) {
  PyObject *id = PyLong_FromLongLong(c->id), *token = PyLong_FromLongLong(c->token);
  PyObject *parameters = bytes_or_none(&c->texts[0]), *request = bytes_or_none(&c->texts[1]), *done = NULL, *raised = NULL;
  if (id && token && parameters && request)
    done = PyObject_CallMethodObjArgs((PyObject *)self, method, id, token, parameters, request, NULL);
  if (!done) raised = fail(self, c->id, method);
  Py_XDECREF(done);
  Py_XDECREF(id);
  Py_XDECREF(token);
  Py_XDECREF(parameters);
  Py_XDECREF(request);
  return raised;
}

/* All calls that were taken are run. What is no Exception (KeyboardInterrupt) goes on afterwards, the first of them. */
static PyObject *run_taken(Executor *self, const fq_out *out, int64_t count) {
  const char *at = out->data;
  PyObject *first = NULL;
  for (int64_t i = 0; i < count; i++) {
    call c;
    at = read_call(at, &c);
    if (i > 0 && c.kind == FQ_CALL_RESOLVE) {
      int64_t begun = self->fq->call_begin(self->engine, c.id);
      if (begun == 0 || begun == FQ_UNKNOWN) continue; /* answered already */
    }
    PyObject *raised = c.kind == FQ_CALL_AUTHENTICATE ? ask(self, &c, self->state->words[W_authenticate])
                       : c.kind == FQ_CALL_HOOK       ? ask(self, &c, self->state->words[W_hook])
                                                      : resolve(self, &c);
    if (!first) first = raised;
    else Py_XDECREF(raised);
  }
  return first;
}

static _Thread_local int nested;

int calls_may_nest(void) {
  if (nested < NESTED) return 0;
  PyErr_Format(PyExc_RecursionError, "resolvers that publish events are more than %d deep in each other", NESTED);
  return -1;
}

Py_ssize_t run_calls(Executor *self, int64_t max, bool work) {
  Py_ssize_t done = 0;
  nested++;
  while (done < max && self->phase == PHASE_OPEN && waiting(&self->shared->calls)) {
    char buffer[2048];
    fq_out out = OUT(buffer);
    int64_t batch = max - done < BATCH ? max - done : BATCH;
    int64_t count = self->fq->calls_take(self->engine, work ? batch : -batch, &out);
    if (count <= 0) {
      if (count == FQ_ERROR) raise_result(self, count, &out);
      if (count == FQ_ERROR) done = -1;
      break;
    }
    PyObject *raised = run_taken(self, &out, count);
    out_free(&out);
    done += (Py_ssize_t)count;
    if (raised) {
      put_exception(raised);
      done = -1;
      break;
    }
  }
  nested--;
  return done;
}

PyObject *executor_run_calls(PyObject *o, PyObject *args) {
  long long max;
  if (!PyArg_ParseTuple(args, "L:_run_calls", &max) || executor_ready((Executor *)o) < 0) return NULL;
  Py_ssize_t done = run_calls((Executor *)o, max, true);
  return done < 0 ? NULL : PyLong_FromSsize_t(done);
}

PyObject *executor_answer(PyObject *o, PyObject *args) {
  Executor *self = (Executor *)o;
  long long id, kind;
  PyObject *value = Py_None;
  if (!PyArg_ParseTuple(args, "LL|O:_answer", &id, &kind, &value) || executor_ready(self) < 0) return NULL;
  if (kind == FQ_ANSWER_VALUE) {
    if (answer_value(self, id, kind, value) < 0) return NULL;
    return Py_NewRef(Py_None);
  }
  fq_text text = {NULL, 0};
  PyObject *bytes = NULL;
  if (PyUnicode_Check(value)) {
    bytes = PyUnicode_AsEncodedString(value, "utf-8", "replace");
    if (!bytes) return NULL;
    value = bytes;
  }
  if (PyBytes_Check(value)) {
    text.data = PyBytes_AsString(value);
    text.len = PyBytes_Size(value);
  }
  int64_t result = answer(self, id, kind, text.data, (size_t)text.len);
  Py_XDECREF(bytes);
  if (result == FQ_ERROR) return NULL;
  return Py_NewRef(Py_None);
}
