package plan

import (
	"fmt"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// What projections write with a memo, in any order, is what each writes alone, errors included.
func TestSharedProjectionsWriteTheSame(t *testing.T) {
	const sdl = `
		type Subscription { a: T  b: [T!]  c: N }
		type T { id: ID! n: Int  asText: String @from(path: "n")  f: Float  s: String  must: Int!  t: T  list: [Int]  k: N }
		interface N { id: ID! }
		type M implements N { id: ID! s: String }`
	documents := []string{
		`subscription { a { id n s } }`, `subscription { a { n id f } }`, `subscription { a { asText n } }`,
		`subscription { a { x: n y: n z: asText t { n s } } }`, `subscription { a { id must } }`, `subscription { a { list k { id } __typename } }`,
		`subscription { b { id s } }`, `subscription { c { id ... on M { s } } }`, `subscription { a { s s2: s } }`,
	}
	events := []string{
		`{"id":1,"n":2,"f":1.5,"s":"x","must":3,"t":{"n":9,"s":"deep"},"list":[1,2],"k":{"__typename":"M","id":"m"}}`,
		`{"id":"a","n":"no","f":true,"s":null,"t":null,"list":1,"__typename":"M"}`,
		`{"id":1,"id":2,"n":7,"s":"two\u0041","must":"x","s":"three"}`, `{}`, `{"id":{}}`,
	}
	schema, errs := gql.LoadSchema([]gql.SchemaSource{{Text: sdl}}, gql.SchemaOptions{})
	for _, err := range errs {
		t.Fatal(err)
	}
	var programs []*Projection
	for _, text := range documents {
		doc, errs := schema.Parse(text, gql.Limits{})
		for _, err := range errs {
			t.Fatal(text, err)
		}
		p, err := Compile(doc.Operations[0], Options{})
		if err != nil {
			t.Fatal(text, err)
		}
		b, bad := p.Bind(nil, 0)
		if bad != nil {
			t.Fatal(text, bad[0])
		}
		programs = append(programs, b.Projection)
	}
	var memo Memo
	for i, data := range events {
		var tape jsontape.Tape
		if err := tape.Parse([]byte(data), jsontape.Limits{}); err != nil {
			t.Fatal(err)
		}
		for shift := range programs {
			memo.Reset()
			for k := range 2 * len(programs) {
				p := programs[(k+shift)%len(programs)]
				alone := string(p.AppendPayload(nil, &tape, jsontape.Root))
				if shared := string(p.AppendShared(fmt.Appendf(nil, "%d", i), &tape, &memo)[1:]); shared != alone {
					t.Fatalf("event %s, %s:\nshared %s\nalone  %s", data, p.Plan.Operation.Document.Text, shared, alone)
				}
			}
		}
	}
}
