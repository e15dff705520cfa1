package jwtauth

import (
	"encoding/base64"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// header is what is used of a token's header.
type header struct{ alg, kid string }

// maxKeyID is the length of the longest kid.
const maxKeyID = 256

func malformed(detail string) *identity.Error {
	return &identity.Error{Reason: identity.Malformed, Detail: detail}
}

// inspect looks at a token before any key does: its size and form, the algorithm, and what would make two
// readers of it disagree (members that occur twice, critical extensions).
func inspect(token string, algorithms []string) (h header, err error) {
	if len(token) > MaxTokenBytes {
		return h, malformed("larger than 16 KiB")
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return h, malformed("not three parts")
	}
	var head, claims jsontape.Tape
	if err := object(&head, parts[0]); err != nil {
		return h, err
	}
	if err := object(&claims, parts[1]); err != nil {
		return h, err
	}
	if strings.ContainsAny(parts[2], "\r\n") { // base64 leaves them out: one signature would have many texts
		return h, malformed("not base64url")
	}
	for _, member := range []string{"crit", "b64", "cty", "zip", "enc"} {
		if head.Member(jsontape.Root, member) != jsontape.None {
			return h, malformed("header member " + member + " is not supported")
		}
	}
	if r := head.Member(jsontape.Root, "typ"); r != jsontape.None {
		typ, err := text(&head, r, "typ")
		if err != nil {
			return h, err
		}
		if !slices.Contains(tokenTypes, strings.ToLower(typ)) {
			return h, malformed("typ is not that of an access token")
		}
	}
	if r := head.Member(jsontape.Root, "kid"); r != jsontape.None {
		if h.kid, err = text(&head, r, "kid"); err != nil || len(h.kid) > maxKeyID || h.kid == "" {
			return h, malformed("kid is not a string of 1 to 256 bytes")
		}
	}
	if h.alg, err = text(&head, head.Member(jsontape.Root, "alg"), "alg"); err != nil {
		return h, err
	}
	if !slices.Contains(algorithms, h.alg) {
		return h, &identity.Error{Reason: identity.Algorithm}
	}
	return h, nil
}

// tokenTypes are the values of typ that are taken (in lower case): RFC 7519 and RFC 9068.
var tokenTypes = []string{"jwt", "application/jwt", "at+jwt", "application/at+jwt"}

func text(t *jsontape.Tape, r jsontape.Ref, member string) (string, error) {
	if t.Kind(r) != jsontape.String {
		return "", malformed("header member " + member + " is not a string")
	}
	return string(t.Text(r, nil)), nil
}

// maxClaimDepth is how deep claims may nest.
const maxClaimDepth = 32

// object decodes one part of a token: base64url without padding of a JSON object (RFC 8259, UTF-8) in which no name occurs
// twice, at any depth.
func object(t *jsontape.Tape, part string) error {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil || strings.ContainsAny(part, "\r\n") {
		return malformed("not base64url")
	}
	if t.Parse(raw, jsontape.Limits{Depth: maxClaimDepth, Bytes: MaxTokenBytes}) != nil || t.Kind(jsontape.Root) != jsontape.Object {
		return malformed("not a JSON object in UTF-8, or nested too deep")
	}
	if !unique(t, jsontape.Root) {
		return malformed("a member occurs twice, or its name is no text")
	}
	return nil
}

// unique reports whether each object in a value has each name once, whoever reads it. A name with half a surrogate pair has none: other
// readers make U+FFFD of each half, and one name of several.
func unique(t *jsontape.Tape, r jsontape.Ref) bool {
	if t.Duplicate(r) != jsontape.None {
		return false
	}
	named := t.Kind(r) == jsontape.Object
	var buf [64]byte
	for c := t.First(r); c != jsontape.None; c = t.After(r, c) {
		if named && !utf8.Valid(t.NameText(c, buf[:0])) || !unique(t, c) {
			return false
		}
	}
	return true
}
