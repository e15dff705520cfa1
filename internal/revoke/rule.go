// Package revoke holds the rules by which credentials are refused before they end: a bounded set, and the form in which
// nodes tell each other of them.
package revoke

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/fraiseql/fraiseql-go/identity"
)

// Rule says which credentials are refused: those for which everything that is set holds.
type Rule struct {
	TokenID  string
	UserID   string
	TenantID string
	// IssuedBefore refuses credentials that were issued before; zero: whenever.
	IssuedBefore time.Time
}

// maxText bounds each text of a rule, in bytes.
const maxText = 1024

// Validate says what is wrong with a rule.
func (r *Rule) Validate() error {
	for _, f := range []struct{ name, text string }{{"token_id", r.TokenID}, {"user_id", r.UserID}, {"tenant_id", r.TenantID}} {
		if len(f.text) > maxText || !utf8.ValidString(f.text) {
			return fmt.Errorf("%s must be at most %d bytes of UTF-8", f.name, maxText)
		}
	}
	if r.TokenID == "" && r.IssuedBefore.IsZero() {
		return errors.New("issued_before is needed without token_id")
	}
	// Other times nobody means, and not all of them can be written for the other nodes.
	if year := r.IssuedBefore.UTC().Year(); !r.IssuedBefore.IsZero() && (year < 1970 || year > 9999) {
		return errors.New("issued_before must be between the years 1970 and 9999")
	}
	return nil
}

// names reports whether an identity is one of credentials that the rule names, whenever they were issued.
func (r *Rule) names(who *identity.Identity) bool {
	return (r.TokenID == "" || r.TokenID == who.TokenID) && (r.UserID == "" || r.UserID == who.UserID) && (r.TenantID == "" || r.TenantID == who.TenantID)
}

// wire is a rule between nodes. Members that are not known are ignored.
type wire struct {
	TokenID      string     `json:"token_id,omitempty"`
	UserID       string     `json:"user_id,omitempty"`
	TenantID     string     `json:"tenant_id,omitempty"`
	IssuedBefore *time.Time `json:"issued_before,omitempty"`
}

// Append appends the rule as a JSON object.
func (r *Rule) Append(dst []byte) []byte {
	w := wire{TokenID: r.TokenID, UserID: r.UserID, TenantID: r.TenantID}
	if !r.IssuedBefore.IsZero() {
		at := r.IssuedBefore.UTC()
		w.IssuedBefore = &at
	}
	// Texts and a time that Validate has seen: they can always be written.
	text, _ := json.Marshal(w)
	return append(dst, text...)
}

// Parse reads what Append writes: what other nodes say.
func Parse(text []byte) (r Rule, err error) {
	var w wire
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&w); err != nil {
		return r, errors.New("a rule is a JSON object of token_id, user_id, tenant_id (texts) and issued_before (RFC 3339)")
	}
	if _, err := dec.Token(); err != io.EOF {
		return r, errors.New("one rule at a time")
	}
	r = Rule{TokenID: w.TokenID, UserID: w.UserID, TenantID: w.TenantID}
	if w.IssuedBefore != nil {
		r.IssuedBefore = w.IssuedBefore.UTC() // so that equal rules are equal by ==
	}
	return r, nil
}
