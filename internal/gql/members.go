package gql

import "github.com/fraiseql/fraiseql-go/internal/jsontape"

// indexMembers prepares, for each object type of not too many fields, the set of members that its fields read:
// what every projection of an event's data selects from.
func (s *Schema) indexMembers() {
	for _, t := range s.Types {
		if t.Kind != ObjectType || len(t.Fields) == 0 || len(t.Fields) > jsontape.MaxNameSet {
			continue
		}
		slots := make(map[string]int, len(t.Fields))
		var names []string
		for _, f := range t.Fields {
			slot, ok := slots[f.From]
			if !ok {
				slot = len(names)
				slots[f.From] = slot
				names = append(names, f.From)
			}
			f.Slot = slot
		}
		set := jsontape.MakeNameSet(names)
		t.Members = &set
	}
}
