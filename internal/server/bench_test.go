package server

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

type discard struct{}

func (discard) Publish(_ context.Context, events ...event.Event) (bus.Receipt, error) {
	return bus.Receipt{Accepted: len(events)}, nil
}

// benchmarkRequests sends NDJSON bodies past the network.
func benchmarkRequests(b *testing.B, h http.Handler, body string) {
	for b.Loop() {
		r := httptest.NewRequest("POST", "http://localhost/events", strings.NewReader(body))
		r.Header.Set("Content-Type", ndjson)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusAccepted {
			b.Fatal(w.Body.String())
		}
	}
}
