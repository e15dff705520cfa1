package embedded

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/bus/bustest"
	"github.com/fraiseql/fraiseql-go/bus/natsbus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// open returns the bus of a URL and closes it with the test.
func open(t *testing.T, url string) *Bus {
	t.Helper()
	b, err := Open(url, bus.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeBus(t, b) })
	return b
}

func closeBus(t *testing.T, b bus.Bus) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := b.Close(ctx); err != nil {
		t.Error(err)
	}
}

func TestConformance(t *testing.T) {
	addresses := map[bus.Bus]string{}
	bustest.Run(t, bustest.Options{
		Recalls: true,

		New: func(t *testing.T) bus.Bus {
			addr := testkit.FreeAddr(t)
			b := open(t, "nats://embedded?store="+url.QueryEscape(t.TempDir())+"&listen="+addr)
			addresses[b] = addr
			return b
		},
		Join: func(t *testing.T, first bus.Bus) bus.Bus { // a plain client of the other's server
			b, err := natsbus.Open("nats://"+addresses[first], bus.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { closeBus(t, b) })
			return b
		},
	})
}

// nobody takes what is delivered.
type nobody struct{}

func (nobody) Deliver(*bus.Message) int { return 0 }

// TestEventsOutliveTheProcess closes the bus and opens it again on the same store.
func TestEventsOutliveTheProcess(t *testing.T) {
	where := "nats://embedded?store=" + url.QueryEscape(t.TempDir())
	first := open(t, where)
	if err := first.Attach(t.Context(), nobody{}); err != nil {
		t.Fatal(err)
	}
	sent := bus.Message{Event: event.Event{Channel: "c", Type: "t", ID: "1", Data: []byte(`{"a":1}`)}}
	if _, err := first.Publish(t.Context(), []bus.Message{sent}); err != nil {
		t.Fatal(err)
	}
	before, err := first.History(t.Context(), "c", event.Position{}, 10)
	if err != nil {
		t.Fatal(err)
	}
	closeBus(t, first)
	second := open(t, where)
	if err := second.Attach(t.Context(), nobody{}); err != nil {
		t.Fatal(err)
	}
	after, err := second.History(t.Context(), "c", event.Position{}, 10)
	if err != nil || len(after.Messages) != 1 || after.Head != before.Head || !after.Complete {
		t.Errorf("after a restart: %+v, %v; before: %+v", after, err, before)
	}
}

func TestAStoreBelongsToOneProcess(t *testing.T) {
	where := "nats://embedded?store=" + url.QueryEscape(t.TempDir())
	first := open(t, where)
	if err := first.Attach(t.Context(), nobody{}); err != nil {
		t.Fatal(err)
	}
	second := open(t, where)
	if err := second.Attach(t.Context(), nobody{}); err == nil || !strings.Contains(err.Error(), "another process uses it") {
		t.Errorf("a second bus on one store: %v", err)
	}
	closeBus(t, first)
	if err := second.Attach(t.Context(), nobody{}); err != nil {
		t.Errorf("after the first was closed: %v", err)
	}
}

func TestAnAddressThatIsTaken(t *testing.T) {
	addr := testkit.FreeAddr(t)
	first := open(t, "nats://embedded?listen="+addr+"&store="+url.QueryEscape(t.TempDir()))
	if err := first.Attach(t.Context(), nobody{}); err != nil {
		t.Fatal(err)
	}
	second := open(t, "nats://embedded?listen="+addr+"&store="+url.QueryEscape(t.TempDir()))
	if err := second.Attach(t.Context(), nobody{}); err == nil || !strings.Contains(err.Error(), "does not start") || !strings.Contains(err.Error(), addr) {
		t.Errorf("an address that is taken: %v", err)
	}
}

func TestBadURLs(t *testing.T) {
	const cluster = "nats://embedded?store=x&name=a&cluster_listen=127.0.0.1:6222&routes=127.0.0.1:6223,127.0.0.1:6224&members=3"
	for rawURL, want := range map[string]string{
		"nats://host?store=x":                                      form,
		"tls://embedded?store=x":                                   form,
		"nats://embedded/x?store=x":                                form,
		"nats://embedded":                                          "parameter store: is required",
		"nats://embedded?store=":                                   "parameter store: must have one value",
		"nats://embedded?store=a&store=b":                          "parameter store: must have one value",
		"nats://secret@embedded?store=x":                           "user and password: both are needed",
		"nats://a:se%cret@embedded?store=x":                        "user and password: both are needed",
		"nats://embedded?store=x&listen=4222":                      "parameter listen: must be host:port",
		"nats://embedded?store=x&listen=0.0.0.0:1":                 "parameter listen: others can reach this address",
		"nats://embedded?store=x&listen=h:1":                       "parameter listen: others can reach this address",
		"nats://embedded?store=x&sync=never":                       "parameter sync: must be",
		"nats://embedded?store=x&mode=core":                        "parameter mode: the embedded server is there to keep",
		"nats://embedded?store=x&color=red":                        `unknown parameter "color"`,
		"nats://embedded?store=x&replicas=3":                       "parameter replicas: 3, but there are 1 members",
		"nats://embedded?store=x&name=a.b":                         "parameter name: may have",
		"nats://embedded?store=x&routes=a:1":                       "parameter members: must be 3 or 5",
		"nats://embedded?store=x&members=3":                        "parameter name: is required",
		"nats://embedded?store=x&members=many":                     "parameter members: must be 1, 3 or 5",
		"nats://embedded?store=x&tls_cert=a":                       "one needs the other",
		strings.Replace(cluster, "=3", "=2", 1):                    "parameter members: 2 is not safe",
		strings.Replace(cluster, "=3", "=4", 1):                    "parameter members: 4 is not safe",
		strings.Replace(cluster, "=3", "=5", 1):                    "parameter routes: names 2, want the 4 others",
		strings.Replace(cluster, "127.", "10.", 1):                 "parameter cluster_listen: others can reach this address",
		strings.Replace(cluster, ":6223", "", 1):                   "parameter routes: number 1 must be host:port",
		strings.Replace(cluster, "routes=", "routes=u:s3cret@", 1): "parameter routes: must be host:port without credentials",
	} {
		_, err := Open(rawURL, bus.Options{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "cret") {
			t.Errorf("%s: %v, want %q", rawURL, err, want)
		}
		if checked := Check(rawURL); checked == nil || err == nil || checked.Error() != err.Error() {
			t.Errorf("%s: Check says %v, Open %v", rawURL, checked, err)
		}
	}
	for _, good := range []string{cluster, "nats://u:p@embedded?store=x&listen=0.0.0.0:4222&sync=always&maxage=1h", cluster + "&replicas=1"} {
		if err := Check(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
}
