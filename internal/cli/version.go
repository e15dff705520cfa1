package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// versionCommand is `fraiseql version`.
type versionCommand struct{}

// Run prints the version on one line.
func (*versionCommand) Run(env *Env) error {
	_, err := fmt.Fprintf(env.Stdout, "fraiseql %s %s %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// version is the module's version, with the commit where it was built from a work tree.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" {
		v = "(devel)"
	}
	if v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "devel-" + s.Value[:12]
		}
	}
	return "devel"
}
