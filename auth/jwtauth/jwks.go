package jwtauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go/identity"
)

// JWKSOptions sets how the keys of a JWKSURL are fetched. Zero members mean the default in the comment.
type JWKSOptions struct {
	// Refresh is the age at which keys are fetched again in the background, 15 min.
	Refresh time.Duration
	// MaxAge is the age at which keys are no longer used, if they could not be fetched again, 24 h.
	MaxAge time.Duration
	// Interval is the shortest time between two fetches, whatever tokens arrive, 30 s. A new key is found
	// within it.
	Interval time.Duration
	// Timeout bounds one fetch, 5 s.
	Timeout time.Duration
	// Client fetches; nil: one of our own, which uses the proxy of the environment.
	Client *http.Client
}

const (
	maxKeySetBytes = 1 << 20
	maxRedirects   = 3
)

func (o JWKSOptions) withDefaults() JWKSOptions {
	for _, d := range []struct {
		at     *time.Duration
		preset time.Duration
	}{{&o.Refresh, 15 * time.Minute}, {&o.MaxAge, 24 * time.Hour}, {&o.Interval, 30 * time.Second}, {&o.Timeout, 5 * time.Second}} {
		if *d.at <= 0 {
			*d.at = d.preset
		}
	}
	client := http.Client{}
	if o.Client != nil {
		client = *o.Client
	}
	client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return errors.New("too many redirects")
		}
		return checkURL(req.URL)
	}
	o.Client = &client
	return o
}

// keySet is a cache of the keys at a URL. At most one fetch runs at a time, at most one per Interval; there
// is no timer and, between fetches, no goroutine.
type keySet struct {
	url     string
	options JWKSOptions
	now     func() time.Time
	current atomic.Pointer[fetched]

	ctx    context.Context // of fetches
	cancel context.CancelFunc
	wait   sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	last    time.Time     // begin of the newest fetch
	running chan struct{} // closed when it is done; nil: none runs
	err     error         // of the newest fetch
}

type fetched struct {
	keys []verifier
	at   time.Time
}

func newKeySet(raw string, o JWKSOptions, now func() time.Time) (*keySet, error) {
	u, err := url.Parse(raw)
	if err == nil {
		err = checkURL(u)
	} else {
		err = errors.New("is not a URL")
	}
	if err != nil {
		return nil, fmt.Errorf("JWKS URL: %w", err)
	}
	s := &keySet{url: raw, options: o.withDefaults(), now: now}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// checkURL refuses addresses at which somebody on the way could put keys of his own.
func checkURL(u *url.URL) error {
	host := u.Hostname()
	ip := net.ParseIP(host)
	switch {
	case host == "" || u.User != nil:
		return errors.New("must have a host and no user")
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && (host == "localhost" || ip != nil && ip.IsLoopback()):
		return nil
	}
	return errors.New("must be https (http only on a loopback address)")
}

// key finds a key among those held; when there is none, or they are too old, it fetches them first.
func (s *keySet) key(ctx context.Context, kid, alg string) (any, error) {
	if key, ok, err := s.find(kid, alg); ok {
		return key, err
	}
	if err := s.refresh(ctx); err != nil {
		if f := s.usable(); f == nil {
			return nil, &identity.Error{Reason: identity.KeysUnavailable, Detail: err.Error()}
		}
	}
	key, ok, err := s.find(kid, alg)
	if !ok {
		return nil, &identity.Error{Reason: identity.Signature, Detail: "no key of that id and algorithm"}
	}
	return key, err
}

// usable returns the keys held, unless they are too old.
func (s *keySet) usable() *fetched {
	f := s.current.Load()
	if f == nil || s.now().Sub(f.at) > s.options.MaxAge {
		return nil
	}
	return f
}

// find looks among the keys held. A token without a kid finds a key only if exactly one fits its algorithm.
func (s *keySet) find(kid, alg string) (key any, ok bool, err error) {
	f := s.usable()
	if f == nil {
		return nil, false, nil
	}
	if s.now().Sub(f.at) > s.options.Refresh {
		s.begin()
	}
	named := false
	for i := range f.keys {
		k := &f.keys[i]
		if kid != "" && k.kid != kid {
			continue
		}
		named = true
		if !slices.Contains(k.algorithms, alg) {
			continue
		}
		if key != nil {
			return nil, true, malformed("no kid, or one that several keys have")
		}
		key = k.value
	}
	if key == nil && named && kid != "" {
		return nil, true, &identity.Error{Reason: identity.Algorithm, Detail: "the key of that id is for another algorithm"}
	}
	return key, key != nil, nil
}

// errRecently is why nothing was fetched.
var errRecently = errors.New("keys were fetched a moment ago")

// refresh fetches keys, or waits for the fetch that runs. It returns its error, or errRecently when the
// interval forbids another one and the last one went well.
func (s *keySet) refresh(ctx context.Context) error {
	running, err := s.begin()
	if running == nil {
		return err
	}
	select {
	case <-running:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// begin starts a fetch unless one runs or ran within the interval. running is nil when none runs; err then
// says why.
func (s *keySet) begin() (running <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch now := s.now(); {
	case s.closed:
		return nil, errors.New("closed")
	case s.running != nil:
		return s.running, nil
	case !s.last.IsZero() && now.Sub(s.last) < s.options.Interval:
		if s.err != nil {
			return nil, s.err
		}
		return nil, errRecently
	default:
		s.last = now
	}
	done := make(chan struct{})
	s.running = done
	s.wait.Go(func() {
		keys, err := s.fetch()
		if err == nil {
			s.current.Store(&fetched{keys: keys, at: s.now()})
		}
		s.mu.Lock()
		s.err, s.running = err, nil
		s.mu.Unlock()
		close(done)
	})
	return done, nil
}

// takeOver goes on from another one of the same URL, which may be in use. A fetch that it has begun does not count: it may
// be broken off.
func (s *keySet) takeOver(from *keySet) {
	s.current.Store(from.current.Load())
	from.mu.Lock()
	last, err := from.last, from.err
	if from.running != nil {
		last = time.Time{}
	}
	from.mu.Unlock()
	s.mu.Lock()
	s.last, s.err = last, err
	s.mu.Unlock()
	_, _ = s.begin() // what is wrong with it shows when a token needs a key
}

func (s *keySet) fetch() ([]verifier, error) {
	ctx, cancel := context.WithTimeout(s.ctx, s.options.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := s.options.Client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch keys: status %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySetBytes+1))
	if err != nil {
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	if len(body) > maxKeySetBytes {
		return nil, errors.New("fetch keys: the JWK set is larger than 1 MiB")
	}
	keys, err := parseKeySet(body)
	if err != nil {
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	return keys, nil
}

func (s *keySet) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.wait.Wait()
}
