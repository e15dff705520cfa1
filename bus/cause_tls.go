//go:build !fqmemory

package bus

import (
	"crypto/tls"
	"errors"
)

// tlsFailed reports whether the peer's certificate was not believed.
func tlsFailed(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}
