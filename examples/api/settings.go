package main

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	bearer "github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/introspect"
	"github.com/bearerkit/bearerkit/verify/jwks"
)

// settings are the API's configuration, out of the environment.
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

	alternates    []string // other names of the one issuer
	audienceClaim string   // empty: aud alone
	anyAudience   bool
	subjectClaim  string
	noSubject     bool // tokens without a subject are accepted
	idTokenClaims bool // so are tokens with the marks of an ID token
	insecureHTTP  bool

	introspection    string // off, fallback or always
	introspectionURL string
	introspectionTTL time.Duration
	clientID         string
	clientSecret     string
	clientAuth       string // basic or post
}

// faults are the mistakes in the environment, a line each that begins with the
// name of the variable.
type faults []string

func (f *faults) add(name, format string, args ...any) {
	text := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?' // one fault is one line
	}, fmt.Sprintf(format, args...))
	if line := name + ": " + text; !slices.Contains(*f, line) {
		*f = append(*f, line)
	}
}

// about reports whether a variable has a fault.
func (f faults) about(name string) bool {
	return slices.ContainsFunc(f, func(line string) bool { return strings.HasPrefix(line, name+":") })
}

// readSettings reads the environment and returns its faults.
func readSettings(getenv func(string) string) (settings, faults) {
	var bad faults
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
			bad.add(name, "has an empty value in its list")
		}
		return items
	}
	choice := func(name string, values ...string) string { // the first is the default
		v := cmp.Or(getenv(name), values[0])
		if !slices.Contains(values, v) {
			bad.add(name, "%q is not one of %s", v, strings.Join(values, ", "))
		}
		return v
	}
	on := func(name string) bool { return choice(name, "off", "on") == "on" }
	duration := func(name string) time.Duration {
		v := getenv(name)
		if v == "" {
			return 0
		}
		d, err := time.ParseDuration(v)
		switch {
		case err != nil:
			bad.add(name, "%q is not a duration such as 30s", v)
		case d < 0:
			bad.add(name, "%v is negative", d)
		}
		return d
	}
	s := settings{
		addr:       cmp.Or(getenv("ADDR"), "127.0.0.1:8080"),
		framework:  choice("FRAMEWORK", "nethttp", "chi", "gin", "echo"),
		issuers:    list("ISSUER"),
		audience:   list("AUDIENCE"),
		jwksURL:    getenv("JWKS_URL"),
		snapshot:   getenv("JWKS_SNAPSHOT"),
		algorithms: list("ALGORITHMS"),
		leeway:     duration("LEEWAY"),
		rfc9068:    choice("TOKEN_TYPE", "any", "at+jwt") == "at+jwt",
		resource:   getenv("RESOURCE"),
		users:      list("USERS"),

		alternates:    list("ALTERNATES"),
		audienceClaim: getenv("AUDIENCE_CLAIM"),
		anyAudience:   on("INSECURE_NO_AUDIENCE"),
		subjectClaim:  cmp.Or(getenv("SUBJECT_CLAIM"), "sub"),
		noSubject:     on("ALLOW_NO_SUBJECT"),
		idTokenClaims: on("ALLOW_ID_TOKEN_CLAIMS"),
		insecureHTTP:  on("INSECURE_HTTP"),

		introspection:    choice("INTROSPECTION", "off", "fallback", "always"),
		introspectionURL: getenv("INTROSPECTION_URL"),
		introspectionTTL: duration("INTROSPECTION_TTL"),
		clientID:         getenv("CLIENT_ID"),
		clientSecret:     getenv("CLIENT_SECRET"),
		clientAuth:       choice("CLIENT_AUTH", "basic", "post"),
	}
	if getenv("LEEWAY") != "" && s.leeway == 0 {
		s.leeway = verify.NoLeeway
	}
	if getenv("INTROSPECTION_TTL") != "" && s.introspectionTTL == 0 {
		s.introspectionTTL = introspect.NoTTL
	}
	s.development = s.issuers == nil
	if len(s.issuers) != 1 {
		for _, name := range []string{"JWKS_URL", "JWKS_SNAPSHOT"} {
			if getenv(name) != "" {
				bad.add(name, "needs ISSUER to be a single one")
			}
		}
	}
	if len(s.issuers) > 1 {
		for _, v := range []struct {
			name string
			set  bool
		}{
			{"ALTERNATES", s.alternates != nil}, {"AUDIENCE_CLAIM", s.audienceClaim != ""}, {"INSECURE_NO_AUDIENCE", s.anyAudience},
			{"SUBJECT_CLAIM", s.subjectClaim != "sub"}, {"ALLOW_NO_SUBJECT", s.noSubject}, {"ALLOW_ID_TOKEN_CLAIMS", s.idTokenClaims},
		} {
			if v.set {
				bad.add(v.name, "needs ISSUER to be a single one")
			}
		}
	}
	if s.anyAudience && (s.audience != nil || s.audienceClaim != "") {
		bad.add("INSECURE_NO_AUDIENCE", "takes every audience: AUDIENCE and AUDIENCE_CLAIM must be unset")
	}
	readLater(getenv, &bad, choice)
	s.validate(&bad)
	return s, bad
}

// readLater refuses the variables of features that do not exist yet.
func readLater(getenv func(string) string, bad *faults, choice func(string, ...string) string) {
	const notYet = "is not supported yet; leave it unset"
	if v := choice("DPOP", "off", "optional", "required"); v == "optional" || v == "required" {
		bad.add("DPOP", notYet)
	}
	if v := getenv("REDIS_URL"); v != "" && v != "off" {
		if u, err := url.Parse(v); err != nil || u.Scheme != "redis" && u.Scheme != "rediss" && u.Scheme != "unix" {
			bad.add("REDIS_URL", "is not a redis URL")
		} else {
			bad.add("REDIS_URL", notYet)
		}
	}
}

// validate adds the faults that the kit finds, under the names of the variables
// that its fields come from.
func (s settings) validate(bad *faults) {
	v := s
	if v.development {
		v.issuers = []string{"http://127.0.0.1"} // it has no address yet
		if v.audience == nil && !v.anyAudience {
			v.audience = []string{"embedded"}
		}
	}
	if v.anyAudience {
		v.audience, v.audienceClaim = nil, "" // reported already
	}
	if v.introspection == "off" && (v.introspectionURL != "" || v.introspectionTTL != 0) {
		// Settings that are not in use are checked all the same.
		v.introspection, v.clientID, v.clientSecret = "fallback", "unused", "unused"
	}
	var found faults
	for _, f := range append(verify.Faults(v.verifier().Validate()), verify.Faults(v.middleware().Validate())...) {
		if name := s.variable(f.Field); !bad.about(name) {
			found.add(name, "%s", strings.ReplaceAll(f.Problem, "InsecureHTTP", "INSECURE_HTTP=on"))
		}
	}
	*bad = append(*bad, found...)
}

// variable returns the name of the variable that a field comes from.
func (s settings) variable(field string) string {
	_, name, ofIssuer := strings.Cut(field, ".")
	if !ofIssuer {
		name = field
	}
	switch {
	case strings.HasPrefix(field, "Metadata."):
		return "RESOURCE"
	case name == "Audience":
		return "AUDIENCE"
	case name == "Algorithms":
		return "ALGORITHMS"
	case name == "Leeway":
		return "LEEWAY"
	case name == "AudienceClaim":
		return "AUDIENCE_CLAIM"
	case name == "SubjectClaim":
		return "SUBJECT_CLAIM"
	case strings.HasPrefix(name, "Alternates"):
		return "ALTERNATES"
	case name == "Keys.Snapshot":
		return "JWKS_SNAPSHOT"
	case name == "Introspection.TTL":
		return "INTROSPECTION_TTL"
	case name == "Introspection.URL" && s.introspectionURL != "":
		return "INTROSPECTION_URL"
	case name == "Introspection.Auth" && s.clientID == "":
		return "CLIENT_ID"
	case name == "Introspection.Auth":
		return "CLIENT_SECRET"
	case strings.HasPrefix(name, "Keys.") && s.jwksURL != "":
		return "JWKS_URL"
	}
	return "ISSUER"
}

// verifier returns the verifier's configuration.
func (s settings) verifier() verify.Config {
	c := verify.Config{Algorithms: s.algorithms, Leeway: s.leeway, RFC9068: s.rfc9068}
	for i, issuer := range s.issuers {
		keys := jwks.New(jwks.Config{URL: s.jwksURL, Snapshot: s.snapshot, InsecureHTTP: s.insecureHTTP})
		c.Issuers = append(c.Issuers, verify.Issuer{
			Issuer: issuer, Alternates: s.alternates, Keys: keys,
			Audience: s.audience, AudienceClaim: s.audienceClaim, InsecureNoAudience: s.anyAudience,
			SubjectClaim: s.subjectClaim, AllowNoSubject: s.noSubject,
			// Dex and authentik need both: the audience of their access tokens
			// is the client, as it is in ID tokens.
			AllowIDTokenClaims: s.idTokenClaims, AllowClientAudience: s.idTokenClaims,
			Introspection: s.introspected(i == 0),
		})
	}
	return c
}

// introspected returns how an issuer's tokens are introspected. Opaque tokens are
// shown to the first issuer.
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
			URL: s.introspectionURL, TTL: s.introspectionTTL, Auth: auth(s.clientID, s.clientSecret), InsecureHTTP: s.insecureHTTP,
		}),
		Always:             s.introspection == "always",
		TakesOpaque:        first,
		InsecureNoAudience: s.anyAudience,
	}
}

// A user is the application's user.
type user struct {
	ID string `json:"id,omitempty"`
}

// middleware returns the middleware's configuration.
func (s settings) middleware() bearer.Config {
	c := bearer.Config{User: bearer.Resolve(func(_ context.Context, t *verify.Token) (user, error) {
		if len(s.users) > 0 && !slices.Contains(s.users, t.Subject) {
			return user{}, bearer.ErrNoUser
		}
		return user{ID: t.Subject}, nil
	})}
	if s.resource != "" {
		c.Metadata = &bearer.ResourceMetadata{Resource: s.resource, ScopesSupported: []string{"orders:read", "orders:write"}}
	}
	return c
}
