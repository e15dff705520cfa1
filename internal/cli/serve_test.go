package cli

import "testing"

func TestAnotherPort(t *testing.T) {
	for _, c := range []struct{ busy, listen, admin, want string }{
		{"127.0.0.1:4000", "127.0.0.1:4000", "", "127.0.0.1:4010"},
		{"127.0.0.1:4021", "127.0.0.1:4022", "127.0.0.1:4021", "127.0.0.1:4031"},
		{"localhost:4000", "localhost:4000", "127.0.0.1:4010", "localhost:4020"},
		{":4010", ":4000", ":4010", ":4020"},
		{"[::1]:65535", "[::1]:65535", "[::1]:65525", "[::1]:65515"},
	} {
		if got := another(c.busy, c.listen, c.admin); got != c.want {
			t.Errorf("another(%s, %s, %s) = %s, want %s", c.busy, c.listen, c.admin, got, c.want)
		}
	}
}
