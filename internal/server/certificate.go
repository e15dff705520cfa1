package server

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/config"
)

// certificateCheck is how often a handshake looks whether the files have changed.
const certificateCheck = time.Second

// certificate is the server's certificate, read again when its files change. A pair that cannot be used leaves the one
// before in place: it may be half written.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	now               func() time.Time

	mu      sync.Mutex // held over reading two small files
	pair    *tls.Certificate
	looked  time.Time
	version [2]os.FileInfo // of the files as they were read last
}

func newCertificate(c *config.TLS, log *slog.Logger) (*certificate, error) {
	k := &certificate{certFile: c.CertFile, keyFile: c.KeyFile, log: log, now: time.Now}
	return k, k.Reload()
}

// config is what listeners need. Clients choose HTTP/2 by ALPN; for a WebSocket they choose HTTP/1.1.
func (k *certificate) config(minVersion string) *tls.Config {
	c := &tls.Config{GetCertificate: k.get, MinVersion: tls.VersionTLS12}
	if minVersion == "1.3" {
		c.MinVersion = tls.VersionTLS13
	}
	return c
}

// Reload reads the files now. With an error the certificate stays as it was.
func (k *certificate) Reload() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.reloadLocked()
}

func (k *certificate) reloadLocked() error {
	k.looked, k.version = k.now(), k.stat()
	pair, err := tls.LoadX509KeyPair(k.certFile, k.keyFile)
	if err != nil {
		return fmt.Errorf("tls.cert_file and tls.key_file: %w", err)
	}
	if now := k.now(); now.After(pair.Leaf.NotAfter) || now.Before(pair.Leaf.NotBefore) {
		k.log.Warn("the certificate is not valid now", "from", pair.Leaf.NotBefore, "until", pair.Leaf.NotAfter)
	}
	k.pair = &pair
	return nil
}

func (k *certificate) stat() (version [2]os.FileInfo) {
	for i, name := range []string{k.certFile, k.keyFile} {
		// A file that is not there now is one that has changed.
		version[i], _ = os.Stat(name)
	}
	return version
}

// get implements tls.Config.GetCertificate.
func (k *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.now().Sub(k.looked) < certificateCheck {
		return k.pair, nil
	}
	k.looked = k.now()
	if !sameFiles(k.version, k.stat()) {
		if err := k.reloadLocked(); err != nil {
			k.log.Error("the certificate could not be read again; the one before stays", "error", err)
		} else {
			k.log.Info("the certificate was read again", "until", k.pair.Leaf.NotAfter)
		}
	}
	return k.pair, nil
}

func sameFiles(a, b [2]os.FileInfo) bool {
	for i := range a {
		if a[i] == nil || b[i] == nil {
			return a[i] == nil && b[i] == nil
		}
		if !os.SameFile(a[i], b[i]) || !a[i].ModTime().Equal(b[i].ModTime()) || a[i].Size() != b[i].Size() {
			return false
		}
	}
	return true
}

// ReloadCertificate reads the certificate's files again; without TLS it does nothing. With an error the one before
// stays.
func (s *Server) ReloadCertificate() error {
	if s.certificate == nil {
		return nil
	}
	return s.certificate.Reload()
}
