package callback

import (
	"strings"
	"testing"
	"time"
)

func TestReadAsk(t *testing.T) {
	a, no := readAsk([]byte(`{"subscription":{"callback_url":"u","subscription_id":"i","verifier":"v\u00e9"}}`))
	if no != nil || a != (ask{"u", "i", "vé", 5 * time.Second}) {
		t.Errorf("names of the previews: %+v %v", a, no)
	}
	for text, want := range map[string]time.Duration{"0": 0, "1": time.Second, "2500": 2500 * time.Millisecond, "99999999": time.Hour, "null": 5 * time.Second} {
		a, no := readAsk([]byte(`{"subscription":{"callbackUrl":"u","subscriptionId":"i","verifier":"v","heartbeatIntervalMs":` + text + `}}`))
		if no != nil || a.interval != want {
			t.Errorf("%s: %v %v, want %v", text, a.interval, no, want)
		}
	}
	for _, text := range []string{"-1", "1.5", "1e3", `"1"`, "[]", "99999999999999999999"} {
		if _, no := readAsk([]byte(`{"subscription":{"callbackUrl":"u","subscriptionId":"i","verifier":"v","heartbeatIntervalMs":` + text + `}}`)); no == nil {
			t.Errorf("%s passes", text)
		}
	}
	if _, no := readAsk([]byte(`{"subscription":{"callbackUrl":"` + strings.Repeat("u", maxURL+1) + `","subscriptionId":"i","verifier":"v"}}`)); no == nil {
		t.Error("a long URL passes")
	}
}

// FuzzReadAsk reads whatever a client sends as extensions.
func FuzzReadAsk(f *testing.F) {
	f.Add([]byte(`{"subscription":{"callbackUrl":"u","subscriptionId":"i","verifier":"v","heartbeatIntervalMs":5000}}`))
	f.Add([]byte(`{"subscription":[]}`))
	f.Add([]byte(`{"subscription":{"callbackUrl":"\ud800","subscriptionId":"\u0000","verifier":{}}}`))
	f.Fuzz(func(t *testing.T, extensions []byte) {
		a, no := readAsk(extensions)
		if no == nil && (a.url == "" || a.id == "" || a.verifier == "" || len(a.id) > maxID || len(a.verifier) > maxVerifier || a.interval < 0 || a.interval > maxInterval) {
			t.Fatalf("%q gives %+v", extensions, a)
		}
	})
}
