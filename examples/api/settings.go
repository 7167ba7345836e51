package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/introspect"
	"github.com/bearerkit/bearerkit/verify/jwks"
)

// settings are what the environment says.
type settings struct {
	addr        string
	framework   string
	development bool // no ISSUER: the embedded one
	issuers     []string
	audience    []string
	jwksURL     string
	snapshot    string // file for the last good keys
	algorithms  []string
	leeway      time.Duration
	rfc9068     bool
	resource    string
	users       []string // empty: every subject

	introspection    string // off, fallback or always
	introspectionURL string
	introspectionTTL time.Duration
	clientID         string
	clientSecret     string
	clientAuth       string // basic or post
}

// readSettings reads the environment. It returns a line for every fault, which
// begins with the name of the variable.
func readSettings(getenv func(string) string) (settings, []string) {
	var lines []string
	fault := func(name, format string, args ...any) {
		lines = append(lines, name+": "+fmt.Sprintf(format, args...))
	}
	list := func(name string) []string {
		v := getenv(name)
		if v == "" {
			return nil
		}
		items := strings.Split(v, ",")
		for i := range items {
			items[i] = strings.TrimSpace(items[i])
		}
		if slices.Contains(items, "") {
			fault(name, "has an empty value in its list")
		}
		return items
	}
	choice := func(name, fallback string, values ...string) string {
		v := getenv(name)
		if v == "" {
			v = fallback
		}
		if !slices.Contains(values, v) {
			fault(name, "%q is none of %s", v, strings.Join(values, ", "))
		}
		return v
	}
	duration := func(name string) time.Duration {
		v := getenv(name)
		if v == "" {
			return 0
		}
		d, err := time.ParseDuration(v)
		switch {
		case err != nil && v == "0":
		case err != nil:
			fault(name, "%q is no duration such as 30s", v)
		case d < 0:
			fault(name, "%v is negative", d)
		}
		return d
	}
	s := settings{
		addr:       getenv("ADDR"),
		framework:  choice("FRAMEWORK", "nethttp", "nethttp", "chi", "gin", "echo"),
		issuers:    list("ISSUER"),
		audience:   list("AUDIENCE"),
		jwksURL:    getenv("JWKS_URL"),
		snapshot:   getenv("JWKS_SNAPSHOT"),
		algorithms: list("ALGORITHMS"),
		leeway:     duration("LEEWAY"),
		rfc9068:    choice("TOKEN_TYPE", "any", "any", "at+jwt") == "at+jwt",
		resource:   getenv("RESOURCE"),
		users:      list("USERS"),

		introspection:    choice("INTROSPECTION", "off", "off", "fallback", "always"),
		introspectionURL: getenv("INTROSPECTION_URL"),
		introspectionTTL: duration("INTROSPECTION_TTL"),
		clientID:         getenv("CLIENT_ID"),
		clientSecret:     getenv("CLIENT_SECRET"),
		clientAuth:       choice("CLIENT_AUTH", "basic", "basic", "post"),
	}
	if s.addr == "" {
		s.addr = "127.0.0.1:8080"
	}
	if getenv("LEEWAY") != "" && s.leeway == 0 {
		s.leeway = verify.NoLeeway
	}
	if getenv("INTROSPECTION_TTL") != "" && s.introspectionTTL == 0 {
		s.introspectionTTL = introspect.NoTTL
	}
	s.development = s.issuers == nil
	if s.jwksURL != "" && len(s.issuers) != 1 {
		fault("JWKS_URL", "needs ISSUER to be a single one")
	}
	if s.snapshot != "" && len(s.issuers) != 1 {
		fault("JWKS_SNAPSHOT", "needs ISSUER to be a single one")
	}
	readLater(getenv, fault, choice)

	// What is left is the kit's to judge. It names the fields of its
	// configuration; here they are variables.
	v := s
	if v.development {
		v.issuers = []string{"http://127.0.0.1"} // it has no address yet
		if v.audience == nil {
			v.audience = []string{"embedded"}
		}
	}
	if v.introspection == "off" && (v.introspectionURL != "" || v.introspectionTTL != 0) {
		// What is not used now is to be right all the same.
		v.introspection, v.clientID, v.clientSecret = "fallback", "unused", "unused"
	}
	for _, f := range append(verify.Faults(v.verifier().Validate()), verify.Faults(v.middleware().Validate())...) {
		name := ""
		switch field := f.Field[strings.IndexByte(f.Field, '.')+1:]; {
		case strings.HasPrefix(f.Field, "Metadata."):
			name = "RESOURCE"
		case field == "Audience":
			name = "AUDIENCE"
		case field == "Algorithms":
			name = "ALGORITHMS"
		case field == "Leeway":
			name = "LEEWAY"
		case strings.HasSuffix(f.Field, "Keys.Snapshot"):
			name = "JWKS_SNAPSHOT"
		case strings.HasSuffix(f.Field, "Introspection.TTL"):
			name = "INTROSPECTION_TTL"
		case strings.HasSuffix(f.Field, "Introspection.URL") && s.introspectionURL != "":
			name = "INTROSPECTION_URL"
		case strings.HasSuffix(f.Field, "Introspection.Auth") && s.clientID == "":
			name = "CLIENT_ID"
		case strings.HasSuffix(f.Field, "Introspection.Auth"):
			name = "CLIENT_SECRET"
		case strings.Contains(f.Field, "Keys") && s.jwksURL != "":
			name = "JWKS_URL"
		default:
			name = "ISSUER"
		}
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, name+":") }) {
			fault(name, "%s", f.Problem)
		}
	}
	return s, lines
}

// readLater refuses what is not there yet, besides what would be a fault even
// if it were.
func readLater(getenv func(string) string, fault func(string, string, ...any), choice func(string, string, ...string) string) {
	const notYet = "is not supported yet; leave it unset"
	if v := choice("DPOP", "off", "off", "optional", "required"); v == "optional" || v == "required" {
		fault("DPOP", notYet)
	}
	if v := getenv("REDIS_URL"); v != "" && v != "off" {
		if u, err := url.Parse(v); err != nil || u.Scheme != "redis" && u.Scheme != "rediss" && u.Scheme != "unix" {
			fault("REDIS_URL", "is no redis URL")
		} else {
			fault("REDIS_URL", notYet)
		}
	}
}

// verifier is the kit's configuration of the core.
func (s settings) verifier() verify.Config {
	c := verify.Config{Algorithms: s.algorithms, Leeway: s.leeway, RFC9068: s.rfc9068}
	for i, issuer := range s.issuers {
		keys := jwks.New(jwks.Config{URL: s.jwksURL, Snapshot: s.snapshot})
		c.Issuers = append(c.Issuers, verify.Issuer{
			Issuer: issuer, Audience: s.audience, Keys: keys,
			Introspection: s.introspected(i == 0),
		})
	}
	return c
}

// introspected is how an issuer is asked about tokens. Those that are no JWTs
// are the first issuer's.
func (s settings) introspected(first bool) *verify.Introspection {
	if s.introspection == "off" {
		return nil
	}
	auth := introspect.Basic
	if s.clientAuth == "post" {
		auth = introspect.Post
	}
	return &verify.Introspection{
		Introspector: introspect.New(introspect.Config{
			URL: s.introspectionURL, TTL: s.introspectionTTL, Auth: auth(s.clientID, s.clientSecret),
		}),
		Always: s.introspection == "always",
		Opaque: first,
	}
}

// user is the application's own idea of a user.
type user struct {
	ID string `json:"id"`
}

// middleware is the kit's configuration of the decision.
func (s settings) middleware() middleware.Config {
	c := middleware.Config{User: middleware.Resolve(func(_ context.Context, t *verify.Token) (user, error) {
		if len(s.users) > 0 && !slices.Contains(s.users, t.Subject) {
			return user{}, middleware.ErrNoUser
		}
		return user{ID: t.Subject}, nil
	})}
	if s.resource != "" {
		c.Metadata = &middleware.ResourceMetadata{Resource: s.resource, ScopesSupported: []string{"orders:read", "orders:write"}}
	}
	return c
}
