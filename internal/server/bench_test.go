package server

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/config"
)

type discard struct{}

func (discard) Publish(_ context.Context, events ...event.Event) (bus.Receipt, error) {
	return bus.Receipt{Accepted: len(events)}, nil
}

// BenchmarkPublish is POST /events past the network: checks, decoding, answer. The request and the recorder of
// the benchmark itself are in the figures.
func BenchmarkPublish(b *testing.B) {
	cfg := &config.Config{Dev: true}
	cfg.WithDefaults()
	h := create(b, Options{Config: cfg, Publisher: discard{}}).Handler()
	for _, c := range []struct{ name, contentType, body string }{
		{"one", js, good},
		{"array of 100", js, "[" + strings.Repeat(good+",", 99) + good + "]"},
		{"100 lines", ndjson, strings.Repeat(good+"\n", 100)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(c.body)))
			for b.Loop() {
				r := httptest.NewRequest("POST", "http://localhost/events", strings.NewReader(c.body))
				r.Header.Set("Content-Type", c.contentType)
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if w.Code != http.StatusAccepted {
					b.Fatal(w.Body.String())
				}
			}
		})
	}
}
