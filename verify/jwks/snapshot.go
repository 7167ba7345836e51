package jwks

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bearerkit/bearerkit/internal/part"
	"github.com/bearerkit/bearerkit/internal/strictjson"
	"github.com/bearerkit/bearerkit/internal/upstream"
	"github.com/bearerkit/bearerkit/verify"
)

// snapshotInterval is how often an unchanged set is written again, to keep the time
// in the file recent.
const snapshotInterval = 5 * time.Minute

// maxSnapshot limits the size of the file in bytes. Certificates are not written, so
// the file is smaller than the document it was made from.
const maxSnapshot = 2 * upstream.MaxBody

// A snapshotFile holds the last good keys of one issuer: a JWK Set with two more
// members, the issuer and the time at which it confirmed the keys.
type snapshotFile struct {
	path   string
	issuer string

	// The source's lock guards the rest.
	set     *verify.KeySet // the set in the file; nil if none could be read or written
	written time.Time      // when it was last written; zero if that failed
	next    *outcome       // what to write next
	nextAt  time.Time
	saving  time.Time // since when a goroutine is writing; zero if none is
}

func checkSnapshotPath(path string) string {
	info, err := os.Stat(filepath.Dir(path))
	if err != nil || !info.IsDir() {
		return "is not in an existing directory"
	}
	if info, err := os.Lstat(path); err == nil && info.IsDir() {
		return "is a directory"
	}
	return ""
}

// loadSnapshot returns a first view with the keys of the snapshot, or nil.
func (s *Source) loadSnapshot(now time.Time, logs *part.Log) *view {
	keys, at, err := s.snapshot.load(now, s.config.MaxStale)
	var set *verify.KeySet
	if err == nil {
		set, _ = verify.NewKeySet(keys)
		if set.Len() == 0 {
			err = errors.New("refused: none of its keys can be used")
		}
	}
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil // the first start
	case err != nil:
		s.noteSnapshot(err, logs)
		return nil
	}
	s.snapshot.set, s.report.fromSnapshot = set, true
	logs.Add(slog.LevelInfo, "key set read from the snapshot", "file", s.config.Snapshot, "confirmed", at, keyIDs("keys", set.IDs()), withoutID(keys))
	fetched := now.Add(-upstream.Since(at, now)) // with the readings of both clocks
	return &view{set: set, keys: keys, fetched: fetched, until: fetched.Add(s.config.MaxStale), err: errStarting}
}

// saveSnapshot starts writing a confirmed set, if it has changed or it is time to. It
// does not wait: a disk that hangs must not hold up the next fetch.
func (s *Source) saveSnapshot(out *outcome, at time.Time) {
	var logs part.Log
	defer func() { s.write(logs) }()
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &s.snapshot
	if f.set == out.set && at.Sub(f.written) < min(snapshotInterval, s.config.MaxStale/4) {
		return
	}
	f.next, f.nextAt = out, at
	switch {
	case f.saving.IsZero():
		f.saving = at
		go s.writeSnapshots()
	case at.Sub(f.saving) > upstream.DefaultTimeout:
		s.noteSnapshot(errSlowDisk, &logs)
	}
}

var errSlowDisk = errors.New("cannot be written: the disk does not answer")

// writeSnapshots writes the newest set until there is nothing more to write. Nothing
// waits for it, not even Close.
func (s *Source) writeSnapshots() {
	f := &s.snapshot
	s.mu.Lock()
	for f.next != nil {
		out, at, set := f.next, f.nextAt, f.set
		f.next, f.saving = nil, at
		s.mu.Unlock()
		err := f.save(out.document.keys, at)
		if err == nil {
			set = out.set
			// Report now what would be refused at the next start.
			err = checkPrivateDir(f.path)
		} else {
			at = time.Time{} // try again after the next good answer
			// Drop the random name of os.CreateTemp from the error, so that
			// a lasting fault is one line in the log.
			for cause := err; cause != nil; cause = errors.Unwrap(cause) {
				err = cause
			}
			err = fmt.Errorf("cannot be written: %w", err)
			if set != out.set {
				// No file is safer than one with a withdrawn key.
				if e := os.Remove(f.path); e == nil || errors.Is(e, os.ErrNotExist) {
					set = nil
				} else {
					err = fmt.Errorf("%w; the old one cannot be removed either: %w", err, e)
				}
			}
		}
		s.mu.Lock()
		f.set, f.written = set, at
		var logs part.Log
		s.noteSnapshot(err, &logs)
		s.mu.Unlock()
		s.write(logs)
		s.mu.Lock()
	}
	f.saving = time.Time{}
	s.mu.Unlock()
}

// load reads the file if it can be trusted: anyone who can write it can issue
// tokens.
func (f *snapshotFile) load(now time.Time, maxAge time.Duration) ([]verify.Key, time.Time, error) {
	var at time.Time
	file, err := openPrivate(f.path)
	if err != nil {
		return nil, at, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxSnapshot+1))
	switch {
	case err != nil:
		return nil, at, fmt.Errorf("cannot be read: %w", err)
	case len(data) > maxSnapshot:
		return nil, at, errors.New("refused: too long")
	}
	var issuer, stamp strictjson.Value
	err = strictjson.Object(string(data), func(name string, value strictjson.Value) {
		switch name {
		case "issuer":
			issuer = value
		case "time":
			stamp = value
		}
	})
	switch {
	case err != nil:
		return nil, at, fmt.Errorf("refused: malformed: %w", err)
	case issuer == "" || !issuer.Is(f.issuer):
		return nil, at, errors.New("refused: for another issuer")
	case stamp == "":
		return nil, at, errors.New("refused: malformed: no time")
	}
	text, _ := stamp.Text()
	at, err = time.Parse(time.RFC3339Nano, text)
	switch {
	case err != nil:
		return nil, at, errors.New("refused: malformed: no time")
	case at.After(now.Add(time.Minute)):
		return nil, at, errors.New("refused: its time is in the future")
	case now.Sub(at) >= maxAge:
		return nil, at, fmt.Errorf("refused: too old, from %s", at.UTC().Format(time.RFC3339))
	case at.After(now):
		at = now
	}
	d, err := parse(data)
	if err != nil {
		return nil, at, fmt.Errorf("refused: malformed: %w", err)
	}
	return d.keys, at, nil
}

type snapshotDocument struct {
	Issuer string      `json:"issuer"`
	Time   time.Time   `json:"time"`
	Keys   []publicJWK `json:"keys"`
}

type publicJWK struct {
	Type      string `json:"kty"`
	ID        string `json:"kid,omitempty"`
	Algorithm string `json:"alg,omitempty"`
	Curve     string `json:"crv,omitempty"`
	X         string `json:"x,omitempty"`
	Y         string `json:"y,omitempty"`
	N         string `json:"n,omitempty"`
	E         string `json:"e,omitempty"`
}

func encodeKey(k verify.Key) (publicJWK, error) {
	j := publicJWK{ID: k.ID, Algorithm: k.Algorithm}
	b64 := base64.RawURLEncoding.EncodeToString
	switch p := k.Public.(type) {
	case *rsa.PublicKey:
		j.Type, j.N, j.E = "RSA", b64(p.N.Bytes()), b64(big.NewInt(int64(p.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := p.Bytes() // uncompressed: 4, x, y
		if err != nil {
			return j, err
		}
		half := len(point) / 2
		j.Type, j.Curve, j.X, j.Y = "EC", p.Curve.Params().Name, b64(point[1:half+1]), b64(point[half+1:])
	case ed25519.PublicKey:
		j.Type, j.Curve, j.X = "OKP", "Ed25519", b64(p)
	default:
		return j, errors.New("unknown type of key")
	}
	return j, nil
}

// save replaces the file atomically: it writes and syncs a temporary file in the same
// directory and renames it, so that a crash leaves the old file or the new one.
// os.CreateTemp makes it accessible to this user only (0600).
func (f *snapshotFile) save(keys []verify.Key, at time.Time) (err error) {
	doc := snapshotDocument{Issuer: f.issuer, Time: at.UTC()}
	for _, k := range keys {
		j, err := encodeKey(k)
		if err != nil {
			return err
		}
		doc.Keys = append(doc.Keys, j)
	}
	data, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	dir, prefix := filepath.Dir(f.path), "."+filepath.Base(f.path)+"."
	removeLeftovers(dir, prefix)
	temp, err := os.CreateTemp(dir, prefix+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			temp.Close()
			os.Remove(temp.Name())
		}
	}()
	if _, err = temp.Write(append(data, '\n')); err != nil {
		return err
	}
	if err = temp.Sync(); err != nil {
		return err
	}
	if err = temp.Close(); err != nil {
		return err
	}
	if err = os.Rename(temp.Name(), f.path); err != nil {
		return err
	}
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync() // makes the rename durable, where the system supports it
		d.Close()
	}
	return nil
}

// removeLeftovers removes temporary files of saves that a crash interrupted.
func removeLeftovers(dir, prefix string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), prefix)
		if !ok || strings.Trim(number, "0123456789") != "" {
			continue
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > time.Hour {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}
