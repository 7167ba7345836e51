package house_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/internal/hostile"
)

// A clause is a row of docs/conformance.md.
type clause struct {
	rfc   string
	line  int
	cells []string // section, clause, what the kit does, tests
}

// namedTest is how a row names a test: its package's directory and its name. A section
// of internal/hostile is named like a test of a package "hostile".
var namedTest = regexp.MustCompile("`([a-z0-9/]+): ((?:Test|Fuzz|Example)[A-Za-z0-9_]*|[a-z]+: [^`]+)`")

// A reason stands in a row that no test shows, or not to the letter.
var reason = regexp.MustCompile(`(?:^|[ ;])(?:not met|outside): \S.{10,}`)

// readClauses reads the tables of the document: one for each RFC, each below a
// heading of the form "## RFC 6750: …", and each with the same four columns.
func readClauses(text string) (list []clause, err error) {
	const columns = "| section | clause | what the kit does | tests |"
	var bad []error
	rfc, inTable := "", false
	for i, line := range strings.Split(text, "\n") {
		fault := func(what string) { bad = append(bad, fmt.Errorf("line %d %s: %.60s", i+1, what, line)) }
		switch {
		case strings.HasPrefix(line, "## "):
			rfc, inTable = "", false
			if name, _, ok := strings.Cut(line[len("## "):], ":"); ok && strings.HasPrefix(name, "RFC ") {
				rfc = name
			}
		case !strings.HasPrefix(line, "|"):
			inTable = false
		case line == columns:
			inTable = true
			if rfc == "" {
				fault("begins a table that belongs to no RFC")
			}
		case !inTable:
			fault("is outside of any table")
		case strings.Trim(line, "|-") == "":
			// the line below the columns
		default:
			cells := strings.Split(strings.TrimSuffix(strings.TrimPrefix(line, "|"), "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			if len(cells) != 4 {
				fault(fmt.Sprintf("has %d cells", len(cells)))
				continue
			}
			list = append(list, clause{rfc, i + 1, cells})
		}
	}
	return list, errors.Join(bad...)
}

// problems says what is wrong with a row. exists reports whether a package has
// a test.
func (c clause) problems(exists func(pkg, name string) bool) (list []string) {
	for i, column := range []string{"section", "clause", "deed"} {
		if c.cells[i] == "" {
			list = append(list, "has no "+column)
		}
	}
	if !strings.HasPrefix(c.cells[1], "MUST: ") && !strings.HasPrefix(c.cells[1], "MUST NOT: ") &&
		!strings.HasPrefix(c.cells[1], "SHOULD: ") && !strings.HasPrefix(c.cells[1], "SHOULD NOT: ") {
		list = append(list, "does not say how binding it is")
	}
	tests := c.cells[3]
	names := namedTest.FindAllStringSubmatch(tests, -1)
	for _, n := range names {
		if !exists(n[1], n[2]) {
			list = append(list, fmt.Sprintf("names %s of %s, which does not exist", n[2], n[1]))
		}
	}
	rest := namedTest.ReplaceAllString(tests, "")
	why := reason.FindString(rest)
	if len(names) == 0 && why == "" {
		list = append(list, "names neither a test nor a reason")
	}
	// What is neither a test nor a reason is a test that was misspelt.
	if left := strings.Trim(strings.Replace(rest, why, "", 1), " ,;"); left != "" {
		list = append(list, fmt.Sprintf("has %q beside its tests", left))
	}
	return list
}

// testsOf returns the tests, fuzz targets and examples in a package's directory.
func testsOf(dir string) (map[string]bool, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				names[fn.Name.Name] = true
			}
		}
	}
	return names, nil
}

// TestConformance holds docs/conformance.md to the tests that it names.
func TestConformance(t *testing.T) {
	text, err := os.ReadFile("../../docs/conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	clauses, err := readClauses(string(text))
	if err != nil {
		t.Error(err)
	}
	sections := map[string]bool{}
	for _, c := range hostile.Cases() {
		sections[c.Section] = true
	}
	packages := map[string]map[string]bool{"hostile": sections}
	exists := func(pkg, name string) bool {
		names, ok := packages[pkg]
		if !ok {
			if names, err = testsOf(filepath.Join("../..", filepath.FromSlash(pkg))); err != nil {
				t.Fatal(err)
			}
			packages[pkg] = names
		}
		return names[name]
	}
	rows, named := map[string]int{}, 0
	for _, c := range clauses {
		rows[c.rfc]++
		named += len(namedTest.FindAllString(c.cells[3], -1))
		for _, p := range c.problems(exists) {
			t.Errorf("docs/conformance.md:%d: %s section %s %s", c.line, c.rfc, c.cells[0], p)
		}
	}
	// A broken document or a broken parser would leave less than this.
	for rfc, least := range map[string]int{
		"RFC 6750": 20, "RFC 7515": 20, "RFC 7517": 10, "RFC 7518": 8, "RFC 7519": 15, "RFC 8414": 6, "RFC 8707": 3,
		"RFC 7662": 8, "RFC 8725": 15, "RFC 9068": 8, "RFC 9110": 5, "RFC 9470": 4, "RFC 9728": 10,
	} {
		if rows[rfc] < least {
			t.Errorf("%d rows of %s, want at least %d", rows[rfc], rfc, least)
		}
	}
	if len(clauses) < 140 || named < 140 {
		t.Errorf("%d rows with %d tests", len(clauses), named)
	}
}

// TestConformanceFinds shows that TestConformance can fail.
func TestConformanceFinds(t *testing.T) {
	exists := func(pkg, name string) bool { return pkg == "verify/jwks" && name == "TestThere" }
	for cells, want := range map[string]string{
		"1 | MUST: x | y | `verify/jwks: TestThere`":                                  "",
		"1 | SHOULD NOT: x | y | outside: somebody else's business":                   "",
		"1 | MUST: x | y | `verify/jwks: TestThere`; not met: for a very good reason": "",
		"1 | MUST: x | y | `verify/jwks: TestThere`, `verify/jwks: TestThere`":        "",
		"1 | MUST: x | y | `verify/jwks: TestGone`":                                   "which does not exist",
		"1 | MUST: x | y | `verify: TestThere`":                                       "which does not exist",
		"1 | MUST: x | y | `verify/jwks: TestThere`, `verify/jwks: TestGone`":         "which does not exist",
		"1 | MUST: x | y | ":                                                 "neither a test nor a reason",
		"1 | MUST: x | y | not met:":                                         "neither a test nor a reason",
		"1 | MUST: x | y | not met: no":                                      "neither a test nor a reason",
		"1 | MUST: x | y | pending":                                          "neither a test nor a reason",
		"1 | MUST: x | y | `verify/jwks.TestThere`":                          "neither a test nor a reason",
		"1 | MUST: x | y | `verify/jwks: TestThere`, `verify/jwks.TestGone`": "beside its tests",
		"1 | x | y | `verify/jwks: TestThere`":                               "how binding",
		"1 | MUST: x |  | `verify/jwks: TestThere`":                          "no deed",
		" | MUST: x | y | `verify/jwks: TestThere`":                          "no section",
	} {
		list, err := readClauses("## RFC 1: x\n\n| section | clause | what the kit does | tests |\n|---|---|---|---|\n| " + cells + " |\n")
		if err != nil || len(list) != 1 || list[0].rfc != "RFC 1" {
			t.Errorf("%q: %v, %v", cells, list, err)
			continue
		}
		got := strings.Join(list[0].problems(exists), "; ")
		if (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", cells, got, want)
		}
	}
	for _, text := range []string{
		"## RFC 1: x\n| 1 | MUST: x | y | z |\n",
		"## RFC 1: x\n| section | clause | what the kit does | tests |\n| 1 | MUST: x | y |\n",
		"## RFC 1: x\n| section | clause | what the kit does | tests |\n| 1 | MUST: x | y | z | more |\n",
		"## Other\n| section | clause | what the kit does | tests |\n",
	} {
		if _, err := readClauses(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
	names, err := testsOf(".")
	if err != nil || !names["TestConformance"] || names["TestGone"] {
		t.Errorf("%v, %v", names, err)
	}
}
