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

// minMetadataLifetime is how long metadata is used at least.
const minMetadataLifetime = 10 * time.Second

// A fetcher calls the issuer, and remembers what the next call needs. Only the
// refresher's goroutine uses it.
type fetcher struct {
	client       *upstream.Client
	issuer       string
	discover     bool // take url from the issuer's metadata
	insecureHTTP bool
	now          func() time.Time

	url      string    // of the key set; empty until it is discovered
	etag     string    // of the answer that brought set
	whole    time.Time // when set was last fetched in full, and not confirmed by a 304
	set      *verify.KeySet
	document *document // that set was made from
	lifetime time.Duration

	asked         time.Time // when metadata was last requested
	metadataUntil time.Time // when metadata has to be read again
	metadataErr   error     // why the last metadata was not used
	discoverFirst bool      // the key set's URL did not answer

	lastAnswer string // see Detail.LastAnswer
}

// An outcome is a good answer, or a confirmation of the last one.
type outcome struct {
	url         string
	set         *verify.KeySet
	document    *document
	lifetime    time.Duration
	notModified bool
	metadataErr error
	asked       time.Time // when the request was made
}

// fetch makes one attempt to get the newest key set. demanded says that a token
// names a key that is not in the current set.
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
			// Neither URL answers. Waiting for both in every attempt
			// would only delay the next one.
			return nil, err
		}
		discovered = true
	}
	before := f.set
	out, err := f.fetchKeys(ctx, demanded)
	if !f.discover || discovered || !f.mayHaveMoved(err, demanded, before) {
		return out, err
	}
	// The key set may have moved: read the metadata.
	old := f.url
	if f.rediscover(ctx) != nil || f.url == old {
		if out != nil {
			out.metadataErr = f.metadataErr
		}
		return out, err
	}
	return f.fetchKeys(ctx, demanded)
}

// mayHaveMoved reports whether the answer from the key set's URL is a reason to read
// the metadata now.
func (f *fetcher) mayHaveMoved(err error, demanded bool, before *verify.KeySet) bool {
	lately := upstream.Since(f.asked, f.now()) < minMetadataLifetime
	if err == nil {
		// The same keys, although a token names another one.
		return demanded && f.set == before && !lately
	}
	var e *upstream.Error
	switch {
	case !errors.As(err, &e):
		return true // an answer that is not a key set
	case e.Timeout:
		// This attempt has taken long enough; the next one starts with the
		// metadata.
		f.discoverFirst = true
		return false
	case e.Status == http.StatusTooManyRequests || e.Status >= 500:
		return !lately && pauseWanted(e, time.Now()) == 0
	}
	return true
}

// rediscover reads the issuer's metadata and uses the first valid document that names
// a key set. If there is none, the current URL stays.
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

// maxUnconfirmed is how long a set may be confirmed by 304 answers alone.
const maxUnconfirmed = time.Hour

// fetchKeys reads the key set. An ETag that does not change with the keys must not
// hide new ones, so a fetch that a request demanded is unconditional and bypasses
// caches (RFC 9111 section 5.2.1.4), and once an hour a planned one is
// unconditional.
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
		err := errors.New("the key set is empty")
		if left := slices.Concat(d.skipped, d.otherUse); len(left) > 0 {
			err = fmt.Errorf("none of its %d keys can be used; the first: %s", len(left), left[0].Reason)
		}
		return nil, &upstream.DocumentError{URL: upstream.Redact(f.url), Cause: err}
	}
	// Keep the same pointer for the same keys, so that verified tokens stay in
	// the cache.
	if f.set == nil || !f.set.Equal(set) {
		f.set = set
	}
	f.document, f.etag, f.lifetime, f.whole = d, a.etag, a.lifetime, a.asked
	return f.outcome(a), nil
}

func (f *fetcher) outcome(a *answer) *outcome {
	return &outcome{f.url, f.set, f.document, f.lifetime, a.notModified, f.metadataErr, a.asked}
}

// pauseWanted returns the Retry-After of an answer with status 429 or 503, else 0.
func pauseWanted(e *upstream.Error, now time.Time) time.Duration {
	if e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable {
		return retryAfter(e.Header, now)
	}
	return 0
}

func isTimeoutError(err error) bool {
	var e *upstream.Error
	return errors.As(err, &e) && e.Timeout
}
