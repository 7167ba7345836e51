package house_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

// A snippet is a block of Go code in a document.
type snippet struct {
	file string
	line int // of its first line
	text string
}

// importsOf are the packages that snippets use without saying so.
var importsOf = map[string]string{
	"context": "context", "errors": "errors", "fmt": "fmt", "log": "log", "slog": "log/slog", "http": "net/http",
	"httptest": "net/http/httptest", "netip": "net/netip", "os": "os", "slices": "slices", "strings": "strings", "testing": "testing", "time": "time",
	"chi": "github.com/go-chi/chi/v5", "gin": "github.com/gin-gonic/gin", "echo": "github.com/labstack/echo/v5",
	"bearer":   module + "/middleware",
	"httpauth": module + "/adapters/httpauth", "chiauth": module + "/adapters/chiauth",
	"ginauth": module + "/adapters/ginauth", "echoauth": module + "/adapters/echoauth",
	"verify": module + "/verify", "jwks": module + "/verify/jwks",
	"introspect": module + "/verify/introspect", "verifytest": module + "/verify/verifytest",
}

// given are declarations of what the surroundings of a snippet have.
var given = map[string]string{
	"auth":     "var auth *bearer.Auth",
	"verifier": "var verifier *verify.Verifier",
	"mux":      "var mux *http.ServeMux",
	"router":   "var router chi.Router",
	"engine":   "var engine *gin.Engine",
	"e":        "var e *echo.Echo",
	"r":        "var r *http.Request",
	"w":        "var w http.ResponseWriter",
	"ctx":      "var ctx context.Context",
	"t":        "var t *testing.T",
	"feed":     "var feed chan string",
	"secret":   "var secret string",
	"user":     "var user User",
	"User":     "type User struct{ ID string }",
	"users":    "var users interface{ Find(ctx context.Context, issuer, subject string) (User, error) }",
	"client":   "var client *http.Client",
	"customers": `var customers interface {
		ByIssuer(ctx context.Context, issuer string) (customer struct{ Audience string }, known bool, err error)
		HasTenant(ctx context.Context, tenant string) (bool, error)
	}`,
	"orders":  "var orders http.Handler",
	"reports": "var reports http.Handler",
	"payouts": "var payouts http.Handler",
}

// readSnippets returns the Go blocks of a document.
func readSnippets(file, text string) (list []snippet) {
	var open *snippet
	for i, line := range strings.SplitAfter(text, "\n") {
		switch mark := strings.TrimSpace(line); {
		case open == nil && mark == "```go":
			open = &snippet{file: file, line: i + 2}
		case open != nil && mark == "```":
			list, open = append(list, *open), nil
		case open != nil:
			open.text += line
		}
	}
	return list
}

// program reports whether the snippet is a whole file, to be pasted as it is.
func (s snippet) program() bool { return strings.HasPrefix(s.text, "package ") }

// source returns the text as a file: a program as it is, and declarations, an
// expression or statements with the imports and declarations that they take for
// granted.
func (s snippet) source() (string, error) {
	text := fmt.Sprintf("//line %s:%d\n%s", s.file, s.line, s.text)
	if s.program() {
		return text, nil
	}
	around := [2]string{"func _() {\n", "\n}\n"}
	if x, err := parser.ParseExpr(strings.TrimSuffix(strings.TrimSpace(s.text), ",")); err == nil {
		if _, call := x.(*ast.CallExpr); !call {
			text = strings.TrimSuffix(strings.TrimSpace(text), ",")
			around = [2]string{"var _ = (\n", ")\n"}
		}
	} else if _, err := unresolved("package p\n" + text); err == nil {
		around = [2]string{}
	}
	text = around[0] + text + around[1]
	for {
		names, err := unresolved("package p\n" + text)
		if err != nil {
			return "", err
		}
		if i := slices.IndexFunc(names, func(n string) bool { return given[n] != "" }); i >= 0 {
			text = given[names[i]] + "\n" + text
			continue
		}
		for _, n := range names {
			if path := importsOf[n]; path != "" {
				text = fmt.Sprintf("import %s %q\n", n, path) + text
			}
		}
		return "package p\n" + text, nil
	}
}

// unresolved returns the names that a file uses and does not declare.
func unresolved(source string) (names []string, err error) {
	f, err := parser.ParseFile(token.NewFileSet(), "", source, 0)
	if err != nil {
		return nil, err
	}
	for _, id := range f.Unresolved {
		if !slices.Contains(names, id.Name) {
			names = append(names, id.Name)
		}
	}
	return names, nil
}

// check type-checks the snippet. In one that is not a whole program, a variable
// may be there for the reader only.
func (s snippet) check(packages types.Importer) error {
	source, err := s.source()
	if err != nil {
		return err
	}
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, "", source, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	var bad []error
	config := types.Config{Importer: packages, Error: func(err error) {
		var e types.Error
		if s.program() || !errors.As(err, &e) || !e.Soft {
			bad = append(bad, err)
		}
	}}
	_, _ = config.Check("snippet", set, []*ast.File{f}, nil)
	return errors.Join(bad...)
}

// compiled returns an importer of packages and of what they import.
func compiled(t *testing.T, paths ...string) types.Importer {
	t.Helper()
	args := []string{"list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}"}
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		args = append(args, "-race") // what go test has just compiled
	}
	cmd := exec.Command("go", append(args, paths...)...)
	cmd.Dir = "../.."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	files := map[string]string{}
	for _, line := range strings.Split(string(out), "\n") {
		path, file, _ := strings.Cut(line, " ")
		files[path] = file
	}
	return importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		if files[path] == "" {
			return nil, fmt.Errorf("package %s is not among those of the snippets", path)
		}
		return os.Open(files[path])
	})
}

// TestSnippets compiles the Go code in the documents.
func TestSnippets(t *testing.T) {
	var snippets []snippet
	root := os.DirFS("../..")
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (path == "bench" || path == "internal" || d.Name() == "node_modules" || strings.HasPrefix(path, ".") && path != "."):
			return fs.SkipDir
		case filepath.Ext(path) != ".md":
			return nil
		}
		text, err := fs.ReadFile(root, path)
		snippets = append(snippets, readSnippets(path, string(text))...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, path := range importsOf {
		paths = append(paths, path)
	}
	packages := compiled(t, paths...)
	programs := 0
	for _, s := range snippets {
		if s.program() {
			programs++
		}
		if err := s.check(packages); err != nil {
			t.Errorf("%s:%d: %v", s.file, s.line, err)
		}
	}
	if programs == 0 || len(snippets) < 10 {
		t.Errorf("%d snippets, %d of them whole programs: the test looks in the wrong place", len(snippets), programs)
	}
	for text, want := range map[string]string{
		"x := http.StatusOK":                                    "", // x is for the reader
		"func f(w http.ResponseWriter) { fmt.Fprint(w) }":       "",
		"verify.Issuer{Issuer: secret},":                        "",
		"x := verify.Nothing":                                   "undefined: verify.Nothing",
		"verify.Issuer{Issuer: 1}":                              "cannot use 1",
		"case <-feed:":                                          "expected",
		"nothing.Here()":                                        "undefined: nothing",
		"package main\n\nfunc main() { x := 1 }":                "declared and not used",
		"package main\n\nimport \"net/http\"\n\nfunc main() {}": "imported and not used",
	} {
		list := readSnippets("x.md", "# x\n\n```go\n"+text+"\n```\n")
		if len(list) != 1 || list[0].line != 4 {
			t.Errorf("%q: read as %+v", text, list)
			continue
		}
		got := fmt.Sprint(list[0].check(packages))
		if want == "" && got != "<nil>" || !strings.Contains(got, want) || want != "" && !strings.Contains(got, "x.md:") {
			t.Errorf("%q: %s, want %q", text, got, want)
		}
	}
}
