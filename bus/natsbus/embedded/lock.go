package embedded

import (
	"fmt"
	"os"
	"path/filepath"
)

// storeLock keeps a second process out of a store. The system gives it back when the process ends, however it does.
type storeLock struct{ file *os.File }

// lockStore makes the folder if it is not there and locks it.
func lockStore(dir string) (*storeLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	path := filepath.Join(dir, "fraiseql.lock")
	file, err := openLocked(path)
	if err != nil {
		return nil, fmt.Errorf("store %s: another process uses it, or it cannot be written: %w", dir, err)
	}
	return &storeLock{file}, nil
}

// release gives the store back.
func (l *storeLock) release() { _ = l.file.Close() }
