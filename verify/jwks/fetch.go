package jwks

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/bearerkit/bearerkit/internal/upstream"
	"github.com/bearerkit/bearerkit/verify"
)

const (
	// Metadata is read again when it is older than its own lifetime, but not
	// more often than this.
	minMetadataLifetime = 10 * time.Second
)

// A fetcher asks the issuer. It belongs to the refresher's goroutine alone,
// and remembers what the next request can build on.
type fetcher struct {
	client       *upstream.Client
	issuer       string
	discover     bool // url comes from the issuer's metadata
	insecureHTTP bool
	now          func() time.Time

	url      string    // of the key set; empty until it is discovered
	etag     string    // of the answer that set came in
	whole    time.Time // when that came: not the word that it is current
	set      *verify.KeySet
	document *document // the set as it came
	lifetime time.Duration

	asked         time.Time // when metadata was last asked for
	metadataUntil time.Time // when the metadata at hand is to be read again
	metadataErr   error     // why the last metadata was not used
	discoverFirst bool      // the key set's URL did not answer

	lastAnswer string // what came back last, for Health
}

// An outcome is a good answer, or the confirmation of the last one.
type outcome struct {
	url         string
	set         *verify.KeySet
	document    *document
	lifetime    time.Duration
	notModified bool
	metadataErr error
	asked       time.Time // when the question was put
}

// fetch makes one attempt to get the newest key set. demanded says that a token
// names a key which is not in the set at hand.
func (f *fetcher) fetch(ctx context.Context, demanded bool) (*outcome, error) {
	discovered := false
	if f.discover && (f.url == "" || f.discoverFirst || upstream.Reached(f.metadataUntil, f.now())) {
		again := f.discoverFirst
		f.discoverFirst = false
		err := f.rediscover(ctx)
		switch {
		case err == nil:
		case f.url == "":
			return nil, err
		case again && isTimeoutError(err):
			// Neither answers. Waiting for both each time would only
			// make it longer until the first is asked again.
			return nil, err
		}
		discovered = true
	}
	before := f.set
	out, err := f.fetchKeys(ctx, demanded)
	if !f.discover || discovered || !f.mayHaveMoved(err, demanded, before) {
		return out, err
	}
	// The key set may have moved: metadata says where to.
	old := f.url
	if f.rediscover(ctx) != nil || f.url == old {
		if out != nil {
			out.metadataErr = f.metadataErr
		}
		return out, err
	}
	return f.fetchKeys(ctx, demanded)
}

// mayHaveMoved reports whether what came from the key set's URL is a reason to
// read the metadata now.
func (f *fetcher) mayHaveMoved(err error, demanded bool, before *verify.KeySet) bool {
	lately := upstream.Since(f.asked, f.now()) < minMetadataLifetime
	if err == nil {
		// Nothing new where a token promised some.
		return demanded && f.set == before && !lately
	}
	var e *upstream.Error
	switch {
	case !errors.As(err, &e):
		return true // an answer, but no key set
	case e.Timeout:
		// The next attempt begins with the metadata: this one has lasted
		// long enough.
		f.discoverFirst = true
		return false
	case e.Status == http.StatusTooManyRequests || e.Status >= 500:
		return !lately && wantsPause(e, time.Now()) == 0
	}
	return true
}

// rediscover reads the issuer's metadata. The first document that is good and
// names a key set counts. If none does, the URL at hand stays.
func (f *fetcher) rediscover(ctx context.Context) error {
	f.asked = f.now()
	lifetimeOf := minMetadataLifetime
	err := f.client.Discover(ctx, f.issuer, f.url == "", func(m upstream.Metadata, resp *upstream.Response) error {
		uri, err := m.Endpoint("jwks_uri", f.issuer, f.insecureHTTP)
		if err != nil {
			return err
		}
		if uri != f.url {
			f.url, f.etag = uri, ""
		}
		d, _ := lifetime(resp.Header, time.Now())
		lifetimeOf = max(d, minMetadataLifetime)
		return nil
	})
	f.metadataUntil = f.asked.Add(lifetimeOf)
	if f.metadataErr = err; err != nil {
		f.metadataErr = fmt.Errorf("metadata: %w", err)
	}
	return f.metadataErr
}

// maxUnconfirmed is how long the issuer is believed that the set is current.
const maxUnconfirmed = time.Hour

// fetchKeys reads the key set. An ETag that stays the same while the keys change
// must not hide them: what a request demands is fetched whole, from the issuer
// itself (RFC 9111 section 5.2.1.4), and so is the set once an hour.
func (f *fetcher) fetchKeys(ctx context.Context, demanded bool) (*outcome, error) {
	etag := f.etag
	if demanded || upstream.Since(f.whole, f.now())+f.lifetime > maxUnconfirmed {
		etag = ""
	}
	a, err := get(ctx, f.client, f.url, etag, demanded)
	if err != nil {
		return nil, err
	}
	if a.notModified {
		if a.said {
			f.lifetime = a.lifetime
		}
		return f.outcome(a), nil
	}
	d, err := parse(a.body)
	if err != nil {
		return nil, &upstream.DocumentError{URL: upstream.Redact(f.url), Cause: err}
	}
	set, more := verify.NewKeySet(d.keys)
	d.skipped = append(d.skipped, more...)
	if set.Len() == 0 {
		err := errors.New("an empty key set")
		if left := slices.Concat(d.skipped, d.otherUse); len(left) > 0 {
			err = fmt.Errorf("no key in it can be used (%d skipped, the first: %s)", len(left), left[0].Reason)
		}
		return nil, &upstream.DocumentError{URL: upstream.Redact(f.url), Cause: err}
	}
	// The same keys are the same set, so that whoever remembers what a set
	// has verified need not forget it.
	if f.set == nil || !f.set.Equal(set) {
		f.set = set
	}
	f.document, f.etag, f.lifetime, f.whole = d, a.etag, a.lifetime, a.asked
	return f.outcome(a), nil
}

func (f *fetcher) outcome(a *answer) *outcome {
	return &outcome{f.url, f.set, f.document, f.lifetime, a.notModified, f.metadataErr, a.asked}
}

// wantsPause returns how long the issuer asks to be left alone, 0 if it does not.
func wantsPause(e *upstream.Error, now time.Time) time.Duration {
	if e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable {
		return retryAfter(e.Header, now)
	}
	return 0
}

func isTimeoutError(err error) bool {
	var e *upstream.Error
	return errors.As(err, &e) && e.Timeout
}
