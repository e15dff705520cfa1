//go:build fqmemory

package bus

// tlsFailed: without a carrier there is nobody to believe.
func tlsFailed(error) bool { return false }
