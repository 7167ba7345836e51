package jwks_test

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearerkit/bearerkit/internal/testkit"
	"github.com/bearerkit/bearerkit/verify/jwks"
)

// privateDir makes a directory that a snapshot may be in.
func privateDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// snapshotIDs returns the IDs of the keys in a snapshot; nil if there is none.
func snapshotIDs(t *testing.T, path string) (ids []string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	keys, _, err := jwks.Parse(data)
	if err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	for _, k := range keys {
		ids = append(ids, k.ID)
	}
	return ids
}

// A snapshot that could not be written is tried again after each good answer.
func TestSnapshotIsRetried(t *testing.T) {
	dir := privateDir(t)
	file := filepath.Join(dir, "keys.json")
	synctest.Test(t, func(t *testing.T) {
		f := &fakeIssuer{handler: serving(document(newKey("a")), "Cache-Control", "max-age=10")}
		var logs testkit.LogBuffer
		s := ready(t, f, jwks.Config{Snapshot: file, Logger: logs.Logger()})
		defer s.Close()
		synctest.Wait()
		if ids := snapshotIDs(t, file); !slices.Equal(ids, []string{"a"}) {
			t.Fatalf("keys %q in the file", ids)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		f.set(serving(document(newKey("b")), "Cache-Control", "max-age=10"))
		time.Sleep(time.Minute)
		synctest.Wait()
		wantKeys(t, s, "b")
		if healthOf(s).Snapshot == nil {
			t.Error("Health says nothing of a snapshot that could not be written")
		}
		if n := logs.Count("level=WARN"); n != 1 {
			t.Errorf("%d warnings of one fault:\n%s", n, &logs)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if ids := snapshotIDs(t, file); !slices.Equal(ids, []string{"b"}) || healthOf(s).Snapshot != nil {
			t.Errorf("keys %q in the file, %v", ids, healthOf(s).Snapshot)
		}
	})
}

// If a changed set cannot be written, the old file is removed, because it may have a
// withdrawn key. If the set has not changed, the file stays.
func TestSnapshotOfWithdrawnKeyIsRemoved(t *testing.T) {
	for name, c := range map[string]struct {
		keys func(a jwk) []jwk
		left []string
	}{
		"changed":   {func(a jwk) []jwk { return []jwk{newKey("b")} }, nil},
		"confirmed": {func(a jwk) []jwk { return []jwk{a} }, []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := privateDir(t)
			short := filepath.Join(dir, "keys.json")
			// A name that leaves no room for the suffix of the temporary file.
			long := filepath.Join(dir, strings.Repeat("k", 250))
			synctest.Test(t, func(t *testing.T) {
				a := newKey("a")
				f := &fakeIssuer{handler: serving(document(a), "Cache-Control", "max-age=10")}
				first := ready(t, f, jwks.Config{Snapshot: short})
				synctest.Wait()
				first.Close()
				if err := os.Rename(short, long); err != nil {
					t.Fatal(err)
				}
				next := serving(document(c.keys(a)...), "Cache-Control", "max-age=10")
				f.set(func(w http.ResponseWriter, r *http.Request) {
					f.set(next)
					time.Sleep(time.Second) // the snapshot is seen first
					next(w, r)
				})
				s := open(t, jwks.Config{URL: keysURL, Client: &http.Client{Transport: f}, Snapshot: long})
				defer s.Close()
				if !healthOf(s).FromSnapshot {
					t.Fatal("the snapshot was not read")
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if ids := snapshotIDs(t, long); !slices.Equal(ids, c.left) || healthOf(s).Snapshot == nil {
					t.Errorf("keys %q are left in the file, %v", ids, healthOf(s).Snapshot)
				}
			})
		})
	}
}

// stuckHandler hangs on the first record about the snapshot. That stops the goroutine
// that saves, as a disk that hangs would.
type stuckHandler struct {
	slog.Handler
	hung *atomic.Bool
	free <-chan struct{}
}

func (h stuckHandler) Handle(ctx context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "snapshot") && h.hung.CompareAndSwap(false, true) {
		<-h.free
	}
	return h.Handler.Handle(ctx, r)
}

// Saving that hangs delays neither the next fetch nor Close. When it continues, the
// newest set is written.
func TestSavingThatHangs(t *testing.T) {
	dir := privateDir(t)
	file := filepath.Join(dir, "keys.json")
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		f := &fakeIssuer{handler: serving(document(newKey("a")), "Cache-Control", "max-age=10")}
		var logs testkit.LogBuffer
		c := jwks.Config{URL: keysURL, Client: &http.Client{Transport: f}, Snapshot: file}
		c.Logger = slog.New(stuckHandler{logs.Logger().Handler(), new(atomic.Bool), free})
		s := jwks.New(c)
		if err := s.Bind(issuerURL); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		_, _ = s.KeySet()
		time.Sleep(time.Second)
		if healthOf(s).Snapshot == nil {
			t.Fatal("it could be written")
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"b", "c", "d"} {
			f.set(serving(document(newKey(id)), "Cache-Control", "max-age=10"))
			time.Sleep(10 * time.Second)
			wantKeys(t, s, id)
		}
		if ids := snapshotIDs(t, file); ids != nil {
			t.Errorf("keys %q were written by another goroutine meanwhile", ids)
		}
		if err := healthOf(s).Snapshot; err == nil || !strings.Contains(err.Error(), "does not answer") {
			t.Errorf("Health has %v", err)
		}
		s.Close()
		if d := time.Since(healthOf(s).Since); d != 0 {
			t.Errorf("Close took %v", d)
		}
		close(free)
		synctest.Wait()
		if ids := snapshotIDs(t, file); !slices.Equal(ids, []string{"d"}) {
			t.Errorf("keys %q in the file", ids)
		}
	})
}

// Temporary files of interrupted saves are removed, and no other files.
func TestLeftoversOfSnapshots(t *testing.T) {
	dir := privateDir(t)
	old := time.Now().Add(-2 * time.Hour)
	want := []string{"keys.json"}
	for name, c := range map[string]struct {
		at   time.Time
		stay bool
	}{
		".keys.json.123":      {old, false},
		".keys.json.77":       {time.Now(), true}, // perhaps of another process
		".keys.json.bak":      {old, true},
		".keys.json.1.json.2": {old, true}, // of the snapshot "keys.json.1.json"
		"keys.json.5":         {old, true},
		".other.json.123":     {old, true},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, c.at, c.at); err != nil {
			t.Fatal(err)
		}
		if c.stay {
			want = append(want, name)
		}
	}
	f := &fakeIssuer{handler: serving(document(newKey("a")))}
	s := ready(t, f, jwks.Config{Snapshot: filepath.Join(dir, "keys.json")})
	defer s.Close()
	for snapshotIDs(t, filepath.Join(dir, "keys.json")) == nil {
		time.Sleep(time.Millisecond)
	}
	var got []string
	for _, e := range must(os.ReadDir(dir)) {
		got = append(got, e.Name())
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
}
