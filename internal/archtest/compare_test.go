package archtest

import (
	"go/ast"
	"go/token"
	"regexp"
	"strings"
	"testing"
)

var (
	// secretName is how names end whose value somebody may try to guess.
	secretName = regexp.MustCompile(`(?i)(token|secret|signature|password|verifier|mac|hmac|hash|digest|presented)$`)
	// judges are the packages that judge what clients present.
	judges = []string{"", "auth/*", "identity", "internal/server", "internal/transport/*", "internal/transport", "internal/session", "internal/outbound", "internal/embed", "internal/revoke"}
	// noSecrets are comparisons of names that sound like a secret and are none, with what they are.
	noSecrets = map[string]string{
		"internal/transport/ws/upgrade.go token": "a token as RFC 9110 names the elements of a list in a header",
		"internal/embed/watch.go token":          "counts what a host watches",
		"internal/session/machine.go token":      "counts what the machine has asked for",
	}
	// comparers end at the first difference, so that their time tells how much was right.
	comparers = map[string]bool{
		"bytes.Equal": true, "bytes.Compare": true, "strings.EqualFold": true, "strings.Compare": true, "slices.Equal": true, "bytes.HasPrefix": true,
		"strings.HasPrefix": true, "reflect.DeepEqual": true, "cmp.Compare": true,
	}
)

// TestSecretsAreComparedInConstantTime: what clients present is compared with secrets by crypto/subtle, or hmac.Equal, which uses it, and by
// nothing that ends at the first difference.
func TestSecretsAreComparedInConstantTime(t *testing.T) {
	constant := 0
	for _, f := range goFiles(t) {
		if f.test || !anyMatches(judges, f.pkg) {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				if (n.Op == token.EQL || n.Op == token.NEQ) && !isConstant(n.X) && !isConstant(n.Y) {
					f.compares(t, n.Pos(), n.X, n.Y)
				}
			case *ast.CallExpr:
				switch name := calledName(n); {
				case name == "subtle.ConstantTimeCompare" || name == "hmac.Equal":
					constant++
				case comparers[name] && len(n.Args) == 2 && !isConstant(n.Args[1]):
					f.compares(t, n.Pos(), n.Args...)
				}
			}
			return true
		})
	}
	// Publish tokens and the operators' token, tokens of streams, signatures of webhooks.
	if constant < 3 {
		t.Errorf("%d comparisons in constant time: this test looks in the wrong place", constant)
	}
}

// compares fails the test where one of the operands has the name of a secret.
func (f *sourceFile) compares(t *testing.T, pos token.Pos, operands ...ast.Expr) {
	t.Helper()
	for _, operand := range operands {
		name := endOfName(operand)
		if secretName.MatchString(name) && noSecrets[f.path+" "+name] == "" {
			t.Errorf("%s:%d: %s is compared by something that ends at the first difference: use crypto/subtle, or say in noSecrets why not", f.path, f.line(pos), name)
		}
	}
}

// isConstant reports whether an operand is a literal or nil: whether something is there is no comparison with a secret.
func isConstant(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return true
	case *ast.Ident:
		return e.Name == "nil" || e.Name == "true" || e.Name == "false"
	}
	return false
}

// endOfName is the last name of an expression: that of a variable, a field or a method that is called.
func endOfName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.CallExpr:
		return endOfName(e.Fun)
	case *ast.IndexExpr:
		return endOfName(e.X)
	case *ast.SliceExpr:
		return endOfName(e.X)
	case *ast.StarExpr:
		return endOfName(e.X)
	}
	return ""
}

func calledName(call *ast.CallExpr) string {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	pkg, _ := selector.X.(*ast.Ident)
	if pkg == nil {
		return ""
	}
	return strings.Join([]string{pkg.Name, selector.Sel.Name}, ".")
}
