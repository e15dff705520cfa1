package kubernetes

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

const patience = 90 * time.Second

// pod is one container of the manifest as a process here.
type pod struct {
	t       *testing.T
	addr    string // of HTTP
	args    []string
	env     []string
	command *exec.Cmd
	ended   chan struct{}

	mu  sync.Mutex
	out bytes.Buffer
}

// Write keeps what the process prints.
func (p *pod) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *pod) start() {
	p.t.Helper()
	p.command = exec.Command(testkit.Binary(p.t), p.args...)
	p.command.Env = append(os.Environ(), p.env...)
	p.command.Stdout, p.command.Stderr = p, p
	if err := p.command.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.ended = make(chan struct{})
	go func(command *exec.Cmd, ended chan struct{}) {
		_ = command.Wait() // how it ended shows in ProcessState
		close(ended)
	}(p.command, p.ended)
}

func (p *pod) kill() {
	_ = p.command.Process.Kill() // it may have ended
	<-p.ended
}

// probe asks until a path answers with a status.
func (p *pod) probe(path string, want int) {
	p.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; {
		if res, err := http.Get("http://" + p.addr + path); err == nil {
			_ = res.Body.Close()
			if res.StatusCode == want {
				return
			}
		}
		select {
		case <-tick.C:
		case <-p.ended:
			p.t.Fatalf("the process ended: %v", p.command.ProcessState)
		}
		if time.Now().After(end) {
			p.t.Fatalf("%s of %s is not %d", path, p.addr, want)
		}
	}
}

// pods makes a process of each pod. What is different here: addresses, and where volumes lie.
func pods(t *testing.T, m manifest) []*pod {
	t.Helper()
	set := m.find(t, "StatefulSet/fraiseql")
	c := &set.Spec.Template.Spec.Containers[0]
	config := t.TempDir()
	for name, text := range m.find(t, "ConfigMap/fraiseql").Data {
		text = strings.NewReplacer("/etc/fraiseql", config, "0.0.0.0:9090", "127.0.0.1:0").Replace(text)
		if err := os.WriteFile(filepath.Join(config, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	routes := make([]string, set.Spec.Replicas)
	for i := range routes {
		routes[i] = testkit.FreeAddr(t)
	}
	var list []*pod
	for i := range set.Spec.Replicas {
		p := &pod{t: t, addr: testkit.FreeAddr(t)}
		env := m.environment(t, c, fmt.Sprintf("fraiseql-%d", i))
		for name, value := range env {
			p.env = append(p.env, name+"="+value)
		}
		here := []string{"/etc/fraiseql", config, "/data", t.TempDir(), "0.0.0.0:4000", p.addr, "0.0.0.0:6222", routes[i]}
		for k, route := range routes {
			here = append(here, fmt.Sprintf("fraiseql-%d.%s:6222", k, set.Spec.ServiceName), route)
		}
		for _, arg := range arguments(t, c, env) {
			p.args = append(p.args, strings.NewReplacer(here...).Replace(arg))
		}
		list = append(list, p)
		t.Cleanup(func() {
			if p.command != nil {
				p.kill()
			}
			if t.Failed() {
				t.Logf("%s printed:\n%s", p.addr, p.out.String())
			}
		})
	}
	return list
}

// publish sends an event to a node until it takes it.
func (p *pod) publish(token, id string) {
	p.t.Helper()
	body := fmt.Sprintf(`{"channel":"orders","type":"order.created","id":%q,"broadcast":true,"data":{"id":%q,"total":1.5}}`, id, id)
	for end := time.Now().Add(patience); ; {
		req, err := http.NewRequest(http.MethodPost, "http://"+p.addr+"/events", strings.NewReader(body))
		if err != nil {
			p.t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			p.t.Fatal(err)
		}
		_ = res.Body.Close()
		switch {
		case res.StatusCode == http.StatusAccepted:
			return
		case res.StatusCode != http.StatusServiceUnavailable || time.Now().After(end):
			p.t.Fatalf("POST /events: %s", res.Status)
		}
	}
}

// subscriber is a connection that remembers what it gets.
type subscriber struct {
	talk  *testkit.Talk
	first chan struct{} // closed at the first event
	ended chan struct{} // closed when nothing comes any more

	mu   sync.Mutex
	seen map[string]int
}

// subscribe connects to a node and reads until the connection ends.
func subscribe(t *testing.T, p *pod) *subscriber {
	t.Helper()
	s := &subscriber{
		talk: testkit.DialTalk(t, "ws://"+p.addr+"/graphql"), first: make(chan struct{}), ended: make(chan struct{}), seen: map[string]int{},
	}
	s.talk.Init(testkit.Token(t, map[string]any{"sub": "7"}))
	s.talk.Send(`{"id":"1","type":"subscribe","payload":{"query":"subscription { orders { id } }"}}`)
	go func() {
		defer close(s.ended)
		for {
			text, err := s.talk.TryRead()
			if err != nil {
				return
			}
			before, id, found := strings.Cut(text, `{"orders":{"id":"`)
			if id, _, _ = strings.Cut(id, `"`); !found || !strings.Contains(before, `"next"`) {
				continue
			}
			s.mu.Lock()
			if len(s.seen) == 0 {
				close(s.first)
			}
			s.seen[id]++
			s.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		s.talk.Close()
		<-s.ended
	})
	return s
}

func (s *subscriber) count(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[id]
}

// everybodyListens publishes until each subscriber gets something: a subscription is acknowledged by its first event only.
func everybodyListens(t *testing.T, p *pod, token string, all ...*subscriber) {
	t.Helper()
	for i, s := range all {
		for n, heard := 0, false; !heard; n++ {
			p.publish(token, fmt.Sprintf("warm-up-%d-%d-%s", i, n, p.addr))
			select {
			case <-s.first:
				heard = true
			case <-s.ended:
				t.Fatal("a connection ended")
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
}

// await waits until each subscriber has an event, and fails unless it came once.
func await(t *testing.T, id string, all ...*subscriber) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for _, s := range all {
		for end := time.Now().Add(patience); s.count(id) == 0; <-tick.C {
			if time.Now().After(end) {
				t.Fatalf("event %s did not come", id)
			}
		}
		if n := s.count(id); n != 1 {
			t.Errorf("event %s came %d times", id, n)
		}
	}
}

// TestThreeNodes runs the three containers: an event that is published at one reaches subscribers of all, one may be
// killed, and comes back.
func TestThreeNodes(t *testing.T) {
	m := readManifest(t, "nats.yaml")
	secrets := m.find(t, "Secret/fraiseql").StringData
	secrets["jwt-secret"] = testkit.Secret
	token := secrets["publish-token"]
	list := pods(t, m)
	list[0].start()
	list[0].probe("/healthz", http.StatusOK)
	list[0].probe("/readyz", http.StatusServiceUnavailable) // alone it is no majority
	list[1].start()
	list[2].start()
	var all []*subscriber
	for _, p := range list {
		p.probe("/readyz", http.StatusOK)
	}
	for _, p := range list {
		all = append(all, subscribe(t, p))
	}
	everybodyListens(t, list[0], token, all...)
	for i, p := range list {
		id := fmt.Sprint("from-", i)
		p.publish(token, id)
		await(t, id, all...)
	}
	list[1].kill()
	list[2].publish(token, "while-one-is-away")
	await(t, "while-one-is-away", all[0], all[2])
	list[1].start()
	list[1].probe("/readyz", http.StatusOK)
	back := subscribe(t, list[1])
	everybodyListens(t, list[0], token, back)
	list[1].publish(token, "it-is-back")
	await(t, "it-is-back", all[0], all[2], back)
}
