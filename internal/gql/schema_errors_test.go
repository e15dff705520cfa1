package gql

import (
	"strings"
	"testing"
)

const payloadSDL = `
enum E { A B } scalar Any
type P { id: ID name: String n: Int f: Float b: Boolean e: E any: Any tags: [String!] inner: P list: [P!] }
`

// TestSchemaErrors has the place and a part of the text of every problem of a schema; the payload types above
// precede each SDL, so that its lines count from 5.
func TestSchemaErrors(t *testing.T) {
	for _, c := range []struct {
		name, sdl string
		want      []string // "line: text"
	}{
		{"fine", `type Subscription { p(id: ID): P }`, nil},
		{"syntax", `type Subscription { p(: P }`, []string{`5: Expected`}},
		{"unknown type", `type Subscription { p: Q a: R }`, []string{`5: Unknown type "Q"`, `5: Unknown type "R"`}},
		{"unknown directive", "type Subscription { p: P @sourc }", []string{`5: Unknown directive "@sourc". Did you mean "@source"?`}},
		{"duplicate type", `type P { a: Int } type Subscription { p: P }`, []string{`5: There can be only one type named "P"`}},
		{"duplicate field", "type Subscription { p: P\np: P }", []string{`6: Field "Subscription.p" can only`}},
		{"input as output", `input I { a: Int } type Subscription { p: I }`, []string{`5: The type of Subscription.p must be an output type`}},
		{"output as input", `type Subscription { p(id: P): P }`, []string{`5: The type of Subscription.p(id:) must be an input type`}},
		{"several at once", "union U = E\ntype T implements P { id: ID }\nextend enum P { X }\ntype Subscription { p: P @deprecated(why: 1) }",
			[]string{`5: Union U can only include object types, E is an enum`, `6: T can only implement interfaces`, `7: Cannot extend object type "P" as enum`, `8: Unknown argument "why"`}},
		{"schema root", "schema { subscription: E }", []string{`5: The subscription root must be an object type`}},
		{"oneOf", "input I @oneOf { a: Int! b: Int = 1 }\ntype Subscription { p: P }", []string{`5: OneOf input field I.a must be nullable`, `5: OneOf input field I.b cannot have a default`}},
		{"oneOf by an extension", "input I { a: Int\nb: Int! c: Int = 1 }\nextend input I @oneOf\ninput J @oneOf { a: Int }\nextend input J { b: Int! }\ntype Subscription { p: P }",
			[]string{`6: OneOf input field I.b must be nullable`, `6: OneOf input field I.c cannot have a default`, `9: OneOf input field J.b must be nullable`}},
		{"deprecated, but required", "input I { a: Int! @deprecated b: Int @deprecated c: Int! = 1 @deprecated }\nextend input I { d: ID! @deprecated }\ntype Subscription { p(n: Int! @deprecated): P }",
			[]string{`5: Required input field I.a cannot be deprecated`, `6: Required input field I.d cannot be deprecated`, `7: Required argument Subscription.p(n:) cannot be deprecated`}},
		{"deprecated, but not in the interface", "interface I { a: Int b: Int @deprecated }\ntype T implements I { a: Int @deprecated b: Int @deprecated }\ntype U implements I { a: Int b: Int }\ntype Subscription { p: P }",
			[]string{`6: Interface field I.a is not deprecated, so implementation field T.a must not be deprecated.`}},
		{"roots that are the same", "type S { p: P }\nschema { query: S subscription: S }", []string{`6: All root types must be different, "S" is that of query and subscription.`}},
		{"roots that are the same by an extension", "type S { p: P }\nschema { subscription: S }\nextend schema { mutation: S }", []string{`7: All root types must be different`}},
		{"values of the standard's directives", "type T { a: Int @deprecated(reason: 5)\nb: Int @deprecated(reason: null) }\nscalar D @specifiedBy(url: 5)\nscalar C @specifiedBy(url: \"\"\"u\"\"\")\ntype Subscription { p: P }",
			[]string{`5: Argument "@deprecated(reason:)" must be String!, not 5.`, `6: Argument "@deprecated(reason:)" must be String!, not null.`, `7: Argument "@specifiedBy(url:)" must be String!, not 5.`}},
		{"drafts", "directive @a on DIRECTIVE_DEFINITION | FIELD\ndirective @b @deprecated on FIELD\ndirective @c on FIELD\nextend directive @c @deprecated\ntype Subscription { p: P }",
			[]string{`5: Directive "@a": there is no location DIRECTIVE_DEFINITION.`, `6: Directive "@deprecated" may not be used on the definition of a directive.`, `8: Directive "@c" cannot be extended.`}},
		{"interface field missing", "interface I { x: Int }\ntype T implements I { y: Int }\ntype Subscription { p: P }", []string{`6: For T to implement I`}},
		{"bad default", "type Subscription { p(n: Int = \"x\"): P }", []string{`5: default of n: Int cannot represent non-integer value: "x"`}},
		{"default cycle", "input A { b: B = {} }\ninput B { a: A = {} }\ntype Subscription { p: P }\ntype Query { q(a: A): Int }", []string{`5: the default of b rests on itself`}},

		{"source", `type Subscription { p: P @source(channel: "__x") q: P @source(channel: "$x") r: P @source(channel: "a*") s: P @source(channel: "a b") t: P @source(channel: "") }`,
			[]string{"5: channel \"__x\" of Subscription.p begins with __", "5: channel \"$x\"", "5: channel \"a*\" of Subscription.r contains one of", "5: channel \"a b\"", "5: channel \"\""}},
		{"source types", `type Subscription { p: P @source(types: []) q: P @source(types: ["a b"]) }`, []string{"5: @source: types is empty", "5: event type"}},
		{"source elsewhere", `type T { a: Int @source } type Subscription { p: P }`, []string{"5: @source on T.a: only fields of the subscription root"}},
		{"source misplaced", `type T @source { a: Int } type Subscription { p: P }`, []string{"5: @source may not stand on an object type; it stands on a field"}},
		{"source twice", `type Subscription { p: P @source @source }`, []string{"5: @source stands here twice"}},
		{"source arguments", `type Subscription { p: P @source(chanel: "x") q: P @source(channel: 1) r: P @source(channel: "a", channel: "b") }`,
			[]string{"5: @source has no argument chanel; it takes channel, types. Did you mean \"channel\"?", "5: argument channel of @source must be String, not 1", "5: @source gives argument channel twice"}},

		{"argument without member", `type Subscription { p(nosuch: Int): P }`, []string{"5: argument nosuch of Subscription.p: P has no field of that name"}},
		{"argument of list type", `type Subscription { p(tags: [String!]): P }`, []string{"5: argument tags of Subscription.p: EQ needs an argument that is a single value"}},
		{"argument of input type", `input I { a: Int } type Subscription { p(inner: I): P }`, []string{"5: argument inner of Subscription.p: an argument of input object type I filters with @where only"}},
		{"match and where", `input I { id: F } input F { eq: ID } type Subscription { p(a: I @match(path: "id") @where): P }`, []string{"5: argument a of Subscription.p: @match and @where exclude"}},
		{"match elsewhere", `type T { a(b: Int @match): Int } type Subscription { p: P }`, []string{"5: @match on argument b of T.a"}},
		{"match on input", `input I { a: Int @match } type Subscription { p: P }`, []string{"5: @match may not stand on a member of an input object"}},
		{"unknown op", `type Subscription { p(n: Int @match(op: LIKE)): P }`, []string{"5: argument op of @match must be MatchOp, not LIKE; its values are EQ, NE, GT,"}},
		{"misspelt op", `type Subscription { p(n: Int @match(op: GTEE) m: Int @match(path: "n", op: "GT")): P @delivery(overflow: DROP) }`, []string{
			`5: argument op of @match must be MatchOp, not GTEE; its values are EQ, NE, GT, GTE, LT, LTE, IN, NOT_IN, CONTAINS, NOT_CONTAINS, STARTS_WITH, ENDS_WITH, EXISTS, BETWEEN, CONTAINS_ANY. Did you mean the enum value "GTE"`,
			`5: argument op of @match must be MatchOp, not "GT"; its values are`,
			"5: argument overflow of @delivery must be Overflow, not DROP; its values are CLOSE, DROP_OLDEST, DROP_NEWEST, LATEST."}},
		{"argument of a directive that takes none", `input F { id: I } input I { eq: ID } type Subscription { p(w: F @where(path: "x")): P }`, []string{"5: @where has no argument path; it takes none"}},
		{"ops that need lists", `type Subscription { p(a: Int @match(path: "n", op: IN) b: Int @match(path: "n", op: NOT_IN) c: Int @match(path: "n", op: BETWEEN) d: Int @match(path: "n", op: CONTAINS_ANY)): P }`,
			[]string{"5: argument a of Subscription.p: IN needs an argument that is a list", "5: argument b of Subscription.p: NOT_IN needs an argument that is a list", "5: argument c of Subscription.p: BETWEEN needs an argument that is a list", "5: argument d of Subscription.p: CONTAINS_ANY needs an argument that is a list"}},
		{"ops that need no list", `type Subscription { p(a: [Int!] @match(path: "n", op: GT) b: [Int] @match(path: "n", op: CONTAINS) c: [[Int]] @match(path: "n", op: IN)): P }`,
			[]string{"5: argument a of Subscription.p: GT needs an argument that is a single value", "5: argument b of Subscription.p: CONTAINS needs an argument that is a single value", "5: argument c of Subscription.p: IN cannot take a list of lists"}},
		{"ops and kinds", `type Subscription { p(a: Boolean @match(path: "b", op: GT) b: E @match(path: "e", op: LTE) c: Int @match(path: "n", op: STARTS_WITH) d: String @match(path: "n", op: EXISTS) e: [Boolean] @match(path: "b", op: BETWEEN)): P }`,
			[]string{"5: argument a of Subscription.p: GT needs values with an order", "5: argument b of Subscription.p: LTE needs", "5: argument c of Subscription.p: STARTS_WITH needs a String or ID", "5: argument d of Subscription.p: EXISTS needs a Boolean", "5: argument e of Subscription.p: BETWEEN needs values with an order"}},
		{"paths", `type Subscription { p(a: Int @match(path: "list.n") b: Int @match(path: "inner.list.n") c: Int @match(path: "") d: Int @match(path: "a..b") e: Int @match(path: "un.known") f: String @match(path: "tags", op: CONTAINS)): P }`,
			[]string{"5: @match: path \"list.n\" crosses the list list", "5: @match: path \"inner.list.n\" crosses the list inner.list", "5: @match: path \"\" has an empty name", "5: @match: path \"a..b\""}},
		{"owner and tenant", `type Subscription { p: P @owner(path: "list.id") @tenant(path: "inner..x") q: P @owner r: P @tenant(path: 1) }`,
			[]string{"5: @owner: path \"list.id\" crosses", "5: @tenant: path \"inner..x\"", "5: @owner needs argument path", "5: argument path of @tenant must be String!"}},
		{"owner elsewhere", `type T { a: Int @owner(path: "x") @tenant(path: "y") @delivery } type Subscription { p: P }`, []string{"5: @owner on T.a", "5: @tenant on T.a", "5: @delivery on T.a"}},
		{"from", `type T { a: Int @from(path: "") b: Int @from(path: "x.y") } type Subscription { p: T @from(path: "x") }`,
			[]string{"5: @from: the path is empty", "5: @from(path: \"x.y\"): a field reads one member", "5: @from on Subscription.p"}},
		{"delivery", `type Subscription { p: P @delivery(overflow: LATEST) q: P @delivery(key: "id") r: P @delivery(maxMessages: 0) s: P @delivery(maxBytes: -1) t: P @delivery(overflow: NEVER) u: P @delivery(maxMessages: 3000000000) }`,
			[]string{"5: @delivery: overflow: LATEST needs key", "5: @delivery: key has a meaning with", "5: @delivery: maxMessages must be greater than 0", "5: @delivery: maxBytes must be", "5: argument overflow of @delivery", "5: argument maxMessages of @delivery must be Int"}},

		{"where", `input W { id: ID tags: [TF] inner: W list: W and: W or: [[W]] not: [W] e: EF } input TF { eq: String } input EF { gt: E in: E eq: [E] exists: Int }
type Subscription { p(w: W @where, x: ID @where, y: [W] @where, z: TF @where): P }`, []string{
			"5: @where filter W.id: it needs an input object", "5: @where filter W.tags: it needs", "5: @where filter W.list: the path crosses the list", "5: @where filter W.and: and takes a list",
			"5: @where filter W.or: or takes a list", "5: @where filter W.not: not takes one", "5: @where filter EF.gt: GT needs", "5: @where filter EF.in: IN needs", "5: @where filter EF.eq: EQ needs", "5: @where filter EF.exists",
			"6: argument x of Subscription.p: @where needs an input object, not ID", "6: argument y of Subscription.p: @where needs", "6: argument z of Subscription.p: TF has operators only"}},
		{"where, misspelt operators", "input W { f: X n: Y id: ID age: Int name: Z }\ninput X { gtt: Float }\ninput Y { gte: Int\ninn: [Int!]\nstartwith: String\nn: Int }\ninput Z { eq: String }\ntype Subscription { p(w: W @where): P }", []string{
			"5: @where filter W.id: it needs an input object of operators or of nested members, not ID", "5: @where filter W.age: it needs an input object of operators or of nested members, not Int",
			"6: @where filter X.gtt: it needs an input object of operators or of nested members, not Float. Did you mean the operator \"gt\" or \"gte\"?",
			"7: @where filter Y.gte: it is an operator, but not all members of Y are",
			"8: @where filter Y.inn: it needs an input object of operators or of nested members, not [Int!]. Did you mean the operator \"in\"",
			"9: @where filter Y.startwith: it needs an input object of operators or of nested members, not String. Did you mean the operator \"startsWith\"?",
			"10: @where filter Y.n: it needs"}},
		{"where, a problem that several fields have", "input W { n: LI\nAND: [W!] } input LI { eq: Int }\ntype Subscription { a(w: W @where): P b(w: W @where): P c(w: W @where): P }", []string{"6: @where filter W.AND: it needs an input object"}},
		{"defaults and operators", "type Subscription {\na(n: [Int] = [1] @match(op: BETWEEN)): P\nb(n: [Int] = 1 @match(op: BETWEEN), f: [Float] = [1, null] @match(op: BETWEEN)): P\nc(n: [Int] = [1, 2] @match(op: BETWEEN), f: [Int] = [null] @match(op: IN), id: [ID] = null @match(op: BETWEEN)): P }",
			[]string{"6: default of n: BETWEEN needs exactly two values", "7: default of n: BETWEEN needs exactly two values", "7: default of f: BETWEEN needs two values that are not null"}},
		{"defaults and operators of @where", "input W { n: I i: W and: [W!] }\ninput I { between: [Int!]\nbetween_: Int }\ninput I2 { between: [Int!] = [1]\neq: Int }\ninput W2 { n: I2 }\ntype Subscription { p(w: W2 = {n: {eq: 1}} @where): P q(w: W2 @where): P }",
			[]string{"8: default of between: BETWEEN needs exactly two values"}},
		{"defaults and operators of @where, nested", "input W { n: I = {between: [1]}\ni: I inner: W and: [W!] not: W }\ninput I { between: [Int] }\ntype Subscription {\nq(w: W = {n: null, and: {n: null, inner: {n: null, not: {n: null, i: {between: [1, null]}}}}} @where): P\nr(w: W = {n: {between: [1, 2]}} @where): P }",
			[]string{"5: default of n: BETWEEN needs exactly two values", "9: default of w: BETWEEN needs two values that are not null"}},
		{"access", `type T { a: Int @requiresScopes(scopes: []) b: Int @requiresScopes(scopes: [[]]) c: Int @requiresScopes(scopes: [["x"], []]) d: Int @requiresRole(roles: []) e: Int @requiresRole(roles: [""]) } type Subscription { p: P }`,
			[]string{"5: @requiresScopes: the list of scopes is empty", "5: @requiresScopes: an empty list among", "5: @requiresScopes: an empty list among", "5: @requiresRole: the list of roles is empty", "5: @requiresRole: an empty name"}},
		{"mask", `type T { a: Int! @requiresRole(roles: ["x"], deny: MASK) b: S! c: S } scalar S @requiresRole(roles: ["x"], deny: MASK) type Subscription { p: P! @requiresRole(roles: ["x"], deny: MASK) }`,
			[]string{"5: T.a is non-null: deny: MASK", "5: T.b is non-null", "5: Subscription.p is non-null"}},
		{"mask of a type in a union", "type T @requiresRole(roles: [\"x\"], deny: MASK) {\na: Int!\nb: Int }\nunion U = T | P\ntype Subscription { p: U }", []string{"6: T.a is non-null"}},
		{"from on an interface", "interface N { id: ID @from(path: \"a\")\nn: Int @from(path: \"b\") }\ntype A implements N { id: ID n: Int @from(path: \"b\") } type Subscription { p: N }",
			[]string{`5: @from(path: "a") on N.id has no effect: A.id reads "id"`}},
		{"members that differ", "type A { id: ID @from(path: \"a\") n: Int } type B { id: ID @from(path: \"b\") n: Int } union U = A | B interface N { id: ID } type C implements N { id: ID } type D implements N { id: ID @from(path: \"d\") }\ninput W { id: F n: G } input F { eq: ID } input G { eq: Int }\ntype Subscription {\np(id: ID): U\nq(id: ID @match(op: NE)): U\nr(id: ID): N\ns(w: W @where): U\nt(n: Int, id: ID @match(path: \"a\")): U }", []string{
			`6: @where filter W.id: A.id reads "a", but B.id reads "b"`, `8: argument id of Subscription.p: A.id reads "a", but B.id reads "b": say with @match(path:) which`,
			`9: argument id of Subscription.q: A.id reads "a", but B.id reads "b"`, `10: argument id of Subscription.r: C.id reads "id", but D.id reads "d"`}},
		{"members that differ further down", "type A { x: XA } type B { x: XB } type XA { id: ID @from(path: \"a\") l: [A] } type XB { id: ID l: A } union U = A | B\ninput W { x: XW } input XW { id: F\nl: LW } input F { eq: ID } input LW { x: F }\ntype Subscription { p(w: W @where): U\nq(id: ID @match(path: \"x.l.x\")): U }", []string{
			`6: @where filter XW.id: XA.id reads "a", but XB.id reads "id"`, `7: @where filter XW.l: the path crosses the list XA.l`, `9: @match: path "x.l.x" crosses the list x.l`}},
		{"lists of what an interface can be", "interface N { id: ID } type A implements N { id: ID l: [A] }\ntype Subscription { p(a: ID @match(path: \"l.id\")): N @owner(path: \"l.id\") }", []string{"6: @match: path \"l.id\" crosses the list l", "6: @owner: path"}},
		{"access misplaced", `union U @authenticated = P input I @authenticated { a: Int } type Subscription { p(id: ID @authenticated): P }`,
			[]string{"5: @authenticated may not stand on a union; it stands on a field, an object type, an interface, a scalar, an enum", "5: @authenticated may not stand on an input object", "5: @authenticated may not stand on an argument"}},
		{"unscoped on an argument of any field", `type T { a(user_id: ID @unscoped): Int } type Subscription { p: T }`, nil},
		{"unscoped elsewhere", `type T { a: Int @unscoped } type Subscription { p: P }`, []string{"5: @unscoped may not stand on a field; it stands on an argument, a member of an input object"}},

		{"own definition, compatible", `directive @owner(path: String!) on FIELD_DEFINITION directive @match(path: String, op: MatchOp = EQ) on ARGUMENT_DEFINITION enum MatchOp { EQ NE } type Subscription { p(n: Int @match(op: NE)): P @owner(path: "x") }`, nil},
		{"own definition, incompatible", `directive @owner(path: Int!) on FIELD_DEFINITION
directive @tenant(path: String!, more: Int) on FIELD_DEFINITION
directive @from on FIELD_DEFINITION
directive @where repeatable on ARGUMENT_DEFINITION
directive @authenticated on FIELD_DEFINITION | UNION
directive @match(path: String, op: MatchOp = NE) on ARGUMENT_DEFINITION
type Subscription { p: P }`, []string{
			"5: directive @owner is not compatible with FraiseQL's: argument path must be String!", "6: directive @tenant is not compatible with FraiseQL's: it has no argument more",
			"7: directive @from is not compatible with FraiseQL's: argument path is missing", "8: directive @where is not compatible with FraiseQL's: it must not be repeatable",
			"9: directive @authenticated is not compatible with FraiseQL's: it has no meaning on UNION", "10: directive @match is not compatible with FraiseQL's: argument op has another default"}},
		{"own enum, incompatible", "enum MatchOp {\nEQ NE FOO }\ndirective @match(path: String, op: MatchOp = EQ) on ARGUMENT_DEFINITION\ndirective @requiresRole(roles: [String!]!, deny: Deny = REFUSE) on OBJECT\nscalar Deny\ntype Subscription { p: P }", []string{
			"7: directive @match is not compatible with FraiseQL's: enum MatchOp has the value FOO, which is not one of FraiseQL's", "8: directive @requiresRole is not compatible with FraiseQL's: Deny must be an enum"}},
		{"federation", `extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key", "@shareable", "@authenticated", {name: "@requiresScopes", as: "@scopes"}])
type T @key(fields: "id") @federation__inaccessible { id: ID @shareable @authenticated @scopes(scopes: [["a"]]) } type Subscription { p: P }`, nil},
		{"policy cannot be enforced", `extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@policy"])
type T { id: ID @policy(policies: [["a"]]) } type Subscription { p: P }`, []string{`6: @policy is refused: nothing here could enforce it`}},
		{"policy by other names, and defined", `extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", as: "fed", import: [{name: "@policy", as: "@rule"}])
directive @rule(policies: [[String!]!]!) on FIELD_DEFINITION | OBJECT
type T @rule(policies: [["a"]]) { id: ID
n: Int @fed__policy(policies: [["a"]]) } type Subscription { p: P }`, []string{`7: @rule is refused: nothing here could enforce it`, `8: @fed__policy is refused`}},
		{"policy that is imported, but not used", `extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@policy"]) type Subscription { p: P }`, nil},
		{"policy of one's own", `directive @policy(x: Int) on OBJECT type T @policy { a: Int } type Subscription { p: P }`, nil},
		{"link of a foreign directive", `extend schema @link(url: "https://example.com/other/v1.0", import: ["@source"]) type Subscription { p: P }`, []string{"5: @link imports a directive @source that is not FraiseQL's"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, errs := LoadSchema([]SchemaSource{{"s.graphql", payloadSDL + "\n" + c.sdl}}, SchemaOptions{})
			var got []string
			for _, e := range errs {
				got = append(got, e.Error())
			}
			if len(got) != len(c.want) {
				t.Fatalf("got %d problems, want %d:\n%s", len(got), len(c.want), strings.Join(got, "\n"))
			}
			for i, want := range c.want {
				line, text, _ := strings.Cut(want, ": ")
				if !strings.HasPrefix(got[i], "s.graphql:"+line+":") || !strings.Contains(got[i], text) {
					t.Errorf("problem %d: %s\nwant %s", i, got[i], want)
				}
			}
		})
	}
}
