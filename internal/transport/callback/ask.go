package callback

import (
	"strconv"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// ask is what a client wants of its callback.
type ask struct {
	url, id, verifier string
	interval          time.Duration // between two checks, 0: none
}

const (
	maxURL      = 2048
	maxID       = 255
	maxVerifier = 4096
	maxDepth    = 64
	// A client that wants more checks than one a second gets one.
	minInterval     = time.Second
	maxInterval     = time.Hour
	defaultInterval = 5 * time.Second
)

// readAsk reads extensions.subscription. Members have their names of protocol 1.0, or those of its previews.
func readAsk(extensions []byte) (a ask, no *Error) {
	var t jsontape.Tape
	if len(extensions) == 0 || t.Parse(extensions, jsontape.Limits{Depth: maxDepth}) != nil {
		return a, missing()
	}
	object := t.Member(jsontape.Root, "subscription")
	if t.Kind(object) != jsontape.Object {
		return a, missing()
	}
	for _, m := range []struct {
		names [2]string
		most  int
		value *string
	}{
		{[2]string{"callbackUrl", "callback_url"}, maxURL, &a.url},
		{[2]string{"subscriptionId", "subscription_id"}, maxID, &a.id},
		{[2]string{"verifier", "verifier"}, maxVerifier, &a.verifier},
	} {
		value := member(&t, object, m.names)
		if t.Kind(value) != jsontape.String {
			return a, refuse(code.BadUserInput, "extensions.subscription."+m.names[0]+" must be a string")
		}
		*m.value = string(t.AppendString(nil, value))
		if *m.value == "" || len(*m.value) > m.most {
			return a, refuse(code.BadUserInput, "extensions.subscription."+m.names[0]+" must have 1 to "+strconv.Itoa(m.most)+" bytes")
		}
	}
	a.interval, no = readInterval(&t, member(&t, object, [2]string{"heartbeatIntervalMs", "heartbeat_interval_ms"}))
	return a, no
}

func missing() *Error {
	return refuse(code.BadUserInput, "a request with callbackSpec=1.0 needs extensions.subscription with callbackUrl, subscriptionId and verifier")
}

func member(t *jsontape.Tape, object jsontape.Ref, names [2]string) jsontape.Ref {
	if value := t.Member(object, names[0]); value != jsontape.None {
		return value
	}
	return t.Member(object, names[1])
}

func readInterval(t *jsontape.Tape, value jsontape.Ref) (time.Duration, *Error) {
	switch t.Kind(value) {
	case jsontape.Invalid, jsontape.Null:
		return defaultInterval, nil
	case jsontape.Number:
		if ms, err := strconv.ParseUint(string(t.Raw(value)), 10, 31); err == nil {
			if ms == 0 {
				return 0, nil
			}
			return min(max(time.Duration(ms)*time.Millisecond, minInterval), maxInterval), nil
		}
	}
	return 0, refuse(code.BadUserInput, "extensions.subscription.heartbeatIntervalMs must be a whole number of milliseconds, 0 for none")
}
