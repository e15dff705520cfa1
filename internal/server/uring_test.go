package server

import (
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/config"
)

// io_uring is used or not used as configured, and it is told which: one of both has a value.
func TestIOUring(t *testing.T) {
	for _, setting := range []string{"auto", "off"} {
		t.Run(setting, func(t *testing.T) {
			a := assemble(t, config.Source{Dev: true}, "io_uring: "+setting)
			s := a.Engine.Stats()
			t.Logf("%d writers, %q", s.IOUring, s.NoIOUring)
			if (s.IOUring > 0) == (s.NoIOUring != "") || setting == "off" && s.NoIOUring != "io_uring is turned off" {
				t.Errorf("%d writers, %q", s.IOUring, s.NoIOUring)
			}
		})
	}
}
