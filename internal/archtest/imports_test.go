package archtest

import (
	"os/exec"
	"strings"
	"testing"
)

// layers lists the packages bottom up: a package may import only packages of lower layers. An entry that ends
// in /* stands for every package below that folder. A package that is in no layer fails the test: give it its
// place here.
var layers = [][]string{
	{"event", "identity", "internal/ceiling", "internal/code", "internal/filewatch", "internal/forwarded", "internal/origin", "internal/outbound", "internal/prefetch", "internal/seldom", "internal/shift", "internal/uring", "internal/wsframe"},
	{"bus", "internal/jsontape"},
	{"internal/scalar", "internal/wire", "bus/*"},
	{"internal/filter", "internal/queue"},
	{"internal/gql", "internal/revoke", "policy"},
	{"internal/plan", "internal/introspect", "observe"},
	{"internal/hub"},
	{"internal/session", "internal/poll"},
	{"internal/transport/*"},
	{""},
	{"auth/*", "internal/metrics", "internal/devpage", "internal/carrier"},
	{"internal/config", "internal/demo", "internal/loadgen", "internal/wsclient"},
	{"internal/server"},
	{"internal/bench", "internal/cli", "internal/embed"},
	{"bench/bus/report"},
	{"cmd/*", "e2e/*", "examples/*", "bench/*"},
}

// forTests are the packages that only tests, and other packages of this list, import.
var forTests = []string{"internal/testkit/*", "internal/testkit", "bus/bustest", "internal/archtest"}

// drivers says which packages may import which module besides the standard library. Each has its
// paragraph in DEPENDENCIES.md.
var drivers = map[string][]string{
	"github.com/vektah/gqlparser/v2":      {"internal/gql"},
	"github.com/golang-jwt/jwt/v5":        {"auth/jwtauth"},
	"github.com/prometheus/client_golang": {"internal/metrics"},
	"github.com/alecthomas/kong":          {"internal/cli"},
	"go.yaml.in/yaml/v3":                  {"internal/config"},
	"github.com/coder/websocket":          {"internal/wsclient"},
	"golang.org/x/time":                   {"internal/server"},
	"github.com/redis/rueidis":            {"bus/redisbus"},
	"github.com/jackc/pgx/v5":             {"bus/pgbus"},
	"github.com/nats-io/nats.go":          {"bus/natsbus"},
	"github.com/nats-io/nats-server/v2":   {"bus/natsbus/*"},
}

// matches reports whether a package is named by an entry of a table.
func matches(entry, pkg string) bool {
	if folder, ok := strings.CutSuffix(entry, "/*"); ok {
		return strings.HasPrefix(pkg, folder+"/")
	}
	return entry == pkg
}

// anyMatches reports whether one of the entries names the package.
func anyMatches(entries []string, pkg string) bool {
	for _, entry := range entries {
		if matches(entry, pkg) {
			return true
		}
	}
	return false
}

// layerOf returns the index of a package's layer, -1 for none.
func layerOf(pkg string) int {
	for i, layer := range layers {
		if anyMatches(layer, pkg) {
			return i
		}
	}
	return -1
}

// project returns the folder of an import of this module.
func project(importPath string) (pkg string, ok bool) {
	if importPath == modulePath {
		return "", true
	}
	return strings.CutPrefix(importPath, modulePath+"/")
}

// standard reports whether an import is of the standard library: its first element has no dot.
func standard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

// TestImportsPointDown checks every import of non-test code against the layers.
func TestImportsPointDown(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.test || anyMatches(forTests, f.pkg) {
			continue
		}
		own := layerOf(f.pkg)
		if own < 0 {
			t.Errorf("%s: package %q has no layer: give it one in internal/archtest/imports_test.go", f.path, f.pkg)
			continue
		}
		for _, imported := range f.imports() {
			pkg, ok := project(imported)
			if !ok {
				continue
			}
			if anyMatches(forTests, pkg) && !strings.HasPrefix(f.pkg, "e2e/") {
				t.Errorf("%s: imports %s, which is for tests only", f.path, imported)
			} else if layer := layerOf(pkg); layer >= own && !sameTree(f.pkg, pkg) {
				t.Errorf("%s: %q (layer %d) imports %q (layer %d): imports point to lower layers only", f.path, f.pkg, own, pkg, layer)
			}
		}
	}
}

// sameTree allows a folder's packages to import the package at the folder's root: internal/transport/ws may
// import internal/transport. Commands may import packages below their own folder.
func sameTree(importer, imported string) bool {
	return strings.HasPrefix(importer, imported+"/") && imported != "" ||
		strings.HasPrefix(imported, importer+"/") && importer != ""
}

// TestLeavesUseTheStandardLibraryOnly checks the two packages that everybody imports.
func TestLeavesUseTheStandardLibraryOnly(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.test || f.pkg != "event" && f.pkg != "identity" {
			continue
		}
		for _, imported := range f.imports() {
			if !standard(imported) {
				t.Errorf("%s: imports %s: a leaf uses the standard library only", f.path, imported)
			}
		}
	}
}

// TestBusAdaptersImportDriverBusAndEvent checks that an adapter knows nothing else of the project.
func TestBusAdaptersImportDriverBusAndEvent(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.test || f.pkg == "bus/bustest" || !strings.HasPrefix(f.pkg, "bus/") {
			continue
		}
		for _, imported := range f.imports() {
			pkg, ok := project(imported)
			if ok && pkg != "bus" && pkg != "event" && !strings.HasPrefix(f.pkg, pkg+"/") {
				t.Errorf("%s: imports %s: a bus adapter imports its driver, bus and event only", f.path, imported)
			}
		}
	}
}

// TestDriversStayInTheirPackages checks that a module is imported only where it belongs.
func TestDriversStayInTheirPackages(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.test || anyMatches(forTests, f.pkg) || strings.HasPrefix(f.pkg, "bench/") || strings.HasPrefix(f.pkg, "e2e/") {
			continue
		}
		for _, imported := range f.imports() {
			if _, ok := project(imported); ok || standard(imported) {
				continue
			}
			if users, known := moduleUsers(imported); !known {
				t.Errorf("%s: imports %s: a new dependency needs a line in internal/archtest and a paragraph in DEPENDENCIES.md", f.path, imported)
			} else if !anyMatches(users, f.pkg) {
				t.Errorf("%s: imports %s, which only %v may", f.path, imported, users)
			}
		}
	}
}

// moduleUsers returns who may import a package of a third party's module.
func moduleUsers(importPath string) (users []string, known bool) {
	for module, packages := range drivers {
		if importPath == module || strings.HasPrefix(importPath, module+"/") {
			return packages, true
		}
	}
	return nil, false
}

// facadeModules are the modules that package fraiseql may link, gqlparser's own dependency included.
var facadeModules = []string{
	modulePath, "github.com/vektah/gqlparser/v2", "github.com/agnivade/levenshtein",
}

// TestFacadeLinksNoDriver lists everything that package fraiseql links: no driver of a bus, no metrics
// library, no command line.
func TestFacadeLinksNoDriver(t *testing.T) {
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", ".")
	list.Dir = root(t)
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list -deps .: %v", err)
	}
	for _, linked := range strings.Fields(string(out)) {
		if standard(linked) || linked == "." {
			continue
		}
		allowed := false
		for _, module := range facadeModules {
			allowed = allowed || linked == module || strings.HasPrefix(linked, module+"/")
		}
		if !allowed {
			t.Errorf("package fraiseql links %s", linked)
		}
	}
}
