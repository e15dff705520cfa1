//go:build linux

package embed

import (
	"math"
	"strconv"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// maxConfig bounds a configuration with the schema in it.
const maxConfig = 64 << 20

// member is one value of a JSON object that is being read, with what says where it is. null is absent.
type member struct {
	t    *jsontape.Tape
	ref  jsontape.Ref
	path string
	errs *[]error
}

// readObject reads a JSON object: each member goes to known, which answers false for a name that it does not know.
// Every problem is reported, by the path of the member.
func readObject(text []byte, name string, known func(name string, m member) bool) []error {
	var t jsontape.Tape
	var errs []error
	if err := t.Parse(text, jsontape.Limits{Bytes: maxConfig}); err != nil {
		return append(errs, bad(name, "is not JSON: "+err.Error()))
	}
	root := member{t: &t, ref: jsontape.Root, errs: &errs}
	if t.Kind(jsontape.Root) != jsontape.Object {
		return append(errs, bad(name, "must be a JSON object"))
	}
	root.members(known)
	return errs
}

// members reads the members of an object.
func (m member) members(known func(name string, m member) bool) {
	if m.null() {
		return
	}
	if m.t.Kind(m.ref) != jsontape.Object {
		m.wrong("an object")
		return
	}
	if twice := m.t.Duplicate(m.ref); twice != jsontape.None {
		name := string(m.t.AppendName(nil, twice))
		member{path: m.join(name), errs: m.errs}.fail("is there twice")
		return
	}
	for at := m.t.First(m.ref); at != jsontape.None; at = m.t.After(m.ref, at) {
		var buf [32]byte
		name := string(m.t.NameText(at, buf[:0]))
		inner := member{m.t, at, m.join(name), m.errs}
		if !known(name, inner) {
			inner.fail("is not known")
		}
	}
}

func (m member) join(name string) string {
	if m.path == "" {
		return name
	}
	return m.path + "." + name
}

func (m member) null() bool { return m.t.Kind(m.ref) == jsontape.Null }

func (m member) fail(message string) { *m.errs = append(*m.errs, bad(m.path, message)) }

// wrong reports a value of another type.
func (m member) wrong(want string) {
	kinds := [...]string{
		jsontape.False: "a boolean", jsontape.True: "a boolean", jsontape.Number: "a number", jsontape.String: "a string",
		jsontape.Array: "a list", jsontape.Object: "an object",
	}
	m.fail("must be " + want + ", not " + kinds[m.t.Kind(m.ref)])
}

func (m member) text(dst *string) {
	switch {
	case m.null():
	case m.t.Kind(m.ref) == jsontape.String:
		*dst = string(m.t.AppendString(nil, m.ref))
	default:
		m.wrong("a string")
	}
}

// address reads a user or tenant: a string that is not empty, or an integer, which is its decimal text.
func (m member) address(dst *string) {
	if m.t.IsInteger(m.ref) {
		*dst = string(m.t.Raw(m.ref))
		return
	}
	kind := m.t.Kind(m.ref)
	if m.null() {
		return
	}
	if kind != jsontape.String {
		m.wrong("a string or an integer")
		return
	}
	if m.text(dst); *dst == "" {
		m.fail("must not be empty: leave it out")
	}
}

func (m member) flag(dst *bool) {
	switch m.t.Kind(m.ref) {
	case jsontape.Null:
	case jsontape.True:
		*dst = true
	case jsontape.False:
		*dst = false
	default:
		m.wrong("a boolean")
	}
}

// count reads a whole number that is not negative.
func (m member) count(dst *int) { m.countTo(dst, math.MaxInt) }

func (m member) countTo(dst *int, most int) {
	if m.null() {
		return
	}
	if !m.t.IsInteger(m.ref) {
		m.wrong("a whole number")
		return
	}
	n, err := strconv.ParseInt(string(m.t.Raw(m.ref)), 10, strconv.IntSize)
	if err != nil || n < 0 || n > int64(most) {
		m.fail("must be between 0 and " + strconv.Itoa(most))
		return
	}
	*dst = int(n)
}

// number reads a finite number that is not negative.
func (m member) number(dst *float64) {
	if m.null() {
		return
	}
	if m.t.Kind(m.ref) != jsontape.Number {
		m.wrong("a number")
		return
	}
	n, err := strconv.ParseFloat(string(m.t.Raw(m.ref)), 64)
	if err != nil || n < 0 {
		m.fail("must be a number that is not negative")
		return
	}
	*dst = n
}

// seconds reads a length of time that is more than 0, since a zero would mean the default.
func (m member) seconds(dst *time.Duration) {
	if m.null() {
		return
	}
	before := len(*m.errs)
	var n float64
	m.number(&n)
	switch {
	case len(*m.errs) > before:
	case n > maxSeconds:
		m.fail("must be at most " + strconv.Itoa(maxSeconds) + " seconds")
	case n == 0:
		m.fail("must be more than 0 seconds")
	default:
		*dst = max(time.Duration(n*float64(time.Second)), 1)
	}
}

// maxSeconds is ten years.
const maxSeconds = 315_360_000

func (m member) texts(dst *[]string) {
	m.list(func(item member) {
		var text string
		item.text(&text)
		*dst = append(*dst, text)
	})
}

// list reads the elements of a list.
func (m member) list(each func(item member)) {
	if m.null() {
		return
	}
	if m.t.Kind(m.ref) != jsontape.Array {
		m.wrong("a list")
		return
	}
	i := 0
	for at := m.t.First(m.ref); at != jsontape.None; at = m.t.After(m.ref, at) {
		item := member{m.t, at, m.path + "[" + strconv.Itoa(i) + "]", m.errs}
		if item.null() {
			item.fail("must not be null")
		} else {
			each(item)
		}
		i++
	}
}

// choice reads one of several words.
func choice[T any](m member, dst *T, words []string, values []T) {
	if m.null() {
		return
	}
	var text string
	if m.t.Kind(m.ref) == jsontape.String {
		m.text(&text)
		for i, w := range words {
			if w == text {
				*dst = values[i]
				return
			}
		}
	}
	list := ""
	for i, w := range words {
		switch {
		case i == 0:
		case i == len(words)-1:
			list += " or "
		default:
			list += ", "
		}
		list += strconv.Quote(w)
	}
	m.fail("must be " + list)
}
