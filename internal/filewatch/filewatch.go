// Package filewatch says when one of a few small files has changed. It looks at what is in them, now and then: that holds
// for editors that write a new file and rename it, for the links that Kubernetes turns to another folder, for file systems
// over the network, and for files that come or go. Reading ten files of 10 KB takes less than a millisecond.
package filewatch

import (
	"crypto/sha256"
	"io"
	"maps"
	"os"
	"path/filepath"
)

// maxBytes is how much of one file counts.
const maxBytes = 16 << 20

// Files are those that are looked at. Not for concurrent use.
type Files struct {
	patterns func() []string
	known    contents // what was reported last
	seen     contents // at the last look
}

// contents are the hashes of files by name; of one that cannot be read, zero.
type contents map[string][sha256.Size]byte

// New begins with what is there now. patterns returns names, or patterns as filepath.Glob knows them, and is asked at each
// look.
func New(patterns func() []string) *Files {
	f := &Files{patterns: patterns}
	f.known = f.read()
	f.seen = f.known
	return f
}

// Changed reports whether the files differ from what was reported last and are as they were at the look before: a file that
// is being written, or one of several that are replaced, is not reported before it rests.
func (f *Files) Changed() bool {
	now := f.read()
	rests := maps.Equal(now, f.seen)
	f.seen = now
	if !rests || maps.Equal(now, f.known) {
		return false
	}
	f.known = now
	return true
}

// Note says that somebody has read the files: what they are now is not reported.
func (f *Files) Note() {
	f.known = f.read()
	f.seen = f.known
}

func (f *Files) read() contents {
	all := make(contents)
	for _, pattern := range f.patterns() {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			names = []string{pattern}
		}
		for _, name := range names {
			all[name] = sum(name)
		}
	}
	return all
}

func sum(name string) (h [sha256.Size]byte) {
	file, err := os.Open(name)
	if err != nil {
		return h
	}
	defer func() { _ = file.Close() }() // it was only read
	s := sha256.New()
	if _, err := io.Copy(s, io.LimitReader(file, maxBytes)); err != nil {
		return h
	}
	s.Sum(h[:0])
	return h
}
