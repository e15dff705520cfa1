package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/wsclient"
)

// start serves the example.
func start(t *testing.T) (*service, string) {
	t.Helper()
	s, err := newService()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.handler)
	t.Cleanup(func() {
		if err := s.engine.Close(context.Background()); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	return s, server.URL
}

// subscribe starts a subscription, waits until it is live and returns its results.
func subscribe(t *testing.T, s *service, url, key, query string) <-chan string {
	t.Helper()
	live := s.engine.Stats().Subscriptions
	results := make(chan string, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- wsclient.Run(ctx, wsclient.Config{URL: url + "/graphql", Token: key, Query: query}, func(result json.RawMessage) error {
			results <- string(result)
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("subscription ended: %v", err)
		}
	})
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); s.engine.Stats().Subscriptions != live+1; <-tick.C {
		if time.Now().After(end) {
			t.Fatal("the subscription did not start")
		}
	}
	return results
}

// order places an order and returns the status of the answer.
func order(t *testing.T, url, key, body string) int {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url+"/orders", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	return res.StatusCode
}

// TestOrdersReachTheirTenant places orders of two tenants and looks at what four subscriptions receive.
func TestOrdersReachTheirTenant(t *testing.T) {
	s, url := start(t)
	acme := subscribe(t, s, url, "key-of-acme", `subscription { orderPlaced { id item quantity } }`)
	coffee := subscribe(t, s, url, "key-of-acme", `subscription { orderPlaced(item: "coffee") { id } }`)
	stock := subscribe(t, s, url, "key-of-acme", `subscription { stock(item: "tea") { item left } }`)
	globex := subscribe(t, s, url, "key-of-globex", `subscription { orderPlaced { id } }`)

	for _, placed := range []struct{ key, body string }{
		{"key-of-acme", `{"item":"tea","quantity":2}`},
		{"key-of-globex", `{"item":"tea","quantity":3}`},
		{"key-of-acme", `{"item":"coffee","quantity":1}`},
	} {
		if status := order(t, url, placed.key, placed.body); status != http.StatusCreated {
			t.Fatalf("order %s: status %d", placed.body, status)
		}
	}
	for _, want := range []struct {
		name    string
		results <-chan string
		result  string
	}{
		{"acme", acme, `{"data":{"orderPlaced":{"id":"1","item":"tea","quantity":2}}}`},
		{"acme", acme, `{"data":{"orderPlaced":{"id":"3","item":"coffee","quantity":1}}}`},
		{"coffee", coffee, `{"data":{"orderPlaced":{"id":"3"}}}`},
		{"globex", globex, `{"data":{"orderPlaced":{"id":"2"}}}`},
	} {
		if got := <-want.results; got != want.result {
			t.Errorf("%s received %s, want %s", want.name, got, want.result)
		}
	}
	var got struct {
		Data struct{ Stock struct{ Left int } }
	}
	if err := json.Unmarshal([]byte(<-stock), &got); err != nil || got.Data.Stock.Left > 98 || got.Data.Stock.Left < 95 {
		t.Errorf("stock: %+v, %v", got, err)
	}
}

// TestWrongKeysAreRefused tries both doors.
func TestWrongKeysAreRefused(t *testing.T) {
	_, url := start(t)
	if status := order(t, url, "key-of-nobody", `{"item":"tea"}`); status != http.StatusUnauthorized {
		t.Errorf("order with a wrong key: status %d", status)
	}
	err := wsclient.Run(t.Context(), wsclient.Config{URL: url + "/graphql", Token: "key-of-nobody", Query: "subscription { orderPlaced { id } }", Final: []int{4403}}, func(json.RawMessage) error { return nil })
	var closed *wsclient.CloseError
	if !errors.As(err, &closed) || closed.Code != 4403 {
		t.Errorf("subscription with a wrong key: %v", err)
	}
}
