package ceiling

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestExceeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		used, looks := int64(5), 0
		c := &Ceiling{limit: 10, start: time.Now(), used: func() int64 { looks++; return used }}
		for i, tt := range []struct {
			used  int64
			want  bool
			looks int
		}{{5, false, 1}, {11, true, 2}, {10, false, 3}} {
			used = tt.used
			for range 3 {
				if got := c.Exceeded(); got != tt.want {
					t.Errorf("%d: %v", i, got)
				}
			}
			if looks != tt.looks {
				t.Errorf("%d: %d looks", i, looks)
			}
			<-time.After(period)
		}
	})
}

// Room is made before the ceiling is reached, and not again before what was given back can show.
func TestMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var used int64
		var asked []int64
		c := New(3200, func(excess int64) { asked = append(asked, excess) })
		c.used = func() int64 { return used }
		for i, tt := range []struct {
			used, want int64 // 0: nothing is asked
			over       bool
		}{{3100, 0, false}, {3101, 221, false}, {3300, 0, true}, {3300, 0, true}, {3300, 0, true}, {3300, 0, true}, {3300, 420, true}, {3000, 0, false}} {
			used, asked = tt.used, nil
			if got := c.Exceeded(); got != tt.over {
				t.Errorf("%d: exceeded %v", i, got)
			}
			if got := append(asked, 0)[0]; got != tt.want {
				t.Errorf("%d: room for %d, want %d", i, got, tt.want)
			}
			<-time.After(period)
		}
	})
}

func TestUsed(t *testing.T) {
	if n := Used(); n < 1<<20 || n > 1<<36 {
		t.Errorf("%d bytes", n)
	}
	if c := New(1, nil); !c.Exceeded() || c.Limit() != 1 {
		t.Error("a byte is enough")
	}
}

func TestGroup(t *testing.T) {
	for _, tt := range []struct {
		file, text string
		want       int64
	}{
		{"memory.max", "1073741824\n", 1 << 30}, {"memory.max", "max\n", 0}, {"memory/memory.limit_in_bytes", "1048576", 1 << 20},
		{"memory/memory.limit_in_bytes", "9223372036854771712", 0}, {"other", "1", 0}, {"memory.max", "-1", 0},
	} {
		root := t.TempDir()
		name := filepath.Join(root, tt.file)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := group(root); got != tt.want {
			t.Errorf("%s %q: %d", tt.file, tt.text, got)
		}
	}
}
