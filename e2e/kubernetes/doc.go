// Package kubernetes holds tests of the manifests in examples/kubernetes: what one part says of another is so, and the
// containers run as they are written, as processes on this machine.
package kubernetes
