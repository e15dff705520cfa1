package webhook

import (
	"os"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// TestMain fails when goroutines are left after all tests.
func TestMain(m *testing.M) { os.Exit(testkit.NoLeaks(m)) }
