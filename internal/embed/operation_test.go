//go:build linux

package embed

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// finish waits for an operation.
func finish(t *testing.T, e *Engine, operation int64) (Subscribed, int64, error) {
	t.Helper()
	for {
		if made, n, err := e.lib.Finish(operation, time.Minute); n != Pending || err != nil {
			return made, n, err
		}
	}
}

// wanted is a subscription of a connection of that name.
func wanted(connection string) *Subscription {
	return &Subscription{ConnectionID: []byte(connection), SubscriptionID: []byte("s"), Query: []byte(users)}
}

func TestOperations(t *testing.T) {
	e := open(t, `{}`)
	operation, err := e.StartSubscribe(wanted("c"))
	if err != nil {
		t.Fatal(err)
	}
	made, n, err := finish(t, e, operation)
	if err != nil || n != made.Handle || made.Channel != "users" {
		t.Fatalf("subscribed: %+v %d %v", made, n, err)
	}
	if _, n, _ := e.lib.Finish(operation, 0); n != Unknown || e.lib.Leave(operation) != 0 {
		t.Errorf("finished twice: %d", n)
	}
	box, _, err := e.Mailbox()
	if err != nil {
		t.Fatal(err)
	}
	data := []byte(`{"id":1}`)
	sheet := e.Sheet()
	sheet.Add(&Event{Channel: []byte("users"), Type: []byte("t"), Data: data})
	if operation, err = e.StartPublish(sheet, box, 7); err != nil {
		t.Fatal(err)
	}
	copy(data, "{}      ") // it was taken
	if _, n, err := finish(t, e, operation); n != 1 || err != nil {
		t.Errorf("published: %d %v", n, err)
	}
	if got, n := next(e, made.Handle); n != 1 || got != `{"id":"s","type":"next","payload":{"data":{"users":{"id":1}}}}` {
		t.Errorf("next: %d %s", n, got)
	}
	tokens := make([]int64, 2)
	for e.MailboxTake(box, tokens) == 0 { // the token comes after the end
	}
	if tokens[0] != 7 {
		t.Errorf("token %d", tokens[0])
	}
	if operation, err = e.StartRevoke([]byte(`{"user_id":""}`), box, 8); err != nil {
		t.Fatal(err)
	}
	if _, _, err := finish(t, e, operation); err == nil {
		t.Error("it revokes nobody")
	}
	if _, err := e.StartRevoke(nil, 1, 8); err == nil {
		t.Error("there is no such mailbox")
	}
}

// TestLeave: a subscription that nobody asks for ends, whenever it was left.
func TestLeave(t *testing.T) {
	e := open(t, `{}`)
	for i := range 100 {
		operation, err := e.StartSubscribe(wanted(fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			o, _ := e.lib.operations.get(operation)
			<-o.done
		}
		if e.lib.Leave(operation) != 1 || e.lib.Leave(operation) != 0 {
			t.Error("it is left once")
		}
	}
	e.operations.Wait()
	if m := e.facade.Metrics(); m.Subscriptions != 0 {
		t.Errorf("%d subscriptions are left", m.Subscriptions)
	}
}

// TestOperationPanics: a panic on a goroutine of the library is an error of its operation.
func TestOperationPanics(t *testing.T) {
	e := open(t, `{}`)
	var ran atomic.Bool
	operation, err := e.start(new(operation), 0, 0, func(*operation) error {
		ran.Store(true)
		panic("inside")
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := finish(t, e, operation); err == nil || err.Error() != "A fault of the library." || !ran.Load() {
		t.Errorf("got %v", err)
	}
}

// TestOperationsAfterClose: what waits when the engine is closed is told so; nothing begins any more.
func TestOperationsAfterClose(t *testing.T) {
	e := open(t, `{}`)
	begun, wait := make(chan bool), make(chan bool)
	operation, err := e.start(new(operation), 0, 0, func(*operation) error {
		close(begun)
		<-wait
		return errClosed
	})
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	if _, n, _ := e.lib.Finish(operation, time.Microsecond); n != Pending {
		t.Errorf("finish: %d", n)
	}
	close(wait)
	if err := e.lib.Close(e.handle); err != nil {
		t.Fatal(err)
	}
	if _, _, err := finish(t, e, operation); err != errClosed {
		t.Errorf("got %v", err)
	}
	if _, err := e.StartSubscribe(wanted("c")); err != errClosed {
		t.Errorf("it begins: %v", err)
	}
}

// TestPublishesBeginInOrder: one goes on its way when the one before it has, and does not wait for the end of that.
func TestPublishesBeginInOrder(t *testing.T) {
	e := open(t, `{}`)
	subscription, err := e.Subscribe(wanted("c"))
	if err != nil {
		t.Fatal(err)
	}
	gate := make(chan struct{})
	e.begun = gate // of one that has not begun
	var operations [8]int64
	for i := range operations {
		sheet := e.Sheet()
		sheet.Add(&Event{Channel: []byte("users"), Type: []byte("t"), Data: fmt.Appendf(nil, `{"id":%d}`, i)})
		if operations[i], err = e.StartPublish(sheet, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, operation := range operations {
		if _, n, err := e.lib.Finish(operation, time.Microsecond); n != Pending || err != nil {
			t.Errorf("it did not wait: %d %v", n, err)
		}
	}
	if _, n := next(e, subscription.Handle); n != 0 {
		t.Error("an event is there")
	}
	close(gate)
	for i := len(operations) - 1; i >= 0; i-- {
		if _, n, err := finish(t, e, operations[i]); n != 1 || err != nil {
			t.Errorf("published: %d %v", n, err)
		}
	}
}
