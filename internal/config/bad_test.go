package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// jwt is a file that is right; lines appended to it begin at line 6.
const jwt = `schema: s.graphql
auth.jwt.secret_file: secret
auth.jwt.issuer: me
auth.jwt.audience: us
listen: 127.0.0.1:4000
`

const tokenHint = "at least 16 are needed (try: openssl rand -hex 24)"

// bad is what is wrong with a file; want has F for its path.
var bad = []struct {
	name, text string
	want       []string
}{
	{"unknown key", jwt + "lisen: x", []string{`F:6: lisen: unknown key; did you mean "listen"?`}},
	{"unknown nested key", jwt + "limits:\n  event_byte: 1", []string{`F:7: limits.event_byte: unknown key; did you mean "limits.event_bytes"?`}},
	{"unknown key, nothing near", jwt + "colour: red", []string{`F:6: colour: unknown key`}},
	{"unknown section", jwt + "server:\n  port: 1", []string{`F:6: server: unknown key`}},
	{"misspelt section", "schema: s.graphql\nauht:\n  jwt: {secret_file: secret, issuer: us, audience: us}", []string{`F:2: auht: unknown key; did you mean "auth"?`}},
	{"misspelt section, dotted", "schema: s.graphql\nauht.jwt.secret_file: secret", []string{`F:2: auht.jwt.secret_file: unknown key; did you mean "auth.jwt.secret_file"?`}},
	{"misspelt section in a section", jwt + "auth:\n  jwt:\n    clams: {user: sub}", []string{`F:8: auth.jwt.clams: unknown key; did you mean "auth.jwt.claims"?`}},
	{"misspelt key for tokens", "schema: s.graphql\nauth.jwt: {secrt: x, issuer: us, audience: us}", []string{`F:2: auth.jwt.secrt: unknown key; did you mean "auth.jwt.secret"?`}},
	{"unset variable of the key for tokens", "schema: s.graphql\nauth.jwt: {secret: \"${FRAISEQL_TEST_UNSET}\", issuer: us, audience: us}", []string{`F:2: auth.jwt.secret: the environment variable FRAISEQL_TEST_UNSET is not set`}},
	{"section with a value", jwt + "admin: 127.0.0.1:9", []string{`F:6: admin: is a section: it takes keys such as "admin.listen"`}},
	{"key with a mapping", jwt + "bus:\n  url: memory://", []string{`F:6: bus: must be text`}},
	{"dev in the file", jwt + "dev: true", []string{`F:6: dev: is a flag only: fraiseql serve --dev`}},
	{"dev_any_address in the file", jwt + "dev_any_address: true", []string{`F:6: dev_any_address: is a flag only: fraiseql serve --dev-any-address`}},
	{"twice", jwt + "listen: 127.0.0.1:1", []string{`F:6: listen: set twice; first in line 5`}},
	{"twice, dotted and nested", jwt + "log.level: info\nlog:\n  level: warn", []string{`F:8: log.level: set twice; first in line 6`}},
	{"no value", jwt + "bus:", []string{`F:6: bus: has no value; give one or leave the key out`}},
	{"empty text", jwt + `bus: ""`, []string{`F:6: bus: is empty; give a value or leave the key out`}},
	{"number for text", "schema: s.graphql\nauth.jwt: {secret_file: secret, issuer: 12, audience: us}", []string{`F:2: auth.jwt.issuer: must be text: put it in quotes`}},
	{"boolean for text", "schema: s.graphql\nauth.jwt: {secret_file: secret, issuer: us, audience: true}", []string{`F:2: auth.jwt.audience: must be text: put it in quotes`}},
	{"list for text", jwt + "bus: [a]", []string{`F:6: bus: must be text`}},
	{"text for a list", jwt + "origins: https://a.example", []string{`F:6: origins: must be a list, such as [a, b]`}},
	{"list with a number", jwt + "origins: [1]", []string{`F:6: origins: item 0 must be text: put it in quotes`}},
	{"list with an item twice", jwt + `origins: ["https://a.example", "https://a.example"]`, []string{`F:6: origins: item 1 is there twice`}},
	{"list with an empty item", jwt + `origins: [""]`, []string{`F:6: origins: item 0 is empty`}},
	{"yes", jwt + "introspection: yes", []string{`F:6: introspection: "yes" must be true or false`}},
	{"negative count", jwt + "limits.queue_messages: -1", []string{`F:6: limits.queue_messages: "-1" is not a whole number from 0 on`}},
	{"fraction", jwt + "limits.queue_messages: 1.5", []string{`F:6: limits.queue_messages: "1.5" is not a whole number from 0 on`}},
	{"huge count", jwt + "limits.queue_messages: 99999999999999", []string{`F:6: limits.queue_messages: "99999999999999" is too large`}},
	{"zero", jwt + "limits.queue_messages: 0", []string{`F:6: limits.queue_messages: must be more than 0`}},
	{"bursts without a rate", jwt + "limits.subscribe_burst: 5\nlimits.publish_burst: 5\nlimits.subscribe_rate: 0\nlimits.publish_rate: 0", []string{
		`F:6: limits.subscribe_burst: is set without limits.subscribe_rate`, `F:7: limits.publish_burst: is set without limits.publish_rate`}},
	{"zero duration", jwt + "limits.init_timeout: 0s", []string{`F:6: limits.init_timeout: must be more than 0`}},
	{"decimal unit", jwt + "limits.event_bytes: 1MB", []string{`F:6: limits.event_bytes: "1MB" is not a size; write for example 65536, 64KiB, 4MiB or 1GiB`}},
	{"huge size", jwt + "limits.queue_bytes: 999999GiB", []string{`F:6: limits.queue_bytes: "999999GiB" is too large`}},
	{"duration without a unit", jwt + "drain.window: 10", []string{`F:6: drain.window: "10" is not a duration; write for example 500ms, 30s or 5m`}},
	{"negative duration", jwt + "drain.window: -1s", []string{`F:6: drain.window: "-1s" must be between 0s and 24h`}},
	{"parts beyond the whole", jwt + "limits: {connections: 10, connections_per_ip: 11, connections_per_user: 12, connections_per_tenant: 13, subscriptions_per_connection: 2000, fields_per_user: 5, document_fields: 10}", []string{
		`F:6: limits.connections_per_ip: is more than limits.connections, 10: it could never be reached`,
		`F:6: limits.connections_per_user: is more than limits.connections, 10: it could never be reached`,
		`F:6: limits.connections_per_tenant: is more than limits.connections, 10: it could never be reached`,
		`F:6: limits.subscriptions_per_connection: is more than limits.subscriptions_per_user, 1000: it could never be reached`,
		`F:6: limits.document_fields: is more than limits.fields_per_user, 5: it could never be reached`}},
	{"hooks", jwt + "hooks: {on_connect.url: \"ftp://a.example\", networks: [\"10.0.0.1\"], recheck.every: 0s}", []string{
		`F:6: hooks.networks[0]: "10.0.0.1" is not a network such as 10.0.0.0/8`, `F:6: hooks.on_connect.url: must begin with https:// or http://`, `F:6: hooks.recheck.every: must be more than 0`,
		`hooks.secret: must be set, or secret_file: what hooks are sent is signed with it`}},
	{"hooks and callbacks that cannot be called", jwt + "hooks: {on_connect.url: \"http://127.0.0.1:9000/x\", recheck.url: \"http://localhost/x\", secret: 0123456789abcdef, networks: [\"10.0.0.0/8\"]}\ncallback: {allowed_urls: [\"https://[fd00::1]/callback/*\", \"https://router.example/callback/*\"]}", []string{
		`F:6: hooks.on_connect.url: 127.0.0.1 is not a public address, and no network that is allowed has it: it could not be called; add its network to hooks.networks`,
		`F:6: hooks.recheck.url: localhost is not a public address, and no network that is allowed has it: it could not be called; add its network to hooks.networks`,
		`F:7: callback.allowed_urls[0]: fd00::1 is not a public address, and no network that is allowed has it: it could not be called; add its network to callback.allowed_networks`}},
	{"a short secret of hooks", jwt + "hooks: {on_connect.url: \"https://hooks.example/\", secret_file: short}", []string{`F:6: hooks.secret_file: has 5 bytes; at least 16 are needed (try: openssl rand -hex 24)`}},
	{"a short secret of nodes", jwt + "node.secret_file: short", []string{`F:6: node.secret_file: has 5 bytes; at least 32 are needed (try: openssl rand -hex 24)`}},
	{"no public key", "schema: s.graphql\nauth.jwt: {public_key_file: short, issuer: a, audience: b}", []string{`F:2: auth.jwt.public_key_file: D/short: is not PEM (-----BEGIN PUBLIC KEY-----)`}},
	{"a secret for nothing", jwt + "hooks.secret: 0123456789abcdef", []string{`F:6: hooks.secret: has no effect without a URL of a hook`}},
	{"no room for work", jwt + "limits.memory: 1MiB", []string{`F:6: limits.memory: is less than 32MiB: the server needs as much when it is idle`}},
	{"long token life", jwt + "auth.max_token_life: 10000h", []string{`F:6: auth.max_token_life: "10000h" must be between 0s and 8784h`}},
	{"no token life", jwt + "auth.max_token_life: 0s", []string{`F:6: auth.max_token_life: must be more than 0`}},
	{"node without its secret", jwt + "node: {name: a.b, address: 10.0.0.1}", []string{
		`F:6: node.name: must be 1 to 63 letters, digits, - and _`, `F:6: node.address: must be http(s)://host[:port]`, `F:6: node.address: needs node.secret, the same on all nodes (try: openssl rand -hex 24)`}},
	{"short node secret", jwt + "node.secret: short", []string{`F:6: node.secret: has 5 bytes; at least 32 are needed (try: openssl rand -hex 24)`}},
	{"short admin token", jwt + "admin: {token: short, listen: \"127.0.0.1:4001\"}", []string{`F:6: admin.token: has 5 bytes; ` + tokenHint}},
	{"admin token without a listener", jwt + "admin.token: 0123456789abcdef", []string{`F:6: admin.token: needs admin.listen`}},
	{"one token for both", jwt + "admin: {token: 0123456789abcdef, listen: \"127.0.0.1:4001\"}\npublish.tokens: [{token: 0123456789abcdef}]", []string{
		`F:6: admin.token: is the same as publish.tokens[0]: whoever publishes could revoke`}},
	{"long duration", jwt + "drain.window: 25h", []string{`F:6: drain.window: "25h" must be between 0s and 24h`}},
	{"choice", jwt + "log.level: inof", []string{`F:6: log.level: "inof" is not one of debug, info, warn, error; did you mean "info"?`}},
	{"preset", jwt + "preset: fast", []string{`F:6: preset: "fast" is not one of development, production, high-throughput`}},
	{"isolation", jwt + "security.isolation: none", []string{`F:6: security.isolation: "none" is not one of strict, addressed`}},
	{"row filter", jwt + "security.row_filter: owner", []string{`F:6: security.row_filter: "owner" is not one of none, tenant, user, both`}},
	{"unset variable", jwt + "bus: ${FRAISEQL_TEST_UNSET}", []string{`F:6: bus: the environment variable FRAISEQL_TEST_UNSET is not set`}},
	{"bad variable name", jwt + "bus: ${A-B}", []string{`F:6: bus: "A-B" is not the name of an environment variable`}},
	{"single dollar", jwt + "bus: memory://$HOST", []string{`F:6: bus: a single $; write ${NAME} for an environment variable or $$ for a dollar sign`}},
	{"unclosed reference", jwt + "bus: ${HOST", []string{`F:6: bus: a single $; write ${NAME} for an environment variable or $$ for a dollar sign`}},
	{"not YAML", "schema: [a\nlisten: b", []string{`F:1: not YAML: did not find expected ',' or ']'`}},
	{"tab", "schema: a\n\tlisten: b", []string{`F:2: not YAML: found a tab character that violates indentation`}},
	{"not a mapping", "- a\n- b", []string{"F:1: the file must be a mapping of keys to values, such as `listen: 127.0.0.1:4000`"}},
	{"two documents", jwt + "---\nlisten: 127.0.0.1:1", []string{`F:6: the file holds more than one YAML document; keep the first`}},
	{"alias", jwt + "origins: &o [a]\nadmin.listen: *o", []string{`F:6: anchors and aliases are not allowed; write the value out`}},
	{"tag", jwt + "bus: !!binary aGk=", []string{`F:6: tags such as !!binary are not allowed`}},
	{"deep", jwt + "bus: [[[[[[[[[a]]]]]]]]]", []string{`F:6: nested too deeply`}},
	{"key that is a list", jwt + "? [a]\n: b", []string{`F:6: a key must be a name`}},
	{"merge key", jwt + "<<: {bus: x}", []string{`F:6: a key must be a name`}},
	{"address", jwt + "admin.listen: 9090", []string{`F:6: admin.listen: must be text: put it in quotes`}},
	{"address without a port", jwt + "admin.listen: localhost", []string{`F:6: admin.listen: "localhost" must be host:port, such as 127.0.0.1:4000`}},
	{"port", jwt + "admin.listen: localhost:70000", []string{`F:6: admin.listen: port "70000" must be a number from 0 to 65535`}},
	{"named port", jwt + "admin.listen: localhost:http", []string{`F:6: admin.listen: port "http" must be a number from 0 to 65535`}},
	{"host", jwt + "admin.listen: a b:1", []string{`F:6: admin.listen: "a b" is not a host`}},
	{"same address", jwt + "admin.listen: 127.0.0.1:4000", []string{`F:6: admin.listen: is the same as listen; operators' endpoints need a port of their own`}},
	{"pprof without a listener", jwt + "admin.pprof: true", []string{`F:6: admin.pprof: needs admin.listen`}},
	{"bus without a scheme", jwt + "bus: memory", []string{`F:6: bus: must be a URL such as memory:// or redis://127.0.0.1:6379`}},
	{"unknown bus", jwt + "bus: kafka://u:secretword@h", []string{`F:6: bus: unknown bus kafka://; this build knows memory://, redis://, rediss://, unix://, redis+sentinel://, rediss+sentinel://, redis+cluster://, rediss+cluster://, postgres://, postgresql://, nats://, tls://`}},
	{"bus with parameters", jwt + "bus: memory://x", []string{`F:6: bus: memory:// takes no host and no parameters`}},
	{"bus twice", jwt + "bus: memory://\nbus_file: secret", []string{`F:7: bus_file: can't be combined with bus; use one of them`}},
	{"origin without a scheme", jwt + "origins: [app.example.com]", []string{`F:6: origins[0]: "app.example.com" must be scheme://host[:port], such as https://app.example.com`}},
	{"origin with a path", jwt + `origins: ["https://a.example/"]`, []string{`F:6: origins[0]: "https://a.example/" must end after the host and the port: https://a.example`}},
	{"origin with a wildcard", jwt + `origins: ["https://*.example"]`, []string{`F:6: origins[0]: "https://*.example": wildcards are not supported; list the origins`}},
	{"cookie with any origin", jwt + "auth.jwt.cookie: session\norigins: [\"*\"]", []string{`F:7: origins[0]: * together with auth.jwt.cookie would let every web page act as its visitor; list the origins`}},
	{"no schema", strings.Replace(jwt, "schema: s.graphql", "", 1), []string{`schema: nothing to serve: give --schema FILE (key schema), or --schemaless to serve channels without one`}},
	{"no such schema", strings.Replace(jwt, "s.graphql", "nope.graphql", 1), []string{`F:1: schema: no file D/nope.graphql`}},
	{"schema and schemaless", jwt + "schemaless: {enabled: true, channels: [a]}", []string{`F:6: schemaless.enabled: contradicts schema; use one of them`}},
	{"channels without schemaless", jwt + "schemaless.channels: [a]", []string{`F:6: schemaless.channels: has no effect unless schemaless.enabled is true`}},
	{"schemaless without channels", "auth.anonymous: true\nschemaless.enabled: true", []string{`schemaless.channels: must list the channels that clients may subscribe to (a name, or a prefix and *); only --dev serves every channel`}},
	{"reserved channel", "auth.anonymous: true\nschemaless: {enabled: true, channels: [__x, $$y, a>b, \"a b\"]}", []string{
		`F:2: schemaless.channels[0]: "__x" begins with __ or $, which are reserved`,
		`F:2: schemaless.channels[1]: "$y" begins with __ or $, which are reserved`,
		`F:2: schemaless.channels[2]: "a>b" contains one of * > { }, which are reserved`,
		`F:2: schemaless.channels[3]: "a b" contains white space`,
	}},
	{"no authentication", "schema: s.graphql", []string{"auth: no authentication is configured. Set one of\n" +
		"    auth.jwt.jwks_url, auth.jwt.public_key_file or auth.jwt.secret_file, with auth.jwt.issuer and auth.jwt.audience\n" +
		"    auth.anonymous: true    to admit everybody without credentials\n" +
		"  or start with --dev on your own machine"}},
	{"two keys", jwt + "auth.jwt.public_key_file: key.pem", []string{`F:6: auth.jwt.public_key_file: can't be combined with auth.jwt.secret_file; tokens are verified with one kind of key`}},
	{"secret twice", jwt + "auth.jwt.secret: \"0123456789012345678901234567890123456789\"", []string{`F:2: auth.jwt.secret_file: can't be combined with auth.jwt.secret; use one of them`}},
	{"short secret", strings.Replace(jwt, "secret\n", "short\n", 1), []string{`F:2: auth.jwt.secret_file: has 5 bytes; at least 32 are needed (try: openssl rand -base64 48)`}},
	{"empty secret", strings.Replace(jwt, "secret\n", "empty\n", 1), []string{`F:2: auth.jwt.secret_file: D/empty is empty`}},
	{"no such secret", strings.Replace(jwt, "secret\n", "nope\n", 1), []string{`F:2: auth.jwt.secret_file: cannot read D/nope: no such file or directory`}},
	{"no such key", "schema: s.graphql\nauth.jwt: {public_key_file: nope, issuer: a, audience: b}", []string{`F:2: auth.jwt.public_key_file: cannot read D/nope`}},
	{"jwks over http", "schema: s.graphql\nauth.jwt: {jwks_url: \"http://id.example/k\", issuer: a, audience: b}", []string{`F:2: auth.jwt.jwks_url: must be https: keys fetched over plain http can be replaced on the way`}},
	{"jwks is no URL", "schema: s.graphql\nauth.jwt: {jwks_url: id.example, issuer: a, audience: b}", []string{`F:2: auth.jwt.jwks_url: must be an https URL`}},
	{"no issuer, no audience", "schema: s.graphql\nauth.jwt.secret_file: secret", []string{
		`auth.jwt.issuer: must be set, so that tokens made for others are refused; "*" accepts any`,
		`auth.jwt.audience: must be set, so that tokens made for others are refused; "*" accepts any`,
	}},
	{"algorithm none", jwt + "auth.jwt.algorithms: [none]", []string{`F:6: auth.jwt.algorithms[0]: "none" can't be used with a shared secret; possible: HS256, HS384, HS512`}},
	{"algorithm of another family", "schema: s.graphql\nauth.jwt: {public_key_file: key.pem, algorithms: [HS256], issuer: a, audience: b}", []string{
		`F:2: auth.jwt.algorithms[0]: "HS256" can't be used with a public key; possible: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA`}},
	{"no algorithm", jwt + "auth.jwt.algorithms: []", []string{`F:6: auth.jwt.algorithms: is empty; leave it out for those of the key's family`}},
	{"cookie name", jwt + "auth.jwt.cookie: a=b", []string{`F:6: auth.jwt.cookie: "a=b" is not the name of a cookie`}},
	{"leeway", jwt + "auth.jwt.leeway: 10m", []string{`F:6: auth.jwt.leeway: 10m0s is more than 5m`}},
	{"claims without a key", minimal + "auth.jwt.claims.user: sub", []string{`F:3: auth.jwt.claims.user: has no effect without auth.jwt.secret, auth.jwt.secret_file, auth.jwt.public_key_file or auth.jwt.jwks_url`}},
	{"tokens are no list", jwt + "publish.tokens: {token: x}", []string{`F:6: publish.tokens: must be a list of tokens, such as [{token: …, channels: [orders]}]`}},
	{"no token in the list", jwt + "publish.tokens: []", []string{`F:6: publish.tokens: is empty; list a token or leave the key out`}},
	{"token is text", jwt + "publish.tokens:\n  - abc", []string{`F:7: publish.tokens[0]: must be a mapping with token or token_file`}},
	{"token without a token", jwt + "publish.tokens:\n  - channels: [a]", []string{`F:6: publish.tokens[0]: needs token or token_file`}},
	{"short token", jwt + "publish.tokens:\n  - token: abc", []string{`F:6: publish.tokens[0].token: has 3 bytes; ` + tokenHint}},
	{"token with a space", jwt + "publish.tokens:\n  - token: 0123456789 abcdef", []string{`F:6: publish.tokens[0].token: must consist of printable ASCII characters without spaces, as it travels in a header`}},
	{"numeric token", jwt + "publish.tokens:\n  - token: 01234567890123456789", []string{`F:7: publish.tokens[0].token: must be text: put it in quotes`}},
	{"same token", jwt + "publish.tokens: [{token: 0123456789abcdef}, {token: 0123456789abcdef}]", []string{`F:6: publish.tokens[1].token: is the same as publish.tokens[0]`}},
	{"token member", jwt + "publish.tokens:\n  - token: 0123456789abcdef\n    chanels: [a]", []string{`F:8: publish.tokens[0].chanels: unknown key; did you mean "channels"?`}},
	{"token member twice", jwt + "publish.tokens:\n  - token: 0123456789abcdef\n    token: 0123456789abcdef", []string{`F:8: publish.tokens[0].token: set twice`}},
	{"token without channels", jwt + "publish.tokens: [{token: 0123456789abcdef, channels: []}]", []string{`F:6: publish.tokens[0].channels: is empty: the token could publish nothing; leave it out for every channel`}},
	{"token without tenants", jwt + "publish.tokens: [{token: 0123456789abcdef, tenants: []}]", []string{`F:6: publish.tokens[0].tenants: is empty: the token could publish nothing; leave it out for every tenant`}},
	{"tenants and broadcast", jwt + "publish.tokens: [{token: 0123456789abcdef, tenants: [a], broadcast: true}]", []string{`F:6: publish.tokens[0].broadcast: contradicts tenants: a broadcast reaches every tenant`}},
	{"channel pattern", jwt + "publish.tokens: [{token: 0123456789abcdef, channels: [\"a*b\"]}]", []string{`F:6: publish.tokens[0].channels[0]: "a*b" contains one of * > { }, which are reserved`}},
	{"rate without tokens", jwt + "publish.rate: 5", []string{`F:6: publish.rate: has no effect without publish.tokens`}},
	{"scope names", jwt + "security.scope: {user: [\"a-b\"], tenant: []}", []string{`F:6: security.scope.user[0]: "a-b" is not the name of an argument`, `F:6: security.scope.tenant: is empty: check 1 would compare nothing; use @unscoped on the arguments that are exempt`}},
	{"scope names in both", jwt + "security.scope: {user: [org_id], tenant: [OrgID]}", []string{`F:6: security.scope.tenant: "OrgID" is in security.scope.user too`}},
	{"publish bytes", jwt + "limits.publish_bytes: 17MiB", []string{`F:6: limits.publish_bytes: can be at most 16MiB`}},
	{"publish events", jwt + "limits.publish_events: 10001", []string{`F:6: limits.publish_events: can be at most 10000`}},
	{"memory smaller than a request", jwt + "limits.publish_memory: 1MiB", []string{`F:6: limits.publish_memory: is less than limits.publish_bytes: a request of that size could never be taken`}},
	{"event larger than a request", jwt + "limits.event_bytes: 17MiB", []string{`F:6: limits.event_bytes: is more than limits.publish_bytes, 16MiB: no such event could be published`}},
	{"requests smaller than an event", jwt + "limits.publish_bytes: 64KiB", []string{`F:6: limits.publish_bytes: is less than limits.event_bytes, 1MiB: no such event could be published; lower that too`}},
	{"document larger than a message", jwt + "limits.document_bytes: 2MiB", []string{`F:6: limits.document_bytes: is more than limits.message_bytes, 1MiB: no such document could be sent`}},
	{"messages smaller than a document", jwt + "limits.message_bytes: 32KiB", []string{`F:6: limits.message_bytes: is less than limits.document_bytes, 64KiB: no such document could be sent; lower that too`}},
	{"queue larger than its connection", jwt + "limits.queue_bytes: 32MiB", []string{`F:6: limits.queue_bytes: is more than limits.connection_queue_bytes, 16MiB: a queue could never be full`}},
	{"queue beyond 32 bits", jwt + "limits: {queue_bytes: 2GiB, connection_queue_bytes: 4GiB}", []string{`F:6: limits.queue_bytes: can be at most 1GiB`}},
	{"connection smaller than a queue", jwt + "limits.connection_queue_bytes: 1MiB", []string{`F:6: limits.connection_queue_bytes: is less than limits.queue_bytes, 4MiB: a queue could never be full; lower that too`}},
	{"depth", jwt + "limits.event_depth: 1001", []string{`F:6: limits.event_depth: can be at most 1000`}},
	{"several at once", "lisen: 1\nbus: 5\nlog: {level: loud}\nauth.anonymous: maybe", []string{
		`F:1: lisen: unknown key; did you mean "listen"?`,
		`F:2: bus: must be text: put it in quotes`,
		`F:3: log.level: "loud" is not one of debug, info, warn, error`,
		`F:4: auth.anonymous: "maybe" must be true or false`,
		`schema: nothing to serve: give --schema FILE (key schema), or --schemaless to serve channels without one`,
	}},
}

func TestBadFiles(t *testing.T) {
	for _, c := range bad {
		t.Run(c.name, func(t *testing.T) {
			file := write(t, c.text)
			_, err := Load(Source{File: file})
			if err == nil {
				t.Fatal("no error")
			}
			got := strings.ReplaceAll(err.Error(), file, "F")
			got = strings.ReplaceAll(got, strings.TrimSuffix(file, "/fraiseql.yaml"), "D")
			if diff := cmp.Diff(strings.Join(c.want, "\n"), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if strings.Contains(got, "secretword") || strings.Contains(got, "0123456789abcdef") {
				t.Errorf("a secret shows in %s", got)
			}
		})
	}
}

func TestBadFlags(t *testing.T) {
	ok := write(t, jwt)
	for _, c := range []struct {
		name string
		src  Source
		want string
	}{
		{"no such file", Source{File: "nope.yaml", Dev: true, Builtin: true}, "nope.yaml: cannot read the configuration file: no such file or directory"},
		{"set without =", Source{File: ok, Sets: []string{"listen"}}, "--set: listen: must be key=value, such as --set log.level=debug"},
		{"set of an unknown key", Source{File: ok, Sets: []string{"log.levl=info"}}, `--set log.levl: unknown key; did you mean "log.level"?`},
		{"set of a section", Source{File: ok, Sets: []string{"log=info"}}, "--set log: is a section; set a key such as log.level"},
		{"set of a secret", Source{File: ok, Sets: []string{"auth.jwt.secret=x"}}, "--set auth.jwt.secret: is a secret and can't be given on the command line; use auth.jwt.secret_file or the environment variable FRAISEQL_AUTH_JWT_SECRET"},
		{"set of tokens", Source{File: ok, Sets: []string{"publish.tokens=x"}}, "--set publish.tokens: is a secret and can't be given on the command line; use publish.tokens[].token_file or the environment variable FRAISEQL_PUBLISH_TOKENS"},
		{"set twice", Source{File: ok, Sets: []string{"log.level=info", "log.level=warn"}}, "--set log.level: log.level: is set by --set log.level too; use one of them"},
		{"flag and set", Source{File: ok, Flags: map[string]string{"log.level": "info"}, Sets: []string{"log.level=warn"}}, "--set log.level: log.level: is set by --log-level too; use one of them"},
		{"bad flag", Source{File: ok, Flags: map[string]string{"log.level": "loud"}}, `--log-level: "loud" is not one of debug, info, warn, error`},
		{"bad variable", Source{File: ok, Environ: []string{"FRAISEQL_LOG_LEVEL=loud"}}, `FRAISEQL_LOG_LEVEL: log.level: "loud" is not one of debug, info, warn, error`},
		{"bad tokens variable", Source{File: ok, Environ: []string{"FRAISEQL_PUBLISH_TOKENS=[{"}}, "FRAISEQL_PUBLISH_TOKENS: publish.tokens: must be a list of tokens, such as [{token: …, channels: [orders]}]"},
		{"dev on every address", Source{File: ok, Dev: true, Flags: map[string]string{"listen": "0.0.0.0:4000"}}, "--listen: 0.0.0.0:4000 is not a loopback address; with --dev everything is open, so listen on 127.0.0.1 (or add --dev-any-address if you must)"},
		{"dev on no address", Source{File: ok, Dev: true, Flags: map[string]string{"listen": ":4000"}}, "--listen: :4000 is not a loopback address; with --dev everything is open, so listen on 127.0.0.1 (or add --dev-any-address if you must)"},
		{"any address without dev", Source{File: ok, DevAnyAddress: true}, "--dev-any-address needs --dev"},
		{"demo with a schema", Source{File: ok, Dev: true, Demo: true, Builtin: true}, "F:1: schema: --demo brings its own schema; leave --schema and --schemaless out"},
		{"dev without anybody", Source{Dev: true, Builtin: true, Sets: []string{"auth.anonymous=false"}}, "--set auth.anonymous: auth.anonymous: is false and no token key is configured: nobody could connect; set auth.jwt.* or leave it out"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Load(c.src)
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(c.want, strings.ReplaceAll(err.Error(), ok, "F")); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestDevAnyAddress(t *testing.T) {
	_, err := Load(Source{File: write(t, jwt), Dev: true, DevAnyAddress: true, Flags: map[string]string{"listen": "0.0.0.0:4000"}})
	if err != nil {
		t.Error(err)
	}
}

func FuzzLoad(f *testing.F) {
	for _, c := range bad {
		f.Add([]byte(c.text))
	}
	f.Add([]byte(jwt))
	f.Fuzz(func(t *testing.T, text []byte) {
		fl := &file{name: "f.yaml", lookup: func(string) (string, bool) { return "value", true }}
		fl.parse(text)
		for _, p := range fl.problems {
			if p.Place.Line < 0 || p.Message == "" {
				t.Errorf("problem %+v", p)
			}
		}
		for _, s := range fl.settings {
			var c Config
			if err := s.key.assign(&c, s.node, "dir"); err != nil && err.Error() == "" {
				t.Errorf("%s: an error without a text", s.key.Path)
			}
		}
	})
}
