package natsbus

import (
	"fmt"
	"testing"
)

// FuzzDelivery reads reply subjects: what was read is what stands there, in both forms.
func FuzzDelivery(f *testing.F) {
	f.Add("$JS.ACK.events.c1.1.7.5.1700000000000000000.3")
	f.Add("$JS.ACK.domain.account.events.c1.1.7.5.1700000000000000000.3.token")
	f.Add("$JS.ACK.......")
	f.Add("_INBOX.x")
	f.Fuzz(func(t *testing.T, reply string) {
		d, ok := parseDelivery(reply)
		if !ok {
			if d != (delivery{}) {
				t.Errorf("%q: %+v of what is none", reply, d)
			}
			return
		}
		for _, form := range []string{"$JS.ACK.s.c.1.%d.%d.%d.%d", "$JS.ACK._.a.s.c.1.%d.%d.%d.%d.t"} {
			again, ok := parseDelivery(fmt.Sprintf(form, d.seq, d.consumerSeq, uint64(d.stored.UnixNano()), d.pending))
			if !ok || again.seq != d.seq || again.consumerSeq != d.consumerSeq || again.pending != d.pending || !again.stored.Equal(d.stored) {
				t.Errorf("%q: %+v, again %+v", reply, d, again)
			}
		}
	})
}
