package main

// target is one fuzz test of a decoder.
type target struct {
	pkg, name string
	decodes   string
}

// decoders are the fuzz tests of what reads bytes that somebody else chose, roughly those first that anybody can reach; last, what only
// the operator or the program around an engine writes.
var decoders = []target{
	{"internal/wsframe", "FuzzDecode", "WebSocket frames"},
	{"internal/session", "FuzzWire", "messages of graphql-transport-ws, with the state machine behind them"},
	{"internal/session", "FuzzLegacy", "messages of the legacy graphql-ws, with the state machine behind them"},
	{"internal/gql", "FuzzParse", "GraphQL documents, with validation"},
	{"internal/jsontape", "FuzzParse", "JSON, compared with encoding/json"},
	{"internal/wire", "FuzzDecode", "published events, batches of them, and newline delimited ones"},
	{"internal/gql", "FuzzCoerceVariables", "variables"},
	{"internal/transport/gqlhttp", "FuzzBody", "bodies of GraphQL requests"},
	{"internal/transport/gqlhttp", "FuzzQuery", "query strings of GraphQL requests"},
	{"internal/transport/gqlhttp", "FuzzAccept", "Accept headers"},
	{"internal/transport/gqlhttp", "FuzzToken", "tokens of single-connection event streams"},
	{"auth/jwtauth", "FuzzVerify", "JSON web tokens"},
	{"identity", "FuzzBearer", "credentials in connection_init and in headers"},
	{"event", "FuzzParseCursor", "cursors"},
	{"internal/hub", "FuzzCursor", "cursors, with the replay that they ask for"},
	{"internal/forwarded", "FuzzApply", "Forwarded and X-Forwarded-For headers"},
	{"internal/wsframe", "FuzzInflate", "compressed messages"},
	{"internal/transport/callback", "FuzzReadAsk", "requests for HTTP callbacks"},
	{"internal/plan", "FuzzNormalise", "GraphQL documents, for the plan cache"},
	{"internal/plan", "FuzzProject", "data of events, in projection"},
	{"internal/filter", "FuzzCompare", "data of events and constants, in filters"},
	{"internal/scalar", "FuzzLeaf", "values of events, as results and as index keys"},
	{"event", "FuzzValidateChannel", "names of channels"},
	{"bus/redisbus", "FuzzDecode", "entries of Redis streams"},
	{"bus/redisbus", "FuzzAnswer", "answers of Redis to XREAD"},
	{"bus/natsbus", "FuzzDecode", "messages of NATS"},
	{"bus/natsbus", "FuzzDelivery", "reply subjects of JetStream"},
	{"internal/wsframe", "FuzzAgreeDeflate", "offers of compression"},
	{"internal/origin", "FuzzJudge", "Origin and Host"},
	{"internal/outbound", "FuzzFind", "URLs of callbacks"},
	{"internal/revoke", "FuzzParse", "rules of revocation"},
	{"auth/webhook", "FuzzVerify", "signatures of webhooks"},
	{"auth/jwtauth", "FuzzKeySet", "JWK sets"},
	{"auth/jwtauth", "FuzzInspect", "headers and claims of JSON web tokens, beside another reader of JSON"},
	{"bus/pgbus", "FuzzMessage", "rows of the outbox"},
	{"internal/config", "FuzzLoad", "the configuration file"},
	{"internal/embed", "FuzzConfig", "the configuration of an engine in a library"},
	{"internal/embed", "FuzzIdentity", "an identity from a library"},
	{"internal/cli", "FuzzEventReader", "input of fraiseql publish"},
	{"bus/redisbus", "FuzzURL", "URLs of Redis"},
	{"bus/natsbus", "FuzzParseURL", "URLs of NATS"},
}

// others are fuzz tests of what decodes nothing: make fuzz runs them.
var others = []target{
	{"internal/wsframe", "FuzzEncode", "the encoder of frames"},
}
