// Package hub matches events against live subscriptions.
package hub

import "github.com/fraiseql/fraiseql-go/internal/queue"

// Subscription is one live operation of one connection.
type Subscription struct {
	queue.Queue
}

// Complete ends the subscription: nothing more is written for it. Idempotent, safe from any goroutine.
func (s *Subscription) Complete() {}
