//go:build unix

package jwks_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
)

// A snapshot that another user could have written is refused, and Health says why.
func TestSnapshotOfOthers(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(dir, file string) error
		want   string // a part of what is wrong; empty: nothing
	}{
		"as it was written":                       {func(string, string) error { return nil }, ""},
		"readable for all":                        {func(_, f string) error { return os.Chmod(f, 0o644) }, ""},
		"group-writable":                          {func(_, f string) error { return os.Chmod(f, 0o620) }, "others can write the file"},
		"writable for all":                        {func(_, f string) error { return os.Chmod(f, 0o602) }, "others can write the file"},
		"in a directory that is group-writable":   {func(d, _ string) error { return os.Chmod(d, 0o720) }, "others can write the directory"},
		"in a directory that is writable for all": {func(d, _ string) error { return os.Chmod(d, 0o1702) }, "others can write the directory"},
		"a symbolic link": {func(d, f string) error {
			to := filepath.Join(d, "elsewhere")
			if err := os.Rename(f, to); err != nil {
				return err
			}
			return os.Symlink(to, f)
		}, "a symbolic link"},
		"a pipe": {func(_, f string) error {
			if err := os.Remove(f); err != nil {
				return err
			}
			return syscall.Mkfifo(f, 0o600)
		}, "not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Chmod(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "keys.json")
			synctest.Test(t, func(t *testing.T) {
				f := &fakeIssuer{handler: serving(document(newKey("a")))}
				s := ready(t, f, jwks.Config{Snapshot: file})
				synctest.Wait() // for the file to be written
				s.Close()
			})
			if err := tc.change(dir, file); err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				s := open(t, jwks.Config{URL: keysURL, Snapshot: file, Client: &http.Client{Transport: &fakeIssuer{handler: status(500)}}})
				defer s.Close()
				set, err := s.KeySet()
				h := healthOf(s)
				switch {
				case tc.want == "" && (err != nil || !has("a")(set) || h.Snapshot != nil || !h.FromSnapshot):
					t.Errorf("not taken: %v, %+v", err, h)
				case tc.want != "" && (err == nil || h.FromSnapshot || h.Snapshot == nil || !strings.Contains(h.Snapshot.Error(), tc.want)):
					t.Errorf("%v, %v, want %q", err, h.Snapshot, tc.want)
				}
				_, _ = s.Refresh(t.Context(), verify.Demand{Satisfied: anySet})
			})
		})
	}
}
