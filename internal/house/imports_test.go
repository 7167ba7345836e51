package house_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/bearerkit/bearerkit"

// pkg is what go list says of a package.
type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
	Doc        string
}

func list(t *testing.T, args ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Imports,Deps,Doc"}, args...)...)
	cmd.Dir = "../.."
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var pkgs []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// A ban keeps the packages below from (or exactly from, without the slash at
// its end) away from others, directly or, if deep, through anything they
// import.
type ban struct {
	from   string
	to     []string
	except []string
	deep   bool
	why    string
}

var frameworks = []string{"github.com/gin-gonic/", "github.com/labstack/", "github.com/go-chi/"}

var bans = []ban{
	{"verify", []string{"net/http"}, nil, true,
		"the core judges tokens; what talks to a network sits below it, behind KeySource"},
	{"verify", []string{module + "/verify/", module + "/middleware", module + "/adapters/"}, nil, true,
		"imports point down: the core knows none of those who use it"},
	{"verify/", []string{module + "/middleware", module + "/adapters/"}, nil, true,
		"imports point down: keys know nothing of requests"},
	{"middleware", []string{module + "/adapters/"}, nil, true,
		"imports point down: the decision knows no framework's adapter"},
	{"middleware", frameworks, nil, true,
		"who protects net/http downloads no framework"},
	{"verify/", frameworks, nil, true,
		"who verifies tokens downloads no framework"},
	{"adapters/httpauth", frameworks, nil, true,
		"the adapter for net/http knows no framework"},
	{"adapters/ginauth", []string{"github.com/labstack/", "github.com/go-chi/"}, nil, true,
		"an adapter knows its framework alone"},
	{"adapters/echoauth", []string{"github.com/gin-gonic/", "github.com/go-chi/", "github.com/labstack/echo/v4"}, nil, true,
		"an adapter knows its framework alone"},
	{"adapters/echov4auth", []string{"github.com/gin-gonic/", "github.com/go-chi/", "github.com/labstack/echo/v5"}, nil, true,
		"an adapter knows its framework alone"},
	{"adapters/chiauth", []string{"github.com/gin-gonic/", "github.com/labstack/"}, nil, true,
		"an adapter knows its framework alone"},
	{"", []string{"github.com/MicahParks/"}, []string{"verify/jwks"}, false,
		"jwkset is lenient and reaches net/http: one package keeps it in check"},
	{"", []string{"github.com/golang-jwt/"}, []string{"internal/jose", "verify/verifytest", "verify/introspect"}, false,
		"golang-jwt's leniency is stopped in one place; verifytest and introspect sign with it"},
	{"", []string{"github.com/go-json-experiment/"}, []string{"internal/claimsjson"}, false,
		"its API is not stable yet: one package keeps the changes from the others"},
	{"", []string{"github.com/redis/"}, []string{"verify/redisstore"}, false,
		"a Redis client is for those who share something through a Redis"},
	{"", []string{module + "/verify/redisstore"}, []string{"examples/"}, false,
		"the other packages know interfaces: who has no Redis downloads no client for it"},
	{"", []string{"encoding/json"}, []string{
		"middleware", "examples/", "verify/verifytest", "verify/jwks", "adapters/adaptertest", "internal/"}, false,
		"foreign JSON is read by internal/strictjson; encoding/json writes our own"},
	{"", []string{"testing"}, []string{"internal/", "adapters/adaptertest"}, false,
		"a package that users link into programs has no test flags; adaptertest is for tests"},
	{"", []string{"unsafe"}, []string{"internal/"}, false,
		"security code takes no shortcuts around types"},
	{"", []string{"math/rand"}, []string{"internal/", "verify/jwks"}, false,
		"security code takes no predictable numbers; verify/jwks spreads its refreshes with them"},
}

func (b ban) covers(p pkg) bool {
	rel := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
	if slices.ContainsFunc(b.except, func(e string) bool { return rel == e || strings.HasSuffix(e, "/") && strings.HasPrefix(rel, e) }) {
		return false
	}
	return b.from == "" || rel == b.from || strings.HasSuffix(b.from, "/") && strings.HasPrefix(rel, b.from)
}

func TestImports(t *testing.T) {
	pkgs := list(t, "./...")
	for _, b := range bans {
		covered := 0
		for _, p := range pkgs {
			if !b.covers(p) {
				continue
			}
			covered++
			imports := p.Imports
			if b.deep {
				imports = p.Deps
			}
			for _, to := range b.to {
				for _, i := range imports {
					if i == to || strings.HasSuffix(to, "/") && strings.HasPrefix(i, to) || strings.HasPrefix(i, to+"/") {
						t.Errorf("%s imports %s: %s", p.ImportPath, i, b.why)
					}
				}
			}
		}
		if covered == 0 {
			t.Errorf("the ban on %v covers no package: is %q its name still?", b.to, b.from)
		}
	}
}

// TestDoc finds packages that do not say what they are for.
func TestDoc(t *testing.T) {
	for _, p := range list(t, "./...") {
		if p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}
