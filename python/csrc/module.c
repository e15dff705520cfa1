/* The module fraiseql._native and its state. */
#include "native.h"

static PyObject *configure(PyObject *module, PyObject *args, PyObject *names) {
  static char *keywords[] = {"error_factory", "default", "skip_type", NULL};
  PyObject *factory = Py_None, *hook = Py_None, *skip = Py_None;
  if (!PyArg_ParseTupleAndKeywords(args, names, "|OOO:configure", keywords, &factory, &hook, &skip)) return NULL;
  module_state *state = PyModule_GetState(module);
  PyObject **to[] = {&state->error_factory, &state->default_hook, &state->skip_type};
  PyObject *given[] = {factory, hook, skip};
  for (int i = 0; i < 3; i++) {
    if (given[i] == Py_None) continue;
    if (!PyCallable_Check(given[i])) {
      PyErr_Format(PyExc_TypeError, "%s must be callable", keywords[i]);
      return NULL;
    }
    PyObject *before = *to[i];
    *to[i] = Py_NewRef(given[i]);
    Py_XDECREF(before);
  }
  return Py_NewRef(Py_None);
}

static PyObject *dumps(PyObject *module, PyObject *value) {
  char buffer[4096];
  writer w;
  writer_init(&w, PyModule_GetState(module), "value", buffer, sizeof buffer);
  PyObject *result = NULL;
  if (write_json(&w, value) == 0) result = PyBytes_FromStringAndSize(w.data, (Py_ssize_t)w.length);
  writer_free(&w);
  return result;
}

static PyObject *loads(PyObject *module, PyObject *text) {
  module_state *state = PyModule_GetState(module);
  if (PyBytes_Check(text)) return read_json(state, PyBytes_AsString(text), PyBytes_Size(text));
  fq_text utf8;
  if (text_of(text, "text", &utf8) < 0) return NULL;
  if (utf8.data) return read_json(state, utf8.data, utf8.len);
  PyErr_SetString(PyExc_TypeError, "text must be bytes or str");
  return NULL;
}

static PyObject *serve_clients(PyObject *module, PyObject *unused) {
  (void)module;
  (void)unused;
  library_serve();
  Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"configure", (PyCFunction)(void (*)(void))configure, METH_VARARGS | METH_KEYWORDS,
     "configure($module, /, error_factory=None, default=None, skip_type=None)\n--\n\n"
     "Sets what makes exceptions of error objects (bytes), what stands in for values without a JSON form, and the\n"
     "exception by which a resolver says that there is no message. None leaves one as it is."},
    {"serve_clients", serve_clients, METH_NOARGS,
     "serve_clients($module, /)\n--\n\nLets executors made from now on have what serves clients, which takes longer to load."},
    {"dumps", dumps, METH_O, "dumps($module, value, /)\n--\n\nThe JSON of a value, as events and resolvers' results are written."},
    {"loads", loads, METH_O, "loads($module, text, /)\n--\n\nThe value of a JSON text, as events are read."},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject *add_type(PyObject *module, PyType_Spec *spec) {
  PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
  if (type && PyModule_AddType(module, type) < 0) Py_CLEAR(type);
  return type;
}

static int execute(PyObject *module) {
  static const char *const texts[WORD_COUNT] = {
#define WORD(name, text) text,
      WORDS(WORD)
#undef WORD
  };
  if (PyInterpreterState_GetID(PyInterpreterState_Get()) != 0) {
    PyErr_SetString(PyExc_ImportError, "fraiseql._native works in the main interpreter only");
    return -1;
  }
  if (library_prepare() < 0) {
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
  }
  module_state *state = PyModule_GetState(module);
  for (int i = 0; i < WORD_COUNT; i++)
    if (!(state->words[i] = PyUnicode_InternFromString(texts[i]))) return -1;
  state->executor_type = add_type(module, &executor_spec);
  state->event_type = state->executor_type ? add_type(module, &event_spec) : NULL;
  if (!state->event_type) return -1;
  const struct {
    const char *name;
    long value;
  } constants[] = {
      {"ANSWER_VALUE", FQ_ANSWER_VALUE},   {"ANSWER_SKIP", FQ_ANSWER_SKIP}, {"ANSWER_FAILED", FQ_ANSWER_FAILED},
      {"ANSWER_REFUSED", FQ_ANSWER_REFUSED}, {"TOKEN_CALLS", FQ_TOKEN_CALLS}, {"OUT_TEXT", FQ_OUT_TEXT},
      {"OUT_CLOSE", FQ_OUT_CLOSE},
  };
  for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
    if (PyModule_AddIntConstant(module, constants[i].name, constants[i].value) < 0) return -1;
  return 0;
}

static int module_traverse(PyObject *module, visitproc visit, void *arg) {
  module_state *state = PyModule_GetState(module);
  if (!state) return 0;
  Py_VISIT(state->executor_type);
  Py_VISIT(state->event_type);
  Py_VISIT(state->error_factory);
  Py_VISIT(state->default_hook);
  Py_VISIT(state->skip_type);
  return 0;
}

/* The types stay: an executor that outlives its module (it holds it, so only in the collector) still needs them. */
static int module_clear(PyObject *module) {
  module_state *state = PyModule_GetState(module);
  if (!state) return 0;
  Py_CLEAR(state->error_factory);
  Py_CLEAR(state->default_hook);
  Py_CLEAR(state->skip_type);
  return 0;
}

static void module_free(void *module) {
  module_state *state = PyModule_GetState(module);
  if (!state) return;
  module_clear(module);
  Py_CLEAR(state->executor_type);
  Py_CLEAR(state->event_type);
  for (int i = 0; i < WORD_COUNT; i++) Py_CLEAR(state->words[i]);
  for (int i = 0; i < KNOWN_NAMES; i++) Py_CLEAR(state->names[i].text);
  for (int i = 0; i < KNOWN_IDS; i++) Py_CLEAR(state->ids[i]);
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, execute}, {0, NULL}};

struct PyModuleDef native_module = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "fraiseql._native",
    .m_doc = "The engine of FraiseQL in this process. Private: fraiseql.subscriptions is the interface.",
    .m_size = sizeof(module_state),
    .m_methods = functions,
    .m_slots = slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__native(void);
PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&native_module); }
