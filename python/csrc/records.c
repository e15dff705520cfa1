/* What is registered: subscriptions by handle, by id, by connection and by channel. */
#include "native.h"

static bool same_text(PyObject *a, PyObject *b) { return a == b || PyUnicode_Compare(a, b) == 0; }

static uint64_t hash_of(PyObject *text) { return (uint64_t)PyObject_Hash(text); }

static uint64_t pair_hash(const connection *c, uint64_t id) { return id ^ ((uint64_t)(uintptr_t)c * 0xff51afd7ed558ccdu); }

#define EACH_OF(t, h, kind, it)                                                                           \
  for (size_t at_ = (t)->slots ? table_first((t), (h)) : 0; (t)->slots && (t)->slots[at_].item;           \
       at_ = (at_ + 1) & (t)->mask)                                                                       \
    for (kind *it = (t)->slots[at_].hash == (h) ? (t)->slots[at_].item : NULL; it; it = NULL)

record *records_by_handle(const records *r, int64_t handle) {
  uint64_t h = (uint64_t)handle;
  EACH_OF(&r->handles, h, record, it) return it;
  return NULL;
}

connection *records_connection(const records *r, PyObject *id) {
  uint64_t h = hash_of(id);
  EACH_OF(&r->connections, h, connection, it) {
    if (same_text(it->id, id)) return it;
  }
  return NULL;
}

channel *records_channel(const records *r, PyObject *name) {
  uint64_t h = hash_of(name);
  EACH_OF(&r->channels, h, channel, it) {
    if (same_text(it->name, name)) return it;
  }
  return NULL;
}

static record *first_of_id(const records *r, PyObject *id, uint64_t h) {
  EACH_OF(&r->ids, h, record, it) {
    if (same_text(it->id, id)) return it;
  }
  return NULL;
}

static record *of_pair(const records *r, const connection *c, PyObject *id, uint64_t id_hash) {
  uint64_t h = pair_hash(c, id_hash);
  EACH_OF(&r->pairs, h, record, it) {
    if (it->connection == c && same_text(it->id, id)) return it;
  }
  return NULL;
}

record *records_find(const records *r, PyObject *id, PyObject *connection_id, bool *ambiguous) {
  *ambiguous = false;
  if (connection_id) {
    connection *c = records_connection(r, connection_id);
    return c ? of_pair(r, c, id, hash_of(id)) : NULL;
  }
  record *it = first_of_id(r, id, hash_of(id));
  *ambiguous = it && it->same_next;
  return it;
}

static connection *need_connection(records *r, const record_spec *spec) {
  connection *c = records_connection(r, spec->connection_id);
  if (!c) {
    c = PyMem_Calloc(1, sizeof *c);
    if (!c) return (void)PyErr_NoMemory(), NULL;
    c->id = Py_NewRef(spec->connection_id);
    c->hash = hash_of(c->id);
    if (table_put(&r->connections, c->hash, c) < 0) {
      Py_DECREF(c->id);
      PyMem_Free(c);
      return NULL;
    }
  }
  c->handle = spec->connection;
  c->ready = spec->ready;
  return c;
}

static channel *need_channel(records *r, PyObject *name) {
  channel *c = records_channel(r, name);
  if (c) return c;
  c = PyMem_Calloc(1, sizeof *c);
  if (!c) return (void)PyErr_NoMemory(), NULL;
  c->name = Py_NewRef(name);
  c->hash = hash_of(name);
  if (table_put(&r->channels, c->hash, c) < 0) {
    Py_DECREF(c->name);
    PyMem_Free(c);
    return NULL;
  }
  return c;
}

static void drop_channel_if_empty(records *r, channel *c) {
  if (c->first) return;
  table_remove(&r->channels, c->hash, c);
  Py_DECREF(c->name);
  PyMem_Free(c);
}

static void link_lists(record *it, record *same) {
  it->same_next = same;
  if (same) same->same_previous = it;
  it->connection_next = it->connection->first;
  if (it->connection_next) it->connection_next->connection_previous = it;
  it->connection->first = it;
  it->channel_next = it->channel->first;
  if (it->channel_next) it->channel_next->channel_previous = it;
  it->channel->first = it;
  it->channel->count++;
}

/* The table of ids holds the newest record of each id; the others follow it. */
static int index_record(records *r, record *it) {
  record *same = first_of_id(r, it->id, it->id_hash);
  if (table_put(&r->handles, (uint64_t)it->handle, it) < 0) return -1;
  if (table_put(&r->pairs, pair_hash(it->connection, it->id_hash), it) < 0) {
    table_remove(&r->handles, (uint64_t)it->handle, it);
    return -1;
  }
  if (same) table_remove(&r->ids, same->id_hash, same);
  if (table_put(&r->ids, it->id_hash, it) < 0) {
    table_remove(&r->handles, (uint64_t)it->handle, it);
    table_remove(&r->pairs, pair_hash(it->connection, it->id_hash), it);
    return -1;
  }
  link_lists(it, same);
  return 0;
}

record *records_add(records *r, const record_spec *spec) {
  channel *ch = need_channel(r, spec->channel);
  if (!ch) return NULL;
  connection *c = need_connection(r, spec);
  record *it = c ? PyMem_Calloc(1, sizeof *it) : NULL;
  if (!it) {
    if (c) PyErr_NoMemory();
    drop_channel_if_empty(r, ch);
    return NULL;
  }
  it->handle = spec->handle;
  it->resolver = spec->resolver;
  it->id = Py_NewRef(spec->subscription_id);
  it->id_hash = hash_of(it->id);
  it->connection = c;
  it->channel = ch;
  if (index_record(r, it) < 0) {
    Py_DECREF(it->id);
    PyMem_Free(it);
    drop_channel_if_empty(r, ch);
    return NULL;
  }
  return it;
}

static void unlink_same(records *r, record *it) {
  if (it->same_next) it->same_next->same_previous = it->same_previous;
  if (it->same_previous) {
    it->same_previous->same_next = it->same_next;
    return;
  }
  /* The next one takes this one's slot, so that no memory is needed. */
  if (!it->same_next) {
    table_remove(&r->ids, it->id_hash, it);
    return;
  }
  for (size_t at = table_first(&r->ids, it->id_hash);; at = (at + 1) & r->ids.mask)
    if (r->ids.slots[at].item == it) {
      r->ids.slots[at].item = it->same_next;
      return;
    }
}

void records_drop(records *r, record *it) {
  table_remove(&r->handles, (uint64_t)it->handle, it);
  table_remove(&r->pairs, pair_hash(it->connection, it->id_hash), it);
  unlink_same(r, it);
  if (it->connection_next) it->connection_next->connection_previous = it->connection_previous;
  if (it->connection_previous) it->connection_previous->connection_next = it->connection_next;
  else it->connection->first = it->connection_next;
  if (it->channel_next) it->channel_next->channel_previous = it->channel_previous;
  if (it->channel_previous) it->channel_previous->channel_next = it->channel_next;
  else it->channel->first = it->channel_next;
  it->channel->count--;
  drop_channel_if_empty(r, it->channel);
  Py_DECREF(it->id);
  PyMem_Free(it);
}

void records_drop_connection(records *r, connection *c) {
  while (c->first) records_drop(r, c->first);
  table_remove(&r->connections, c->hash, c);
  Py_DECREF(c->id);
  PyMem_Free(c);
}

void records_clear(records *r) {
  while (r->connections.slots) {
    size_t at = 0;
    for (; !r->connections.slots[at].item; at++) {}
    records_drop_connection(r, r->connections.slots[at].item);
  }
}
