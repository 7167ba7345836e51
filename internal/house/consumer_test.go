package house_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestConsumerDownloadsNoFramework has a module that imports only verify, jwks,
// dpop, mtls and middleware load what it needs into an empty module cache, which
// is filled from this machine's own, and looks at what was downloaded.
func TestConsumerDownloadsNoFramework(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir, cache := t.TempDir(), t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module consumer\n\ngo 1.25.0\n\nrequire "+module+" v0.0.0\n\nreplace "+module+" => "+root+"\n")
	write("main.go", `package main

import (
	"github.com/bearerkit/bearerkit/adapters/httpauth"
	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/dpop"
	"github.com/bearerkit/bearerkit/verify/jwks"
	"github.com/bearerkit/bearerkit/verify/mtls"
)

var _ = []any{httpauth.Require, middleware.New, verify.New, jwks.Discover, dpop.NewOrigins, mtls.TLS}

func main() {}
`)
	own := goEnv(t, "GOMODCACHE")
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command("go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOMODCACHE="+cache, "GOPROXY=file://"+filepath.ToSlash(own)+"/cache/download",
			"GONOSUMDB=*", "GONOSUMCHECK=1", "GOFLAGS=-mod=mod -modcacherw", "GOWORK=off", "GOTOOLCHAIN=local")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	run("list", "-deps", "./...")
	downloaded := unpacked(t, cache)
	if len(downloaded) == 0 {
		t.Fatal("nothing was downloaded: the test looks in the wrong place")
	}
	for _, m := range downloaded {
		for _, f := range append(frameworks, "github.com/bytedance/", "go.uber.org/", "github.com/redis/") {
			if strings.HasPrefix(m, f) {
				t.Errorf("a consumer of verify and middleware downloads %s", m)
			}
		}
	}
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// unpacked lists the modules in a module cache whose source is there, as
// opposed to their go.mod alone.
func unpacked(t *testing.T, cache string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(filepath.Join(cache, "cache", "download"), func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".zip") {
			rel, _ := filepath.Rel(filepath.Join(cache, "cache", "download"), path)
			list = append(list, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}
