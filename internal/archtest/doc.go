// Package archtest holds the tests that keep the shape of this repository: which package may import which,
// how long files and functions may be, and what must not appear in tests and tracked files. It has no code.
package archtest
