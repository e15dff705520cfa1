//go:build linux && cgo && !fqfault

package main

// fault does nothing: see fault.go.
func fault(string) {}
