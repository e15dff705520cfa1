package fraiseql

import (
	"fmt"
	"sync"
	"testing"
)

// Whatever comes and goes, whoever uses nothing is forgotten, and nobody is beyond a bound.
func TestLedgerForgets(t *testing.T) {
	l := newLedger("user", 3, 0, 100)
	var work sync.WaitGroup
	for w := range 4 {
		work.Go(func() {
			for i := range 2000 {
				k := tenantOf(fmt.Sprint((w + i) % 7))
				u := use{useConnections: 1, useSubscriptions: 2, useFields: int32(i % 60)}
				if _, ok := l.take(k, u); ok {
					if n := l.shards[k%rateShards].at(k); n[useConnections] > 3 {
						t.Errorf("%v are used", n)
					}
					l.give(k, u)
				}
			}
		})
	}
	work.Wait()
	if n := l.len(); n != 0 {
		t.Errorf("%d are kept", n)
	}
}

func (s *ledgerShard) at(k key) use {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n[k]
}
