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
		"package verify decides about tokens; packages below it use the network, behind interfaces such as KeySource"},
	{"verify", []string{module + "/verify/", module + "/middleware", module + "/adapters/"}, nil, true,
		"imports point down: package verify does not know its users"},
	{"verify/", []string{module + "/middleware", module + "/adapters/"}, nil, true,
		"imports point down: packages below verify do not know HTTP requests to the service"},
	{"middleware", []string{module + "/adapters/"}, nil, true,
		"imports point down: package middleware does not know its adapters"},
	{"middleware", frameworks, nil, true,
		"a service on net/http must not download a framework"},
	{"verify/", frameworks, nil, true,
		"a program that verifies tokens must not download a framework"},
	{"adapters/httpauth", frameworks, nil, true,
		"the adapter for net/http does not need a framework"},
	{"adapters/ginauth", []string{"github.com/labstack/", "github.com/go-chi/"}, nil, true,
		"an adapter imports its own framework only"},
	{"adapters/echoauth", []string{"github.com/gin-gonic/", "github.com/go-chi/", "github.com/labstack/echo/v4"}, nil, true,
		"an adapter imports its own framework only"},
	{"adapters/echov4auth", []string{"github.com/gin-gonic/", "github.com/go-chi/", "github.com/labstack/echo/v5"}, nil, true,
		"an adapter imports its own framework only"},
	{"adapters/chiauth", []string{"github.com/gin-gonic/", "github.com/labstack/"}, nil, true,
		"an adapter imports its own framework only"},
	{"", []string{"github.com/MicahParks/"}, []string{"verify/jwks"}, false,
		"jwkset is lenient and imports net/http: only one package uses it, with its own checks"},
	{"", []string{"github.com/golang-jwt/"}, []string{"internal/jose", "verify/verifytest", "verify/introspect"}, false,
		"golang-jwt is lenient: only the packages that check for themselves use it"},
	{"", []string{"github.com/go-json-experiment/"}, []string{"internal/claimsjson"}, false,
		"its API is not stable yet: only one package has to follow its changes"},
	{"", []string{"github.com/redis/"}, []string{"verify/redisstore"}, false,
		"only programs that share state through Redis need a client for it"},
	{"", []string{module + "/verify/redisstore"}, []string{"examples/"}, false,
		"the other packages use interfaces, so that programs without Redis do not download a client for it"},
	{"", []string{"encoding/json"}, []string{
		"middleware", "examples/", "verify/verifytest", "verify/jwks", "adapters/adaptertest", "internal/"}, false,
		"JSON of others is read by internal/strictjson; encoding/json writes, and reads only what the kit or a test has written"},
	{"", []string{"testing"}, []string{"internal/", "adapters/adaptertest"}, false,
		"programs must not get the flags of package testing; adaptertest is for tests"},
	{"", []string{module + "/internal/hostile"}, []string{"adapters/adaptertest"}, false,
		"hostile tokens are for tests"},
	{"", []string{"unsafe"}, []string{"internal/"}, false,
		"security code must not get around types"},
	{"", []string{"math/rand"}, []string{"internal/", "verify/jwks"}, false,
		"random numbers of security code must not be predictable; those that spread requests over time may be"},
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
			t.Errorf("the ban on %v covers no package: was %q renamed?", b.to, b.from)
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
