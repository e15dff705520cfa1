package gql

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator/core"
	"go.yaml.in/yaml/v3"
)

// vector is one case of graphql-js's own validation tests, as they ship with gqlparser.
type vector struct {
	Name   string
	Rule   string
	Schema string // index into schemas.yml, or SDL
	Query  string
	Errors []struct{ Message string }
}

const vectorCount = 432

// TestValidationVectors demands graphql-js's verdict, error or none, of the rule that each vector is about.
func TestValidationVectors(t *testing.T) {
	dir := vectorDir(t)
	var texts []string
	readYAML(t, filepath.Join(dir, "schemas.yml"), &texts)
	loaded := map[string]*Schema{}
	schemaOf := func(key string) *Schema {
		if loaded[key] == nil {
			text := key
			if i, err := strconv.Atoi(key); err == nil {
				text = texts[i]
			}
			loaded[key] = loadVectorSchema(t, text)
		}
		return loaded[key]
	}
	files, err := filepath.Glob(filepath.Join(dir, "*Rule.spec.yml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors in %s: %v", dir, err)
	}
	files = append(files, filepath.Join(dir, "ValidationContext.spec.yml"))
	count := 0
	for _, file := range files {
		var vectors []vector
		readYAML(t, file, &vectors)
		rule := strings.TrimSuffix(filepath.Base(file), "Rule.spec.yml")
		for _, v := range vectors {
			count++
			t.Run(rule+"/"+v.Name, func(t *testing.T) { runVector(t, schemaOf(v.Schema), rule, v) })
		}
	}
	if count != vectorCount {
		t.Errorf("ran %d vectors, expected %d", count, vectorCount)
	}
}

// beyondSDL names the vector whose error comes from a JavaScript function that its test gave to a custom
// scalar. The vector's SDL cannot say that; graphql-js itself accepts the document with a schema built from it.
const beyondSDL = "Invalid input object value/reports error for custom scalar that returns undefined"

func runVector(t *testing.T, s *Schema, rule string, v vector) {
	if v.Name == beyondSDL {
		v.Errors = nil
	}
	got := vectorErrors(t, s, rule, v)
	if (len(got) > 0) != (len(v.Errors) > 0) {
		t.Errorf("graphql-js: %v\nwe: %v\n%s", v.Errors, got, v.Query)
	}
}

// vectorErrors runs one rule as the vectors do: the errors of other rules do not count.
func vectorErrors(t *testing.T, s *Schema, rule string, v vector) gqlerror.List {
	doc, err := parser.ParseQuery(&ast.Source{Input: v.Query})
	if err != nil {
		return typeSystemErrors(t, rule, v, err)
	}
	if optional := optionalRules[rule]; optional.RuleFunc != nil {
		return run(s.ast, doc, []core.Rule{optional})
	}
	all := s.validate(doc)
	overlapping, _ := s.checkOverlaps(doc, 100_000)
	all = append(all, overlapping...)
	var own gqlerror.List
	for _, e := range all {
		if strings.TrimSuffix(e.Rule, "Rule") == rule {
			own = append(own, e)
		}
	}
	return own
}

func vectorDir(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/vektah/gqlparser/v2").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "validator", "imported", "spec")
}

func readYAML(t *testing.T, file string, into any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func loadVectorSchema(t *testing.T, text string) *Schema {
	t.Helper()
	s, errs := LoadSchema([]SchemaSource{{"vector.graphql", text}}, SchemaOptions{})
	if len(errs) > 0 {
		t.Fatalf("%v\n%s", errs[0], text)
	}
	return s
}

// typeSystemErrors judges a document that holds type definitions: the parser refuses it, which is the verdict
// of ExecutableDefinitions. The other rules have nothing against it.
func typeSystemErrors(t *testing.T, rule string, v vector, err error) gqlerror.List {
	t.Helper()
	if !strings.Contains(v.Query, "type ") && !strings.Contains(v.Query, "schema ") {
		t.Fatalf("the document does not parse: %v\n%s", err, v.Query)
	}
	if rule != "ExecutableDefinitions" {
		return nil
	}
	return gqlerror.List{&gqlerror.Error{Message: err.Error()}}
}
