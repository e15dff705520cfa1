/* Hash tables: linear probing, no tombstones (what follows a removed item moves up). */
#include "native.h"

static void place(table_slot *slots, size_t mask, table_slot it, size_t at) {
  while (slots[at].item) at = (at + 1) & mask;
  slots[at] = it;
}

static int grow(table *t) {
  size_t size = t->slots ? (t->mask + 1) * 2 : 8;
  table_slot *slots = PyMem_Calloc(size, sizeof *slots);
  if (!slots) {
    PyErr_NoMemory();
    return -1;
  }
  table bigger = {slots, size - 1, t->used};
  for (size_t i = 0; t->slots && i <= t->mask; i++)
    if (t->slots[i].item) place(slots, bigger.mask, t->slots[i], table_first(&bigger, t->slots[i].hash));
  PyMem_Free(t->slots);
  *t = bigger;
  return 0;
}

int table_put(table *t, uint64_t hash, void *item) {
  if (!t->slots || (t->used + 1) * 4 > (t->mask + 1) * 3)
    if (grow(t) < 0) return -1;
  table_slot it = {hash, item};
  place(t->slots, t->mask, it, table_first(t, hash));
  t->used++;
  return 0;
}

void table_remove(table *t, uint64_t hash, const void *item) {
  if (!t->slots) return;
  size_t hole = table_first(t, hash);
  while (t->slots[hole].item != item) {
    if (!t->slots[hole].item) return;
    hole = (hole + 1) & t->mask;
  }
  for (size_t i = (hole + 1) & t->mask; t->slots[i].item; i = (i + 1) & t->mask) {
    size_t home = table_first(t, t->slots[i].hash);
    if (((i - home) & t->mask) >= ((i - hole) & t->mask)) {
      t->slots[hole] = t->slots[i];
      hole = i;
    }
  }
  t->slots[hole].item = NULL;
  if (--t->used == 0) table_free(t);
}

void table_free(table *t) {
  PyMem_Free(t->slots);
  t->slots = NULL;
  t->mask = t->used = 0;
}
