package filewatch

import (
	"os"
	"path/filepath"
	"testing"
)

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// looks expects what so many looks, one after the other, report.
func looks(t *testing.T, f *Files, want ...bool) {
	t.Helper()
	for i, w := range want {
		if got := f.Changed(); got != w {
			t.Errorf("look %d: %v", i, got)
		}
	}
}

func TestChanged(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "a.graphql")
	write(t, name, "one")
	f := New(func() []string { return []string{filepath.Join(dir, "*.graphql"), filepath.Join(dir, "key")} })
	looks(t, f, false, false)

	write(t, name, "two")
	looks(t, f, false, true, false)

	write(t, name, "two") // touched
	looks(t, f, false, false)

	write(t, name, "") // being written
	looks(t, f, false)
	write(t, name, "three")
	looks(t, f, false, true, false)

	write(t, filepath.Join(dir, "new"), "four") // as editors do
	if err := os.Rename(filepath.Join(dir, "new"), name); err != nil {
		t.Fatal(err)
	}
	looks(t, f, false, true, false)

	write(t, filepath.Join(dir, "b.graphql"), "another file")
	looks(t, f, false, true, false)
	write(t, filepath.Join(dir, "key"), "a file that was not there")
	looks(t, f, false, true, false)
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	looks(t, f, false, true, false)

	write(t, name, "read by somebody else")
	f.Note()
	looks(t, f, false, false)
}

// Kubernetes turns the link ..data to a folder of another name; the files are links through it.
func TestLinkedFolder(t *testing.T) {
	dir := t.TempDir()
	for folder, text := range map[string]string{"..1": "one", "..2": "two"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, folder, "schema.graphql"), text)
	}
	link := func(to string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(dir, "..tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	link("..1")
	if err := os.Symlink(filepath.Join("..data", "schema.graphql"), filepath.Join(dir, "schema.graphql")); err != nil {
		t.Fatal(err)
	}
	f := New(func() []string { return []string{filepath.Join(dir, "schema.graphql")} })
	looks(t, f, false)
	link("..2")
	looks(t, f, false, true, false)
}
