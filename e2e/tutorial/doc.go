// Package tutorial runs docs/tutorial.md as a reader would.
package tutorial
