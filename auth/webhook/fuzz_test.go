package webhook

import (
	"testing"
	"time"
)

// FuzzVerify reads signatures: none passes but the one that was made.
func FuzzVerify(f *testing.F) {
	now := time.Unix(1_795_435_200, 0)
	body := []byte(`{"event":"connect"}`)
	good := Sign(secret, now, body)
	for _, s := range []string{"", good, good + "0", good[:len(good)-1], "t=,v1=", "t=1,v1=zz", "t=-1,v1=00", "v1=00,t=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, signature string) {
		if Verify(secret, signature, body, now, time.Minute) != (signature == good) {
			t.Fatalf("%q against %q", signature, good)
		}
	})
}
