package event

import (
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of the envelope.
const (
	// MaxName is the length in bytes of the longest channel, type or id.
	MaxName = 255
	// MaxAddress is the length in bytes of the longest tenant, user, federation or service value.
	MaxAddress = 255
	// MaxData is the default bound of Data in bytes; the engine's configuration may set another.
	MaxData = 1 << 20
	// MaxDepth is the default bound of nesting in Data.
	MaxDepth = 64
)

// CodeInvalidValue is the client-visible code of every error of this package.
const CodeInvalidValue = "INVALID_VALUE"

// Error says what is wrong with an event. Its text is safe to show to whoever published it.
type Error struct {
	Code    string // of docs/reference/errors.md, nearly always INVALID_VALUE
	Member  string // of the envelope; empty when it is the event as a whole
	Message string // does not repeat the member
	Index   int    // of the event within its batch, 0 for a single one
	Limit   string // of LIMIT_EXCEEDED: the key of `limits` that was exceeded; empty where there is none
}

// Error returns the text with the member in front of it.
func (e *Error) Error() string {
	if e.Member == "" {
		return "event: " + e.Message
	}
	return "event " + e.Member + ": " + e.Message
}

// The errors of Validate are made once: refusing costs no allocation either.
var (
	errChannel   = nameErrors("channel")
	errType      = nameErrors("type")
	errID        = nameErrors("id")
	errTenant    = nameErrors("tenant_id")
	errUser      = nameErrors("user_id")
	errFed       = nameErrors("federation_id")
	errService   = nameErrors("service_name")
	errReserved  = invalid("channel", "begins with __ or $, which are reserved")
	errWildcard  = invalid("channel", "contains one of * > { }, which are reserved")
	errTimestamp = invalid("timestamp", "the year must be between 0000 and 9999, to be written as RFC 3339")
	errData      = invalid("data", "is required and must be a JSON object")
	errBroadcast = invalid("broadcast", "cannot be combined with tenant_id or user_id: a broadcast reaches everybody")
)

// textErrors are the ways in which one member can be wrong.
type textErrors struct{ missing, long, utf8, control, space *Error }

func invalid(member, message string) *Error {
	return &Error{Code: CodeInvalidValue, Member: member, Message: message}
}

func nameErrors(member string) *textErrors {
	return &textErrors{
		missing: invalid(member, "is required and must not be empty"),
		long:    invalid(member, "is longer than 255 bytes"),
		utf8:    invalid(member, "is not valid UTF-8"),
		control: invalid(member, "contains a control character"),
		space:   invalid(member, "contains white space"),
	}
}

// Validate checks the envelope by the rules of docs/reference/http.md and returns the first thing that is wrong. An
// absent id or timestamp is right: Publish fills them in. The content of Data is not looked at, only that
// there is some. It does not allocate: the errors are shared, and must be copied before they are changed.
func (e *Event) Validate() *Error {
	if err := ValidateChannel(e.Channel); err != nil {
		return err
	}
	if err := ValidateType(e.Type); err != nil {
		return err
	}
	if e.ID != "" {
		if err := checkName(e.ID, errID); err != nil {
			return err
		}
	}
	if err := e.validateAddresses(); err != nil {
		return err
	}
	if !writable(e.Timestamp) {
		return errTimestamp
	}
	if len(e.Data) == 0 {
		return errData
	}
	return nil
}

// writable reports whether a time has the form of RFC 3339: the year has four digits.
func writable(t time.Time) bool {
	const from, to = -62_135_510_400, 253_370_678_400 // a day after the year 1 begins and a day before 9999 does, whatever the zone
	if s := t.Unix(); s >= from && s < to || t.IsZero() {
		return true
	}
	y := t.Year()
	return y >= 0 && y <= 9999
}

func (e *Event) validateAddresses() *Error {
	if e.TenantID == "" && e.UserID == "" && e.FederationID == "" && e.ServiceName == "" {
		return nil
	}
	if e.Broadcast && (e.TenantID != "" || e.UserID != "") {
		return errBroadcast
	}
	if err := checkAddress(e.TenantID, errTenant); err != nil {
		return err
	}
	if err := checkAddress(e.UserID, errUser); err != nil {
		return err
	}
	if err := checkAddress(e.FederationID, errFed); err != nil {
		return err
	}
	return checkAddress(e.ServiceName, errService)
}

// ValidateChannel checks a channel name as every door does, @source included: 1 to 255 bytes of UTF-8
// without control characters and white space, not beginning with __ or $, without * > { }.
func ValidateChannel(name string) *Error {
	bits := classes(name)
	if err := checkClasses(name, bits, errChannel); err != nil {
		return err
	}
	if name[0] == '$' || len(name) > 1 && name[0] == '_' && name[1] == '_' {
		return errReserved
	}
	if bits&wildcard != 0 {
		return errWildcard
	}
	return nil
}

// ValidateType checks an event type as every door does, @source included: as ValidateChannel, but no text is
// reserved.
func ValidateType(name string) *Error { return checkName(name, errType) }

// What bytes are, as far as the rules ask.
const (
	unusual  uint8 = 1 << iota // a control character, or part of a character beyond ASCII
	space                      // the space
	wildcard                   // * > { }
)

// class has the bits of each byte.
var class = func() (c [256]uint8) {
	for b := range c {
		if b < ' ' || b >= 0x7f {
			c[b] = unusual
		}
	}
	c[' '] = space
	c['*'], c['>'], c['{'], c['}'] = wildcard, wildcard, wildcard, wildcard
	return c
}()

// classes returns the bits of all bytes of a text.
func classes(s string) (bits uint8) {
	for i := range len(s) {
		bits |= class[s[i]]
	}
	return bits
}

// checkName applies the rules of channel, type and id.
func checkName(s string, errs *textErrors) *Error { return checkClasses(s, classes(s), errs) }

func checkClasses(s string, bits uint8, errs *textErrors) *Error {
	switch {
	case s == "":
		return errs.missing
	case len(s) > MaxName:
		return errs.long
	case bits&(unusual|space) != 0:
		return checkRunes(s, errs, true)
	}
	return nil
}

// checkAddress applies the rules of tenant, user, federation and service values: as names, but absent is
// fine and spaces are too.
func checkAddress(s string, errs *textErrors) *Error {
	if len(s) > MaxAddress {
		return errs.long
	}
	if classes(s)&unusual != 0 {
		return checkRunes(s, errs, false)
	}
	return nil
}

// checkRunes is the slow path, for texts with bytes that need a look.
func checkRunes(s string, errs *textErrors, spaces bool) *Error {
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return errs.utf8
		case spaces && unicode.IsSpace(r):
			return errs.space
		case unicode.IsControl(r):
			return errs.control
		}
		i += size
	}
	return nil
}
