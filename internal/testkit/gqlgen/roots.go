package gqlgen

// RootSDL is the schema of RootCases.
const RootSDL = `
type Query { ok: Boolean }
interface Root { a: T }
interface Other { c: Int }
type T { x: Int y: Int t: T }
type Impl implements Other { c: Int }
union Roots = Subscription | T
union Ts = T | Impl
type Subscription implements Root { a: T b: T }
`

// RootCase is a subscription document and whether its root is valid.
type RootCase struct {
	Document string
	Valid    bool
}

// RootCases covers "Single Root Field": exactly one field by response key after fragments, no introspection,
// no @skip or @include at that level, type conditions that do not apply, fragments that recur.
var RootCases = []RootCase{
	{`subscription { a { x } }`, true},
	{`subscription S { k: a { x } }`, true},
	{`subscription { a { x } a { y } }`, true},
	{`subscription { k: a { x } k: a { y } }`, true},
	{`subscription { a { x } b { x } }`, false},
	{`subscription { a { x } k: a { x } }`, false},
	{`subscription { k: a { x } l: a { x } }`, false},
	{`subscription { ... { a { x } } }`, true},
	{`subscription { ... on Subscription { a { x } } }`, true},
	{`subscription { ... on Root { a { x } } }`, true},
	{`subscription { ... on Roots { ... on Subscription { a { x } } } }`, true},
	{`subscription { ... on Roots { ... on T { x } ... on Subscription { a { x } } } }`, true},
	{`subscription { ... on Roots { ... on T { x } } }`, false},
	{`subscription { ... on Roots { __typename } }`, false},
	{`subscription { a { x } ... on Roots { ... on T { x } } }`, true},
	{`subscription { a { x } ... on Roots { ... on T { x y } ... on Ts { ... on T { x } } } }`, true},
	{`subscription { ... { a { x } } ... { b { x } } }`, false},
	{`subscription { a { x } ... { b { x } } }`, false},
	{`subscription { a { x } ... { a { y } } }`, true},
	{`subscription { ...F } fragment F on Subscription { a { x } }`, true},
	{`subscription { ...F } fragment F on Root { a { x } }`, true},
	{`subscription { ...F ...G } fragment F on Subscription { a { x } } fragment G on Subscription { a { y } }`, true},
	{`subscription { ...F ...G } fragment F on Subscription { a { x } } fragment G on Subscription { b { y } }`, false},
	{`subscription { ...F } fragment F on Subscription { a { x } b { x } }`, false},
	{`subscription { ...F } fragment F on Subscription { ...G } fragment G on Subscription { a { x } }`, true},
	{`subscription { a { x } ...F ...F } fragment F on Subscription { a { y } }`, true},
	{`subscription { ...F } fragment F on Subscription { a { x } ...F }`, false},
	{`subscription { ...F } fragment F on Subscription { ...G } fragment G on Subscription { ...F a { x } }`, false},
	{`subscription { ...F } fragment F on Subscription { ...F }`, false},
	{`subscription { a { ...F } } fragment F on T { t { ...F } }`, false},
	{`subscription { __typename }`, false},
	{`subscription { k: __typename }`, false},
	{`subscription { a { x } __typename }`, false},
	{`subscription { a { __typename x } }`, true},
	{`subscription { ... { __typename } }`, false},
	{`subscription { ...F } fragment F on Subscription { __typename }`, false},
	{`subscription { __schema { queryType { name } } }`, false},
	{`subscription { __type(name: "T") { name } }`, false},
	{`subscription { a @skip(if: false) { x } }`, false},
	{`subscription { a @skip(if: true) { x } }`, false},
	{`subscription { a @include(if: true) { x } }`, false},
	{`subscription($v: Boolean!) { a @include(if: $v) { x } }`, false},
	{`subscription($v: Boolean!) { a @skip(if: $v) { x } b @include(if: $v) { x } }`, false},
	{`subscription { ... @skip(if: false) { a { x } } }`, false},
	{`subscription { ... on Subscription @include(if: true) { a { x } } }`, false},
	{`subscription { ...F @include(if: true) } fragment F on Subscription { a { x } }`, false},
	{`subscription { ...F } fragment F on Subscription { a @include(if: true) { x } }`, false},
	{`subscription { ...F } fragment F on Subscription { ... { a @skip(if: false) { x } } }`, false},
	{`subscription { a { x @skip(if: true) } }`, true},
	{`subscription($v: Boolean!) { a { x @include(if: $v) ... @skip(if: $v) { y } } }`, true},
	{`subscription { a { ...F @include(if: true) } } fragment F on T { x }`, true},
	{`subscription A { a { x } } subscription B { b { x } }`, true},
	{`subscription A { a { x } } subscription B { a { x } b { x } }`, false},
	{`query A { ok __typename } subscription B { b { x } }`, true},
}
