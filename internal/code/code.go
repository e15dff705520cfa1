// Package code is the one table of the error codes that clients see: in `extensions.code` of
// GraphQL errors, in `code` of HTTP errors and in Python's SubscriptionError.code. docs/reference/errors.md is
// generated from it.
package code

// Statuses of HTTP that are used here. Not of net/http, for engines are built without it too.
const (
	statusBadRequest            = 400
	statusUnauthorized          = 401
	statusForbidden             = 403
	statusRequestEntityTooLarge = 413
	statusUnprocessableEntity   = 422
	statusTooManyRequests       = 429
	statusInternalServerError   = 500
	statusServiceUnavailable    = 503
	statusGatewayTimeout        = 504
)

// The codes.
const (
	ParseFailed          = "GRAPHQL_PARSE_FAILED"
	ValidationFailed     = "GRAPHQL_VALIDATION_FAILED"
	OperationResolution  = "OPERATION_RESOLUTION_FAILURE"
	BadUserInput         = "BAD_USER_INPUT"
	Unauthenticated      = "UNAUTHENTICATED"
	Forbidden            = "FORBIDDEN"
	ScopeMismatch        = "SCOPE_MISMATCH"
	TooManySubscriptions = "TOO_MANY_SUBSCRIPTIONS"
	RateLimited          = "RATE_LIMITED"
	LimitExceeded        = "LIMIT_EXCEEDED"
	InvalidValue         = "INVALID_VALUE"
	ResolverFailed       = "RESOLVER_FAILED"
	ResolverTimeout      = "RESOLVER_TIMEOUT"
	BusUnavailable       = "BUS_UNAVAILABLE"
	SlowConsumer         = "SLOW_CONSUMER"
	SchemaChanged        = "SCHEMA_CHANGED"
	InternalServerError  = "INTERNAL_SERVER_ERROR"
)

// Entry describes one code.
type Entry struct {
	Name string
	// HTTP is the status of an HTTP answer whose first error has this code, 0 if it never answers HTTP.
	HTTP int
	// Close is the WebSocket close code that comes with it, 0 if the connection stays open.
	Close int
	// Where says in which messages it is found.
	Where string
	// Text is what happened, Remedy what to do about it.
	Text, Remedy string
}

var table = []Entry{
	{ParseFailed, statusBadRequest, 0, "`error` at subscribe",
		"The document is not GraphQL.", "Look at `locations`; check quotes and brackets."},
	{ValidationFailed, statusUnprocessableEntity, 0, "`error` at subscribe; over HTTP so with `graphql_http: draft`, else 400, or 200 for `application/json`",
		"The document breaks a rule of the standard, does not fit the schema, or asks for what only the API of the application answers.", "Compare it with the schema; a subscription has exactly one root field and no `@skip` or `@include` there. Send mutations, and queries of other fields than `__schema`, `__type` and `__typename`, to the application."},
	{OperationResolution, statusUnprocessableEntity, 0, "`error` at subscribe; over HTTP so with `graphql_http: draft`, else 400, or 200 for `application/json`",
		"The document holds no operation of that name, or several and none was named.", "Send `operationName`."},
	{BadUserInput, statusBadRequest, 0, "`error` at subscribe; HTTP 400, 405 and 415 of the publish API",
		"A variable, an argument or a member of the request cannot be read.", "The message names it (`member`, `index`); correct the value."},
	{Unauthenticated, statusUnauthorized, 4403, "close 4403 after `connection_init`; HTTP 401; `error` at subscribe",
		"Credentials are missing or not valid.", "Send a fresh token as `Authorization: Bearer …`, or in the payload of `connection_init`."},
	{Forbidden, statusForbidden, 0, "`error` at subscribe; HTTP 403",
		"The credentials are valid and do not allow this.", "Ask for the role, the scope or the channel that the message names."},
	{ScopeMismatch, statusForbidden, 0, "`error` at subscribe",
		"An argument names a user or a tenant that is not the caller's own.", "Leave the argument out, or send the caller's own value."},
	{TooManySubscriptions, statusTooManyRequests, 0, "`error` at subscribe; HTTP 429",
		"The connection, the user or the tenant has as many subscriptions as it may have.", "Complete others first, or raise `limits.*`."},
	{RateLimited, statusTooManyRequests, 0, "`error` at subscribe; HTTP 429, or 503 where the server takes no more from anybody",
		"Too many requests in a short time, or as many clients as the server may have; or it is shutting down.", "Wait for `Retry-After` seconds, then send again."},
	{LimitExceeded, statusRequestEntityTooLarge, 0, "`error` at subscribe; HTTP 413",
		"A document, an event or a batch is larger than `limits.*` allows, or a channel or a tenant has as many different subscriptions (`limits.groups_per_channel`, `groups_per_tenant`).", "Make it smaller, or raise the limit that the message names; where it names none, the bound is fixed."},
	{InvalidValue, statusUnprocessableEntity, 0, "HTTP 422 of the publish API; `errors` of an event",
		"A value of an event is not what its member or the type of its field asks for. In a published event it is refused; in a delivered one the field is null.", "Correct the publisher, or the type in the schema."},
	{ResolverFailed, statusInternalServerError, 0, "`errors` of an event",
		"A resolver failed; its message is not shown to clients.", "Read the server's log."},
	{ResolverTimeout, statusGatewayTimeout, 0, "`errors` of an event",
		"A resolver took longer than `limits.resolver_timeout`.", "Make it quicker, or raise the limit."},
	{BusUnavailable, statusServiceUnavailable, 0, "HTTP 503 with `Retry-After`; of the publish API with `accepted`",
		"The event bus did not acknowledge, and events before `accepted` were taken; or it cannot be read, and no client is admitted.", "Come again later. Send the events after `accepted` again, with the same ids."},
	{SlowConsumer, 0, 4290, "close 4290; raised by `next_event()`",
		"The client reads more slowly than events come.", "Read faster, subscribe to less, or choose `@delivery(overflow: …)`."},
	{SchemaChanged, statusServiceUnavailable, 0, "`error` that ends a subscription",
		"The schema was replaced, and the subscription is not valid under the new one, or its caller may not have it.", "Load the schema again, then subscribe again."},
	{InternalServerError, statusInternalServerError, 0, "anywhere; HTTP 503 with `Retry-After` while a hook or who judges credentials cannot be asked",
		"A fault of the server, or of what it asks.", "Read the server's log; send it to the maintainers."},
}

// All returns the table in the order of docs/reference/errors.md. The caller must not change it.
func All() []Entry { return table }

// Lookup finds a code; ok is false when it is not in the table.
func Lookup(name string) (e Entry, ok bool) {
	for i := range table {
		if table[i].Name == name {
			return table[i], true
		}
	}
	return Entry{}, false
}

// Status is the HTTP status of a code, 500 for one that has none.
func Status(name string) int {
	if e, ok := Lookup(name); ok && e.HTTP != 0 {
		return e.HTTP
	}
	return statusInternalServerError
}
