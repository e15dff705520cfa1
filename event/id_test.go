package event

import (
	"bytes"
	"encoding/binary"
	"regexp"
	"sync"
	"testing"
	"time"
)

func TestIDsAreVersion7(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	for range 1000 {
		if text := NewID().String(); !form.MatchString(text) {
			t.Fatalf("%s", text)
		}
	}
}

func TestIDsHoldTheTime(t *testing.T) {
	before := time.Now().UnixMilli()
	id := NewID()
	after := time.Now().UnixMilli()
	if ms := int64(binary.BigEndian.Uint64(id[:8]) >> 16); ms < before || ms > after+1 {
		t.Errorf("%d, made between %d and %d", ms, before, after)
	}
}

// TestIDsIncrease over goroutines, when the clock stands still and when it goes back.
func TestIDsIncrease(t *testing.T) {
	const goroutines, each = 4, 5000
	lists := make([][]ID, goroutines)
	var wait sync.WaitGroup
	for g := range goroutines {
		wait.Go(func() {
			for range each {
				lists[g] = append(lists[g], NewID())
			}
		})
	}
	wait.Wait()
	seen := map[[8]byte]bool{}
	for _, list := range lists {
		for i, id := range list {
			if i > 0 && bytes.Compare(list[i-1][:], id[:]) >= 0 {
				t.Fatalf("%s after %s", id, list[i-1])
			}
			if stamp := [8]byte(id[:8]); seen[stamp] {
				t.Fatalf("two ids of one stamp: %s", id)
			} else {
				seen[stamp] = true
			}
		}
	}
	last := NewID()
	for _, at := range []time.Time{time.Now(), time.Now().Add(-time.Hour), {}, time.Unix(-1, 0)} {
		id := newID(at, 0)
		if bytes.Compare(last[:], id[:]) >= 0 {
			t.Fatalf("%s after %s, at %v", id, last, at)
		}
		last = id
	}
}

func TestIDAllocations(t *testing.T) {
	buf := make([]byte, 0, 36)
	if n := testing.AllocsPerRun(100, func() { buf = AppendID(buf[:0], NewID()) }); n != 0 {
		t.Errorf("AppendID: %v allocations", n)
	}
	var text string
	if n := testing.AllocsPerRun(100, func() { text = NewID().String() }); n > 1 {
		t.Errorf("String: %v allocations", n)
	}
	if len(text) != 36 {
		t.Errorf("%q", text)
	}
}

func TestTheIDOfAnEvent(t *testing.T) {
	e := Event{UID: NewID()}
	if got := string(e.AppendID(nil)); got != e.UID.String() {
		t.Errorf("got %s", got)
	}
	e.ID = "mine"
	if got := string(e.AppendID([]byte("x"))); got != "xmine" {
		t.Errorf("got %s", got)
	}
}

func BenchmarkNewID(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		NewID()
	}
}

func BenchmarkNewIDText(b *testing.B) {
	buf := make([]byte, 0, 36)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendID(buf[:0], NewID())
	}
}

func BenchmarkNewIDParallel(b *testing.B) {
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			NewID()
		}
	})
}
