package jwtauth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"slices"
	"strings"

	"github.com/fraiseql/fraiseql-go/identity"
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
	head, err := object(parts[0])
	if err != nil {
		return h, err
	}
	if _, err := object(parts[1]); err != nil {
		return h, err
	}
	if strings.ContainsAny(parts[2], "\r\n") { // base64 leaves them out: one signature would have many texts
		return h, malformed("not base64url")
	}
	for _, member := range []string{"crit", "b64", "cty", "zip", "enc"} {
		if _, ok := head[member]; ok {
			return h, malformed("header member " + member + " is not supported")
		}
	}
	if raw, ok := head["typ"]; ok {
		typ, err := text(raw, "typ")
		if err != nil {
			return h, err
		}
		if !slices.Contains(tokenTypes, strings.ToLower(typ)) {
			return h, malformed("typ is not that of an access token")
		}
	}
	if raw, ok := head["kid"]; ok {
		if h.kid, err = text(raw, "kid"); err != nil || len(h.kid) > maxKeyID || h.kid == "" {
			return h, malformed("kid is not a string of 1 to 256 bytes")
		}
	}
	if h.alg, err = text(head["alg"], "alg"); err != nil {
		return h, err
	}
	if !slices.Contains(algorithms, h.alg) {
		return h, &identity.Error{Reason: identity.Algorithm}
	}
	return h, nil
}

// tokenTypes are the values of typ that are taken (in lower case): RFC 7519 and RFC 9068.
var tokenTypes = []string{"jwt", "application/jwt", "at+jwt", "application/at+jwt"}

func text(raw json.RawMessage, member string) (s string, err error) {
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return "", malformed("header member " + member + " is not a string")
	}
	return s, nil
}

// object decodes one part of a token: base64url without padding of a JSON object in which no name occurs
// twice, at any depth.
func object(part string) (map[string]json.RawMessage, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil || strings.ContainsAny(part, "\r\n") {
		return nil, malformed("not base64url")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	first, err := dec.Token()
	if err != nil || first != json.Delim('{') {
		return nil, malformed("not a JSON object")
	}
	if !unique(dec, '{', 1) {
		return nil, malformed("not JSON, nested too deep, or a member occurs twice")
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, malformed("something follows the JSON object")
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return nil, malformed("not a JSON object")
	}
	return members, nil
}

// maxClaimDepth is how deep claims may nest.
const maxClaimDepth = 32

// unique reads the rest of an object or array and reports whether it is JSON without repeated names.
func unique(dec *json.Decoder, open json.Delim, depth int) bool {
	if depth > maxClaimDepth {
		return false
	}
	names := map[string]bool{}
	for dec.More() {
		if open == '{' {
			name, err := dec.Token()
			text, ok := name.(string)
			if err != nil || !ok || names[text] {
				return false
			}
			names[text] = true
		}
		value, err := dec.Token()
		if err != nil {
			return false
		}
		if d, ok := value.(json.Delim); ok && !unique(dec, d, depth+1) {
			return false
		}
	}
	_, err := dec.Token() // the end of the object or array
	return err == nil
}
