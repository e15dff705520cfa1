package nodes

import (
	"os"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }
