package server

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/config"
	"github.com/fraiseql/fraiseql-go/internal/origin"
	"github.com/fraiseql/fraiseql-go/observe"
)

// guard judges Host and Origin.
type guard struct {
	dev        bool
	anyAddress bool
	listenHost string
	pages      atomic.Pointer[pages]
}

func newGuard(c *config.Config) *guard {
	g := &guard{dev: c.Dev, anyAddress: c.DevAnyAddress}
	if host, _, err := net.SplitHostPort(c.Listen); err == nil {
		g.listenHost = strings.ToLower(host)
	}
	g.setPages(c)
	return g
}

// pages says which other pages may connect, and whether a cookie may say who their users are. It does not change: another
// takes its place.
type pages struct {
	origins origin.List
	cookies bool
}

// setPages changes which other pages may connect.
func (g *guard) setPages(c *config.Config) {
	list, _ := origin.Parse(c.Origins) // config has refused what is none
	g.pages.Store(&pages{list, c.Auth.JWT.Cookie != ""})
}

// host reports whether a request's Host is a name of ours. Under --dev everything is open on this machine, so a
// web page that rebinds its own name to a loopback address must not get through.
func (g *guard) host(host string) bool {
	return !g.dev || ours(host, g.listenHost, g.anyAddress)
}

// ours reports whether a Host is a loopback address, localhost or the name that we listen to; with anyAddress every
// address is one.
func ours(host, listenHost string, anyAddress bool) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.ToLower(strings.Trim(name, "[]")), ".")
	if name == "localhost" || strings.HasSuffix(name, ".localhost") || name == listenHost && name != "" {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && (ip.Unmap().IsLoopback() || anyAddress)
}

// origin reports whether a page may talk to us: it is served from the request's own host, or is in `origins`.
// A request without Origin does not come from a page.
func (g *guard) origin(r *http.Request) (allowed, cross bool) {
	v := g.pages.Load().origins.Judge(r)
	return v != origin.Foreign, v != origin.Absent && v != origin.Own
}

// addressed finds out who sent a request, by which name and scheme, before anything looks at it.
func (s *Server) addressed(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Scheme = "" // a client can write one into the request line
		if r.TLS != nil {
			r.URL.Scheme = "https"
		}
		s.proxies.Load().Apply(r)
		h.ServeHTTP(w, r)
	})
}

// guarded refuses requests of foreign hosts and origins before anything else looks at them, and answers the
// preflight requests of allowed pages.
func (s *Server) guarded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.guard.host(r.Host) {
			s.count(observe.ConnectionsRefused, "origin")
			refuse(w, http.StatusForbidden, problem{Code: code.Forbidden, Message: "this Host is not served under --dev; use localhost, or the name given to --listen"})
			return
		}
		w.Header().Add("Vary", "Origin")
		allowed, cross := s.guard.origin(r)
		if !allowed {
			s.count(observe.ConnectionsRefused, "origin")
			refuse(w, http.StatusForbidden, problem{Code: code.Forbidden, Message: "pages of this origin may not connect; add it to `origins`"})
			return
		}
		if cross && s.guard.cors(w, r) {
			return
		}
		h.ServeHTTP(w, r)
	})
}

// operators refuses requests to the operators' listener that a web page makes. One that listens on this machine only is
// reached by names of this machine only: so a page that rebinds its own name to a loopback address (which is then neither
// foreign nor cross-site to a browser) gets nothing. Elsewhere any name may lead here.
func (s *Server) operators(h http.Handler) http.Handler {
	listenHost, _, _ := net.SplitHostPort(strings.ToLower(s.cfg.Admin.Listen))
	local := ours(listenHost, "", false)
	var own origin.List
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		site := r.Header.Get("Sec-Fetch-Site")
		switch {
		case local && !ours(r.Host, listenHost, true):
			refuse(w, http.StatusForbidden, problem{Code: code.Forbidden, Message: "admin.listen is an address of this machine: call it by an address or localhost, not by another Host"})
		case own.Judge(r) == origin.Foreign, site == "cross-site", site == "same-site":
			refuse(w, http.StatusForbidden, problem{Code: code.Forbidden, Message: "web pages may not call the operators' endpoints"})
		default:
			h.ServeHTTP(w, r)
			return
		}
		s.count(observe.ConnectionsRefused, "origin")
	})
}

// allowedHeaders are those that pages may send: ours, and what client libraries add.
const allowedHeaders = "Accept, Authorization, Content-Type, Last-Event-ID, X-GraphQL-Event-Stream-Token, X-FraiseQL-Stream, " +
	"Apollo-Require-Preflight, X-Apollo-Operation-Name, X-Requested-With, Traceparent, Tracestate"

// cors sets the headers that let an allowed page read the answer; done is true for a preflight request.
func (g *guard) cors(w http.ResponseWriter, r *http.Request) (done bool) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
	h.Set("Access-Control-Expose-Headers", "Retry-After, X-FraiseQL-Stream")
	if p := g.pages.Load(); p.cookies && !p.origins.Everyone() {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE")
	h.Set("Access-Control-Allow-Headers", allowedHeaders)
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}

func (s *Server) count(c observe.Counter, label string) {
	if s.opts.Metrics != nil {
		s.opts.Metrics.Counted(c, label, 1)
	}
}
