package middleware_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
)

// Reasons lists every constant of the package and every reason of verify, each
// once.
func TestReasons(t *testing.T) {
	var want []middleware.Reason
	for _, r := range verify.Reasons() {
		want = append(want, middleware.Reason(r))
	}
	file, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok {
			if name, ok := v.Type.(*ast.Ident); ok && name.Name == "Reason" {
				text, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, middleware.Reason(text))
			}
		}
		return true
	})
	got := middleware.Reasons()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) || len(slices.Compact(got)) != len(want) || len(want) < 30 {
		t.Errorf("Reasons returns %q, want %q", got, want)
	}
}
