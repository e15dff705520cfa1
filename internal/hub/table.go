package hub

import "hash/maphash"

// keyed is what a table holds: it knows its own key, so that the table need not.
type keyed interface {
	comparable
	tableKey() string
}

// table maps keys to values by a seeded hash of the key: 8 bytes an entry where a map of strings has 16 and
// the text is kept by the value. Texts are compared in full; those whose hashes clash are in a map beside.
type table[T keyed] struct {
	seed    maphash.Seed
	byHash  map[uint64]T
	clashes map[string]T
}

func (t *table[T]) init(seed maphash.Seed) {
	t.seed, t.byHash = seed, make(map[uint64]T)
}

func (t *table[T]) get(key []byte) (value T, ok bool) {
	value, ok = t.byHash[maphash.Bytes(t.seed, key)]
	if ok && value.tableKey() == string(key) {
		return value, true
	}
	if len(t.clashes) > 0 {
		value, ok = t.clashes[string(key)]
		return value, ok
	}
	var none T
	return none, false
}

// put enters a value whose key is not in the table.
func (t *table[T]) put(value T) {
	key := value.tableKey()
	h := maphash.String(t.seed, key)
	if _, taken := t.byHash[h]; !taken {
		t.byHash[h] = value
		return
	}
	if t.clashes == nil {
		t.clashes = make(map[string]T)
	}
	t.clashes[key] = value
}

// remove takes out a value that is in the table.
func (t *table[T]) remove(value T) {
	key := value.tableKey()
	if h := maphash.String(t.seed, key); t.byHash[h] == value {
		delete(t.byHash, h)
		return
	}
	delete(t.clashes, key)
}

func (t *table[T]) len() int { return len(t.byHash) + len(t.clashes) }
