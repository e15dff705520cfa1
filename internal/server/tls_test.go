package server

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/config"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
	"github.com/fraiseql/fraiseql-go/internal/wsframe"
)

// secure runs a server with a certificate.
func secure(t *testing.T, change func(*config.Config)) (*fixture, testkit.Certificate) {
	t.Helper()
	c := testkit.NewCertificate(t, t.TempDir(), 1)
	return start(t, func(cfg *config.Config, _ *Options) {
		cfg.TLS.CertFile, cfg.TLS.KeyFile = c.CertFile, c.KeyFile
		if change != nil {
			change(cfg)
		}
	}), c
}

// get asks for /healthz over TLS and returns the answer, closed.
func get(t *testing.T, f *fixture, cfg *tls.Config, http2 bool) (*http.Response, error) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: http2}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+f.Addr()+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := transport.RoundTrip(req)
	if err == nil {
		res.Body.Close()
	}
	return res, err
}

func serial(t *testing.T, f *fixture, pool *x509.CertPool) int64 {
	t.Helper()
	res, err := get(t, f, &tls.Config{RootCAs: pool}, true)
	if err != nil {
		t.Fatal(err)
	}
	return res.TLS.PeerCertificates[0].SerialNumber.Int64()
}

func TestTLSServesBothVersionsOfHTTP(t *testing.T) {
	f, c := secure(t, nil)
	for _, http2 := range []bool{false, true} {
		res, err := get(t, f, &tls.Config{RootCAs: c.Pool}, http2)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int{false: 1, true: 2}[http2]; res.ProtoMajor != want || res.StatusCode != 200 {
			t.Errorf("HTTP/%d: %d", res.ProtoMajor, res.StatusCode)
		}
	}
	if got := send(t, "GET", f.url+"/healthz", ""); got.status != 400 {
		t.Errorf("without TLS: %d %s", got.status, got.body)
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	for minimum, oldest := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		f, c := secure(t, func(cfg *config.Config) { cfg.TLS.MinVersion = minimum })
		for version := uint16(tls.VersionTLS10); version <= tls.VersionTLS13; version++ {
			_, err := get(t, f, &tls.Config{RootCAs: c.Pool, MinVersion: version, MaxVersion: version}, false)
			if (err == nil) != (version >= oldest) {
				t.Errorf("tls.min_version %s: a client of version %x: %v", minimum, version, err)
			}
		}
	}
}

// A certificate that is replaced is served to the next client; a pair that does not fit leaves the one before.
func TestCertificateIsReadAgain(t *testing.T) {
	f, first := secure(t, nil)
	dir := t.TempDir()
	second := testkit.NewCertificate(t, dir, 2)
	clock := time.Now()
	f.certificate.mu.Lock()
	f.certificate.now = func() time.Time { return clock }
	f.certificate.mu.Unlock()
	later := func() {
		f.certificate.mu.Lock()
		clock = clock.Add(2 * certificateCheck)
		f.certificate.mu.Unlock()
	}
	if got := serial(t, f, first.Pool); got != 1 {
		t.Fatalf("serial %d", got)
	}
	copyFile(t, second.CertFile, first.CertFile)
	later()
	if got := serial(t, f, first.Pool); got != 1 {
		t.Errorf("with a key that does not fit: serial %d", got)
	}
	if err := f.ReloadCertificate(); err == nil || !strings.Contains(err.Error(), "tls.key_file") {
		t.Errorf("reload: %v", err)
	}
	copyFile(t, second.KeyFile, first.KeyFile)
	later()
	if got := serial(t, f, second.Pool); got != 2 {
		t.Errorf("after both were replaced: serial %d", got)
	}
	if err := os.Remove(first.KeyFile); err != nil {
		t.Fatal(err)
	}
	later()
	if got := serial(t, f, second.Pool); got != 2 {
		t.Errorf("without a key file: serial %d", got)
	}
	third := testkit.NewCertificate(t, dir, 3)
	copyFile(t, third.CertFile, first.CertFile)
	copyFile(t, third.KeyFile, first.KeyFile)
	if err := f.ReloadCertificate(); err != nil {
		t.Error(err)
	}
	if got := serial(t, f, third.Pool); got != 3 {
		t.Errorf("after a reload: serial %d", got)
	}
	log := f.log.String()
	if !strings.Contains(log, "the one before stays") || !strings.Contains(log, "was read again") || strings.Contains(log, "BEGIN") {
		t.Errorf("log: %s", log)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestBadCertificateEndsTheStart(t *testing.T) {
	cfg := &config.Config{Preset: "production"}
	cfg.WithDefaults()
	cfg.TLS.CertFile, cfg.TLS.KeyFile = "no-such-file.pem", "no-such-key.pem"
	if _, err := New(Options{Config: cfg}); err == nil || !strings.Contains(err.Error(), "tls.cert_file") {
		t.Errorf("error %v", err)
	}
}

// A WebSocket over TLS, opened by hand: HTTP/1.1 is what it is agreed on, and over HTTP/2 it is refused.
func TestWebSocketOverTLS(t *testing.T) {
	c := testkit.NewCertificate(t, t.TempDir(), 1)
	s := assemble(t, config.Source{}, "auth.anonymous: true\ntls: {cert_file: "+c.CertFile+", key_file: "+c.KeyFile+"}\n")
	conn, err := tls.Dial("tcp", s.addr, &tls.Config{RootCAs: c.Pool})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	request := "GET /graphql HTTP/1.1\r\nHost: " + s.addr + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
	init := wsframe.AppendMasked([]byte(request), true, wsframe.Text, 1, []byte(`{"type":"connection_init"}`))
	if _, err := conn.Write(init); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for buf := make([]byte, 1024); !strings.HasSuffix(string(got), `{"type":"connection_ack"}`); {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("%v after %q", err, got)
		}
		got = append(got, buf[:n]...)
	}
	if !strings.HasPrefix(string(got), "HTTP/1.1 101 ") {
		t.Errorf("answered %q", got)
	}

	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.Pool}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Get("https://" + s.addr + "/graphql")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer failure
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.ProtoMajor != 2 || res.StatusCode < 400 {
		t.Errorf("over HTTP/%d: %d %+v %v", res.ProtoMajor, res.StatusCode, answer, err)
	}
}
