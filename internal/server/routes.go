package server

import (
	"net/http"
	"net/http/pprof"
	"runtime/debug"
	"strings"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/code"
)

// Handler is the main listener's handler.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/graphql", http.HandlerFunc(s.graphql))
	mux.Handle("/graphql/refresh", http.HandlerFunc(s.refresh))
	mux.Handle("/events", http.HandlerFunc(s.events))
	s.health(mux)
	if s.cfg.Dev {
		mux.Handle("/metrics", only(http.MethodGet, bounded(s.metrics())))
		if s.opts.Page != nil {
			mux.Handle("/{$}", only(http.MethodGet, bounded(s.opts.Page)))
		}
	}
	mux.HandleFunc("/", notFound)
	return s.recovering(s.addressed(s.guarded(mux)))
}

// AdminHandler is the operators' listener's handler.
func (s *Server) AdminHandler() http.Handler {
	mux := http.NewServeMux()
	s.health(mux)
	mux.Handle("/metrics", only(http.MethodGet, bounded(s.metrics())))
	mux.HandleFunc("/revocations", s.revocations)
	if s.cfg.Admin.Pprof {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	mux.HandleFunc("/", notFound)
	return s.recovering(s.operators(mux))
}

func (s *Server) metrics() http.Handler {
	if s.opts.Metrics == nil {
		return http.HandlerFunc(notFound)
	}
	return s.opts.Metrics.Handler()
}

// health adds /healthz (the process answers) and /readyz (it wants clients). They say nothing more.
func (s *Server) health(mux *http.ServeMux) {
	mux.Handle("/healthz", only(http.MethodGet, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		plain(w, http.StatusOK, "ok\n")
	})))
	mux.Handle("/readyz", only(http.MethodGet, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if s.ready.Load() && (s.opts.Ready == nil || s.opts.Ready()) {
			plain(w, http.StatusOK, "ready\n")
			return
		}
		plain(w, http.StatusServiceUnavailable, "not ready\n")
	})))
}

// graphql serves the page to browsers and everything else with the engine.
func (s *Server) graphql(w http.ResponseWriter, r *http.Request) {
	if s.cfg.Dev && s.opts.GraphQLPage != nil && (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		r.Header.Get("Upgrade") == "" && !r.URL.Query().Has("query") && accepts(r, "text/html") {
		bounded(s.opts.GraphQLPage).ServeHTTP(w, r)
		return
	}
	// What an earlier answer on this connection was given must not end a stream.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	s.opts.GraphQL.ServeHTTP(w, r)
}

// refresh takes fresh credentials for a stream that is named, as /graphql does.
func (s *Server) refresh(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get(streamHeader) == "" {
		refuse(w, http.StatusBadRequest, problem{Code: code.BadUserInput, Message: "name the stream: " + streamHeader})
		return
	}
	s.opts.GraphQL.ServeHTTP(w, r)
}

// streamHeader names a stream.
const streamHeader = "X-FraiseQL-Stream"

// accepts reports whether a media type is named in Accept.
func accepts(r *http.Request, mediaType string) bool {
	for _, header := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(header, ",") {
			name, _, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(name), mediaType) {
				return true
			}
		}
	}
	return false
}

// only refuses other methods; GET includes HEAD.
func only(method string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == method || method == http.MethodGet && r.Method == http.MethodHead {
			h.ServeHTTP(w, r)
			return
		}
		allow := method
		if method == http.MethodGet {
			allow = "GET, HEAD"
		}
		w.Header().Set("Allow", allow)
		refuse(w, http.StatusMethodNotAllowed, problem{Code: code.BadUserInput, Message: "this address takes " + allow + " only"})
	})
}

func notFound(w http.ResponseWriter, _ *http.Request) {
	refuse(w, http.StatusNotFound, problem{Code: code.BadUserInput, Message: "nothing here; there are /graphql, /events, /healthz and /readyz"})
}

// recovering turns a panic into a 500, logged with its stack.
func (s *Server) recovering(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v == http.ErrAbortHandler {
				panic(v)
			}
			s.log.Error("panic in a handler", "panic", v, "stack", string(debug.Stack()))
			refuse(w, http.StatusInternalServerError, problem{Code: code.InternalServerError, Message: "internal error"})
		}()
		h.ServeHTTP(w, r)
	})
}
