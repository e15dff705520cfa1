package security

import (
	"encoding/json"
	"math/big"
	"slices"
	"strings"

	"github.com/fraiseql/fraiseql-go"
)

// world is a schema with its settings, as the oracle sees it. The oracle is written from the sentences of the
// contract, on encoding/json's maps, and shares no code with the engine.
type world struct {
	schemaless bool
	strict     bool
	filtered   bool // callers may give arguments
	filter     fraiseql.RowFilter
	owner      string // @owner path, empty: none
	tenant     string // @tenant path, empty: none
	types      []string
}

// caller is a subscriber.
type caller struct {
	identity fraiseql.Identity
	// what is selected besides id, each with a directive of its own
	secret, scoped, masked, mine bool
	userArg                      *string // argument userId
	kindArg                      *string // argument kind
}

// address is what the oracle found at a member: nothing, a value, or something that is no address.
type address struct {
	present bool
	valid   bool
	text    string
}

// addressOf reads a value: a non-empty string, or an integer that is written as one.
func addressOf(v any, present bool) address {
	a := address{present: present}
	a.text, a.valid = scalarText(v)
	if n, ok := v.(json.Number); ok && strings.ContainsAny(n.String(), ".eE") {
		a.valid = false
	}
	a.valid = a.valid && a.text != ""
	return a
}

// scalarText is a string, or the decimal text of a number whose value is an integer, however it is written.
func scalarText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		if r, ok := new(big.Rat).SetString(v.String()); ok && r.IsInt() {
			return r.Num().String(), true
		}
	}
	return "", false
}

// at follows a dotted path through objects.
func at(data map[string]any, path string) (any, bool) {
	var v any = data
	for _, name := range strings.Split(path, ".") {
		object, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = object[name]; !ok {
			return nil, false
		}
	}
	return v, true
}

func decode(text []byte) map[string]any {
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.UseNumber()
	var m map[string]any
	if err := dec.Decode(&m); err != nil {
		panic(err)
	}
	return m
}

// admitted says whether the caller may subscribe: checks 1 and 5.
func (w *world) admitted(c *caller) (code string, ok bool) {
	if c.userArg != nil && (c.identity.UserID == "" || *c.userArg != c.identity.UserID) {
		return "SCOPE_MISMATCH", false
	}
	if w.schemaless {
		return "", true
	}
	role := func(r string) bool { return slices.Contains(c.identity.Roles, r) }
	scope := func(s string) bool { return slices.Contains(c.identity.Scopes, s) }
	switch {
	case c.secret && !role("admin") && !role("audit"),
		c.scoped && !(scope("read") && scope("all")) && !scope("root"),
		c.mine && c.identity.UserID == "":
		return "FORBIDDEN", false
	}
	return "", true
}

// addresses lists what the envelope and the row filter say about tenant and user.
func (w *world) addresses(ev *fraiseql.Event, data map[string]any) (tenants, users []address) {
	envelope := func(text string) []address {
		if text == "" {
			return nil
		}
		return []address{{true, true, text}}
	}
	tenants, users = envelope(ev.TenantID), envelope(ev.UserID)
	filter := w.filter
	if filter == fraiseql.RowFilterDefault {
		if filter = fraiseql.RowFilterTenant; w.schemaless {
			filter = fraiseql.RowFilterBoth
		}
	}
	member := func(name string) []address {
		v, ok := data[name]
		if !ok || v == nil { // null says the same as leaving it out
			return nil
		}
		return []address{addressOf(v, true)}
	}
	if filter == fraiseql.RowFilterTenant || filter == fraiseql.RowFilterBoth {
		tenants = append(tenants, member("tenant_id")...)
	}
	if filter == fraiseql.RowFilterUser || filter == fraiseql.RowFilterBoth {
		users = append(users, member("user_id")...)
	}
	return tenants, users
}

// published says whether a publishing door takes the event.
func (w *world) published(ev *fraiseql.Event) bool {
	data := decode(ev.Data)
	tenants, users := w.addresses(ev, data)
	for _, list := range [][]address{tenants, users} {
		for _, a := range list {
			if !a.valid || a.text != list[0].text {
				return false
			}
		}
	}
	if ev.Broadcast {
		return len(tenants)+len(users) == 0
	}
	if !w.strict || len(tenants) > 0 {
		return true
	}
	if w.tenant == "" || !w.wants(ev.Type) {
		return false
	}
	v, ok := at(data, w.tenant)
	return addressOf(v, ok).valid
}

func (w *world) wants(eventType string) bool {
	return w.schemaless || len(w.types) == 0 || slices.Contains(w.types, eventType)
}

// sees says whether the event reaches the caller, who was admitted: the filter, and checks 2 to 4. It holds for
// events that no door would have taken as well: a bus may carry them.
func (w *world) sees(c *caller, ev *fraiseql.Event) bool {
	data := decode(ev.Data)
	tenants, users := w.addresses(ev, data)
	if !w.wants(ev.Type) || ev.Broadcast && len(tenants)+len(users) > 0 {
		return false
	}
	if w.tenant != "" {
		v, ok := at(data, w.tenant)
		tenants = append(tenants, addressOf(v, ok))
	}
	if w.strict && !ev.Broadcast && len(tenants) == 0 {
		return false
	}
	for _, a := range tenants {
		if !a.valid || a.text != c.identity.TenantID {
			return false
		}
	}
	for _, a := range users {
		if !a.valid || a.text != c.identity.UserID {
			return false
		}
	}
	return w.owned(c, data) && federated(c, ev) && matches(c.userArg, data["user_id"]) && matches(c.kindArg, data["kind"])
}

// owned is the @owner path: the caller, or a list that the caller is in.
func (w *world) owned(c *caller, data map[string]any) bool {
	if w.owner == "" {
		return true
	}
	v, ok := at(data, w.owner)
	list, isList := v.([]any)
	if !isList {
		list = []any{v}
	}
	for _, element := range list {
		if a := addressOf(element, ok); a.valid && a.text == c.identity.UserID {
			return true
		}
	}
	return false
}

// federated is check 4.
func federated(c *caller, ev *fraiseql.Event) bool {
	mine := [2]string{c.identity.FederationID, c.identity.ServiceName}
	theirs := [2]string{ev.FederationID, ev.ServiceName}
	none := [2]string{}
	if mine == none || theirs == none {
		return mine == theirs
	}
	common := 0
	for i := range mine {
		if mine[i] != "" && theirs[i] != "" {
			if mine[i] != theirs[i] {
				return false
			}
			common++
		}
	}
	return common > 0
}

// matches is an argument of type ID or, without a schema, a string: equality with a string or an integer.
func matches(argument *string, v any) bool {
	if argument == nil {
		return true
	}
	text, ok := scalarText(v)
	return ok && text == *argument
}

// shows is the data that the caller gets of an event that he sees.
func (w *world) shows(c *caller, ev *fraiseql.Event) string {
	data := decode(ev.Data)
	out := `{"item":{"id":"` + data["id"].(string) + `"`
	for _, f := range []struct {
		selected bool
		name     string
		open     bool
	}{
		{c.secret, "secret", true}, {c.scoped, "scoped", true}, {c.mine, "mine", true},
		{c.masked, "masked", w.schemaless || slices.Contains(c.identity.Roles, "admin")},
	} {
		switch {
		case !f.selected:
		case f.open:
			out += `,"` + f.name + `":"of ` + data["id"].(string) + `"`
		default:
			out += `,"` + f.name + `":null`
		}
	}
	return out + `}}`
}
