package gql

import (
	"fmt"
	"strconv"
	"strings"
)

// Note is something in a schema that is right, and perhaps not what its author meant.
type Note struct {
	Position Position
	Text     string
}

// String returns the note with its place, as problems have it.
func (n Note) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", n.Position.Source, n.Position.Line, n.Position.Column, n.Text)
}

// Notes returns the paths of @match, @owner, @tenant and @delivery whose first name is no member of the payload type. They
// address data as it is published, which may have more members than clients can select; or they are misspelt, and then nothing
// matches, and LATEST replaces nothing.
func (s *Schema) Notes() (notes []Note) {
	if s.Subscription == nil {
		return nil
	}
	for _, f := range s.Subscription.Fields {
		note := func(at Position, directive, argument string, path []string) {
			if payload := f.Type.Name(); (payload.Kind == ObjectType || payload.Kind == UnionType) && len(path) > 0 && payload.reads(path[0]) == nil {
				notes = append(notes, Note{at, "@" + directive + "(" + argument + `: "` + strings.Join(path, ".") + `") of ` + f.Name + ": type " + payload.Name + " has no field that reads " +
					strconv.Quote(path[0]) + "; that is right where events carry it all the same"})
			}
		}
		note(f.Position, "owner", "path", f.Owner)
		note(f.Position, "tenant", "path", f.Tenant)
		if f.Delivery != nil {
			note(f.Position, "delivery", "key", f.Delivery.Key)
		}
		for _, a := range f.Args {
			if a.Match != nil {
				note(a.Position, "match", "path", a.Match.Path)
			}
		}
	}
	return notes
}
