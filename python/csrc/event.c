/* Event: what resolvers are called with. Its texts are parsed when first looked at. */
#include "native.h"

typedef struct {
  PyObject_HEAD
  module_state *state; /* of its type, which keeps it alive */
  char *envelope;      /* one block with data */
  int64_t envelope_length;
  const char *data;
  int64_t data_length;
  PyObject *envelope_value, *data_value; /* NULL: not looked at yet */
} Event;

PyObject *event_new(module_state *state, const fq_text *envelope, const fq_text *data) {
  allocfunc alloc = (allocfunc)PyType_GetSlot(state->event_type, Py_tp_alloc);
  char *block = PyMem_Malloc((size_t)(envelope->len + data->len) + 1);
  Event *self = block ? (Event *)alloc(state->event_type, 0) : NULL;
  if (!self) {
    if (!block) PyErr_NoMemory();
    PyMem_Free(block);
    return NULL;
  }
  if (envelope->len) memcpy(block, envelope->data, (size_t)envelope->len);
  if (data->len) memcpy(block + envelope->len, data->data, (size_t)data->len);
  self->state = state;
  self->envelope = block;
  self->envelope_length = envelope->len;
  self->data = block + envelope->len;
  self->data_length = data->len;
  return (PyObject *)self;
}

/* Borrowed. */
static PyObject *data_of(Event *self) {
  if (!self->data_value) {
    PyObject *value = self->data_length ? read_json(self->state, self->data, self->data_length) : Py_NewRef(Py_None);
    if (self->data_value) Py_XDECREF(value);
    else self->data_value = value;
  }
  return self->data_value;
}

/* Borrowed: the members, data included. */
static PyObject *members_of(Event *self) {
  if (self->envelope_value) return self->envelope_value;
  PyObject *data = data_of(self);
  PyObject *members = NULL;
  if (data && self->envelope_length) members = read_json(self->state, self->envelope, self->envelope_length);
  else if (data) members = PyDict_New();
  if (members && !PyDict_Check(members)) {
    PyErr_SetString(PyExc_ValueError, "the envelope of an event is an object");
    Py_CLEAR(members);
  }
  if (members && PyDict_SetItemString(members, "data", data) < 0) Py_CLEAR(members);
  if (self->envelope_value) Py_XDECREF(members);
  else self->envelope_value = members;
  return self->envelope_value;
}

static PyObject *get_data(PyObject *self, void *closure) {
  (void)closure;
  return Py_XNewRef(data_of((Event *)self));
}

static PyObject *get_raw(PyObject *self, void *closure) {
  (void)closure;
  return PyBytes_FromStringAndSize(((Event *)self)->data, (Py_ssize_t)((Event *)self)->data_length);
}

static PyObject *get_member(PyObject *self, void *name) {
  PyObject *members = members_of((Event *)self);
  PyObject *value = members ? PyDict_GetItemString(members, name) : NULL;
  if (!value && members) value = strcmp(name, "broadcast") == 0 ? Py_False : Py_None;
  return Py_XNewRef(value);
}

static PyObject *event_get(PyObject *self, PyObject *args) {
  PyObject *key, *other = Py_None;
  if (!PyArg_UnpackTuple(args, "get", 1, 2, &key, &other)) return NULL;
  PyObject *members = members_of((Event *)self);
  if (!members) return NULL;
  PyObject *value = PyDict_GetItemWithError(members, key);
  if (!value && PyErr_Occurred()) return NULL;
  return Py_NewRef(value ? value : other);
}

static PyObject *event_subscript(PyObject *self, PyObject *key) {
  PyObject *members = members_of((Event *)self);
  return members ? PyObject_GetItem(members, key) : NULL;
}

static Py_ssize_t event_length(PyObject *self) {
  PyObject *members = members_of((Event *)self);
  return members ? PyDict_Size(members) : -1;
}

static int event_contains(PyObject *self, PyObject *key) {
  PyObject *members = members_of((Event *)self);
  return members ? PyDict_Contains(members, key) : -1;
}

static PyObject *event_iterator(PyObject *self) {
  PyObject *members = members_of((Event *)self);
  return members ? PyObject_GetIter(members) : NULL;
}

static PyObject *event_keys(PyObject *self, PyObject *unused) {
  (void)unused;
  PyObject *members = members_of((Event *)self);
  return members ? PyDict_Keys(members) : NULL;
}

static PyObject *event_values(PyObject *self, PyObject *unused) {
  (void)unused;
  PyObject *members = members_of((Event *)self);
  return members ? PyDict_Values(members) : NULL;
}

static PyObject *event_items(PyObject *self, PyObject *unused) {
  (void)unused;
  PyObject *members = members_of((Event *)self);
  return members ? PyDict_Items(members) : NULL;
}

static PyObject *event_repr(PyObject *self) {
  PyObject *type = get_member(self, "type"), *channel = get_member(self, "channel"), *id = get_member(self, "id");
  PyObject *text = NULL;
  if (type && channel && id) text = PyUnicode_FromFormat("Event(type=%R, channel=%R, id=%R)", type, channel, id);
  Py_XDECREF(type);
  Py_XDECREF(channel);
  Py_XDECREF(id);
  return text;
}

static int event_traverse(PyObject *o, visitproc visit, void *arg) {
  Event *self = (Event *)o;
  Py_VISIT(Py_TYPE(o));
  Py_VISIT(self->envelope_value);
  Py_VISIT(self->data_value);
  return 0;
}

static int event_clear(PyObject *o) {
  Event *self = (Event *)o;
  Py_CLEAR(self->envelope_value);
  Py_CLEAR(self->data_value);
  return 0;
}

static void event_dealloc(PyObject *o) {
  PyTypeObject *type = Py_TYPE(o);
  PyObject_GC_UnTrack(o);
  event_clear(o);
  PyMem_Free(((Event *)o)->envelope);
  ((freefunc)PyType_GetSlot(type, Py_tp_free))(o);
  Py_DECREF(type);
}

static PyMethodDef event_methods[] = {
    {"get", event_get, METH_VARARGS, "get(key, default=None): a member of the event."},
    {"keys", event_keys, METH_NOARGS, "The names of the event's members."},
    {"values", event_values, METH_NOARGS, "The values of the event's members."},
    {"items", event_items, METH_NOARGS, "The event's members as pairs."},
    {NULL, NULL, 0, NULL},
};

#define MEMBER(name, doc) {#name, get_member, NULL, doc, #name}
static PyGetSetDef event_getset[] = {
    {"data", get_data, NULL, "The event's data, parsed when first looked at.", NULL},
    {"raw", get_raw, NULL, "The event's data as the bytes of a JSON object.", NULL},
    MEMBER(id, "Identifies the event on its channel."),
    MEMBER(type, "The event's type."),
    MEMBER(channel, "The channel it was published to."),
    MEMBER(timestamp, "When it was published, RFC 3339."),
    MEMBER(tenant_id, "The tenant it is addressed to, or None."),
    MEMBER(user_id, "The user it is addressed to, or None."),
    MEMBER(federation_id, "The federation it belongs to, or None."),
    MEMBER(service_name, "The service it comes from, or None."),
    MEMBER(broadcast, "It was addressed to all on purpose."),
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot event_slots[] = {
    {Py_tp_doc, "An event, as resolvers get it: attributes, or a mapping of the envelope's members."},
    {Py_tp_methods, event_methods},
    {Py_tp_getset, event_getset},
    {Py_tp_repr, event_repr},
    {Py_tp_iter, event_iterator},
    {Py_mp_subscript, event_subscript},
    {Py_mp_length, event_length},
    {Py_sq_contains, event_contains},
    {Py_tp_traverse, event_traverse},
    {Py_tp_clear, event_clear},
    {Py_tp_dealloc, event_dealloc},
    {0, NULL},
};

PyType_Spec event_spec = {
    .name = "fraiseql._native.Event",
    .basicsize = sizeof(Event),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = event_slots,
};
