package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/revoke"
)

const (
	// revocationBytes bounds the body of POST /revocations.
	revocationBytes   = 16 << 10
	revocationTimeout = 10 * time.Second
)

// revocations is POST /revocations of the operators' listener: one rule, in force on every node.
func (s *Server) revocations(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, problem{Code: code.BadUserInput, Message: "credentials are revoked with POST"})
		return
	}
	if status, no := s.operator(r); status != 0 {
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer realm="admin"`)
		}
		refuse(w, status, no)
		return
	}
	rule, status, no := readRevocation(w, r)
	if status != 0 {
		refuse(w, status, no)
		return
	}
	// Once begun it is finished, even if the client goes away.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), revocationTimeout)
	defer cancel()
	s.revoke(w, s.opts.Revoke(ctx, fraiseql.Revocation(rule)))
}

// revoke answers with what became of a revocation.
func (s *Server) revoke(w http.ResponseWriter, err error) {
	var refused *fraiseql.Error
	switch {
	case err == nil:
		answer(w, http.StatusAccepted, struct {
			Accepted int `json:"accepted"`
		}{1})
	case errors.As(err, &refused):
		refuse(w, code.Status(refused.Code), problem{Code: refused.Code, Message: refused.Message})
	case errors.Is(err, bus.ErrUnavailable), errors.Is(err, bus.ErrClosed), errors.Is(err, context.DeadlineExceeded):
		s.log.Warn("bus unavailable", "error", err)
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, problem{Code: code.BusUnavailable, Message: "the bus did not acknowledge the revocation, or it was not put in force in time: send it again"})
	default:
		s.log.Error("revocation failed", "error", err)
		refuse(w, http.StatusInternalServerError, problem{Code: code.InternalServerError, Message: "internal error"})
	}
}

// operator judges who uses an endpoint that changes something; a status other than 0 is a refusal.
func (s *Server) operator(r *http.Request) (int, problem) {
	values := r.Header.Values("Authorization")
	admin := s.admin.Load()
	if admin == nil || s.opts.Revoke == nil {
		return http.StatusForbidden, problem{Code: code.Forbidden, Message: "this endpoint is off: no admin.token is configured"}
	}
	if len(values) == 0 {
		return http.StatusUnauthorized, problem{Code: code.Unauthenticated, Message: "the operators' token is needed: Authorization: Bearer …"}
	}
	scheme, value, ok := strings.Cut(values[0], " ")
	if len(values) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") || admin.Find(strings.TrimLeft(value, " ")) == nil {
		return http.StatusUnauthorized, problem{Code: code.Unauthenticated, Message: "the operators' token is not valid"}
	}
	return 0, problem{}
}

// readRevocation reads the body; a status other than 0 is a refusal.
func readRevocation(w http.ResponseWriter, r *http.Request) (rule revoke.Rule, status int, no problem) {
	if lines, refusal := mediaType(r.Header); refusal != nil || lines {
		return rule, http.StatusUnsupportedMediaType, problem{Code: code.BadUserInput, Message: "Content-Type must be application/json"}
	}
	// A recorder in a test has no deadlines; a server always does.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, revocationBytes))
	if err != nil {
		return rule, http.StatusRequestEntityTooLarge, problem{Code: code.LimitExceeded, Message: "the body is larger than 16 KiB, or did not come to its end"}
	}
	rule, err = revoke.ParseRequest(body)
	if wrong := (*revoke.Error)(nil); errors.As(err, &wrong) {
		return rule, code.Status(wrong.Code), problem{Code: wrong.Code, Message: wrong.Message, Member: wrong.Member}
	}
	if rule == (revoke.Rule{}) {
		return rule, http.StatusUnprocessableEntity, problem{Code: code.InvalidValue, Message: "name a token_id, a user_id or a tenant_id; for everybody, say issued_before"}
	}
	return rule, 0, problem{}
}
