package dpop_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/dpop"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// An opener stands for the verifier that a binding serves.
type opener struct {
	verify.Opener
	now time.Time
}

func (o *opener) Algorithms() []string  { return verify.Algorithms() }
func (o *opener) Leeway() time.Duration { return 30 * time.Second }
func (o *opener) Now() time.Time        { return o.now }

const (
	token    = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU" // RFC 9449 section 7.1
	ath      = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"
	resource = "https://resource.example.org/protectedresource"
)

var (
	client   = verifytest.NewKey("ES256")
	stranger = verifytest.NewKey("ES256")
	start    = time.Unix(1_562_262_618, 0) // the "iat" of the RFC's proof
)

// newBinding makes a binding for the tests' origin.
func newBinding(t testing.TB, c dpop.Config) (*dpop.Binding, *opener) {
	t.Helper()
	if c.Origins == nil {
		c.Origins = []string{"https://resource.example.org"}
	}
	b, o := dpop.New(c), &opener{now: start}
	if err := b.Bind(o); err != nil {
		t.Fatal(err)
	}
	return b, o
}

func thumbprint(t testing.TB, k *verifytest.Key) string {
	t.Helper()
	s, err := dpop.Thumbprint(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func request(proofs ...string) *verify.Request {
	return &verify.Request{Token: token, Scheme: "DPoP", Proofs: proofs, Method: "GET", Host: "resource.example.org", Target: "/protectedresource?page=2"}
}

var counter atomic.Int64

// A change changes the header and the claims of a proof before it is signed.
type change func(header, claims members)

func header(name string, value any) change {
	return set(func(h, _ members) members { return h }, name, value)
}
func claim(name string, value any) change {
	return set(func(_, c members) members { return c }, name, value)
}

func set(which func(h, c members) members, name string, value any) change {
	return func(h, c members) {
		if m := which(h, c); value == nil {
			delete(m, name)
		} else {
			m[name] = value
		}
	}
}

// prove makes a proof that is good for request, but for the changes.
func prove(key *verifytest.Key, changes ...change) string {
	jwk := key.JWK()
	delete(jwk, "kid")
	h := members{"typ": "dpop+jwt", "alg": key.Algorithm, "jwk": jwk}
	c := members{"jti": fmt.Sprint("proof ", counter.Add(1)), "htm": "GET", "htu": resource, "iat": start.Unix(), "ath": ath}
	for _, change := range changes {
		change(h, c)
	}
	return key.Sign(text(h), text(c))
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// reason returns the reason and the part of an error.
func reason(err error) string {
	var e *verify.Error
	switch {
	case err == nil:
		return ""
	case !errors.As(err, &e):
		return "not an Error: " + err.Error()
	}
	return strings.TrimSpace(string(e.Reason) + " " + e.Part)
}

func TestProofVector(t *testing.T) {
	const proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
	b, _ := newBinding(t, dpop.Config{})
	for _, want := range []string{"", "replayed"} {
		if got := reason(b.Prove(context.Background(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I", request(proof))); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestProofs has the list of the OpenID Foundation's conformance suite for resource
// servers, and more.
func TestProofs(t *testing.T) {
	b, _ := newBinding(t, dpop.Config{})
	own := thumbprint(t, client)
	rsa, ed := verifytest.NewKey("PS256"), verifytest.NewKey("EdDSA")
	jwk := func(k *verifytest.Key, changes ...func(members)) members {
		m := maps.Clone(k.JWK())
		for _, c := range changes {
			c(m)
		}
		return m
	}
	bare := prove(client)
	parts := strings.Split(bare, ".")
	at := func(d time.Duration) int64 { return start.Add(d).Unix() }
	raw := func(claims string) string {
		return client.Sign(text(members{"typ": "dpop+jwt", "alg": "ES256", "jwk": client.JWK()}), claims)
	}
	damaged := []byte(prove(client))
	if i := len(damaged) - 10; damaged[i] == 'A' {
		damaged[i] = 'B'
	} else {
		damaged[i] = 'A'
	}
	unsigned := verifytest.Forge(text(members{"typ": "dpop+jwt", "alg": "none"}), text(members{"jti": "a", "htm": "GET", "htu": resource, "iat": start.Unix(), "ath": ath}), func([]byte) []byte { return nil })
	for name, c := range map[string]struct {
		proofs []string
		want   string
	}{
		"good":                      {[]string{bare}, ""},
		"no proof":                  {nil, "proof"},
		"two proofs":                {[]string{prove(client), prove(client)}, "proof"},
		"two in one field":          {[]string{prove(client) + ", " + prove(client)}, "proof form"},
		"empty":                     {[]string{""}, "proof form"},
		"two segments":              {[]string{parts[0] + "." + parts[1]}, "proof form"},
		"JSON":                      {[]string{"{}"}, "proof form"},
		"line end":                  {[]string{prove(client) + "\n"}, "proof form"},
		"padding":                   {[]string{prove(client) + "="}, "proof signature encoding"},
		"the token":                 {[]string{token}, "proof"},
		"too large":                 {[]string{prove(client, claim("x", strings.Repeat("x", 8<<10)))}, "proof size"},
		"no typ":                    {[]string{prove(client, header("typ", nil))}, "proof typ"},
		"typ of an access token":    {[]string{prove(client, header("typ", "at+jwt"))}, "proof typ"},
		"longer typ":                {[]string{prove(client, header("typ", "dpop+jwt2"))}, "proof typ"},
		"typ a number":              {[]string{prove(client, header("typ", 1))}, "proof typ"},
		"typ in capitals":           {[]string{prove(client, header("typ", "application/DPoP+JWT"))}, ""},
		"no alg":                    {[]string{prove(client, header("alg", nil))}, "proof alg"},
		"alg none":                  {[]string{prove(client, header("alg", "none"))}, "proof alg"},
		"alg none, no key":          {[]string{unsigned}, "proof form"},
		"HS256":                     {[]string{prove(client, header("alg", "HS256"))}, "proof alg"},
		"ES256K":                    {[]string{prove(client, header("alg", "ES256K"))}, "proof alg"},
		"alg of another key":        {[]string{prove(client, header("alg", "PS256"))}, "proof jwk"},
		"crit":                      {[]string{prove(client, header("crit", []string{"exp"}))}, "proof crit"},
		"no jwk":                    {[]string{prove(client, header("jwk", nil))}, "proof jwk"},
		"jwk null":                  {[]string{prove(client, header("jwk", json.RawMessage("null")))}, "proof jwk"},
		"jwk {}":                    {[]string{prove(client, header("jwk", members{}))}, "proof jwk"},
		"jwk symmetric":             {[]string{prove(client, header("jwk", members{"kty": "oct", "k": "AA"}))}, "proof jwk"},
		"jwk with private member":   {[]string{prove(client, header("jwk", jwk(client, func(m members) { m["d"] = "AA" })))}, "proof jwk"},
		"jwk for encryption":        {[]string{prove(client, header("jwk", jwk(client, func(m members) { m["use"] = "enc" })))}, "proof jwk"},
		"jwk with kid and x5c":      {[]string{prove(client, header("jwk", jwk(client, func(m members) { m["kid"], m["x5c"] = "a", []string{"b"} })))}, ""},
		"key of a stranger":         {[]string{prove(stranger)}, "bound"},
		"RSA key of a stranger":     {[]string{prove(rsa)}, "bound"},
		"Ed25519 key of a stranger": {[]string{prove(ed)}, "bound"},
		"signed by a stranger":      {[]string{prove(stranger, header("jwk", jwk(client)))}, "proof signature"},
		"damaged signature":         {[]string{string(damaged)}, "proof signature"},
		"short signature":           {[]string{parts[0] + "." + parts[1] + ".AAAA"}, "proof signature"},
		"no jti":                    {[]string{prove(client, claim("jti", nil))}, "proof jti"},
		"empty jti":                 {[]string{prove(client, claim("jti", ""))}, "proof jti"},
		"long jti":                  {[]string{prove(client, claim("jti", strings.Repeat("x", 257)))}, "proof jti"},
		"jti a number":              {[]string{prove(client, claim("jti", 1))}, "proof jti"},
		"no htm":                    {[]string{prove(client, claim("htm", nil))}, "proof htm"},
		"other htm":                 {[]string{prove(client, claim("htm", "PUT"))}, "proof htm"},
		"htm in lower case":         {[]string{prove(client, claim("htm", "get"))}, "proof htm"},
		"no htu":                    {[]string{prove(client, claim("htu", nil))}, "proof htu"},
		"htu a number":              {[]string{prove(client, claim("htu", 1))}, "proof htu"},
		"htu of another path":       {[]string{prove(client, claim("htu", resource+"/other"))}, "proof htu"},
		"htu of another host":       {[]string{prove(client, claim("htu", "https://evil.example/protectedresource"))}, "proof htu"},
		"htu over http":             {[]string{prove(client, claim("htu", strings.Replace(resource, "https", "http", 1)))}, "proof htu"},
		"htu with query, fragment":  {[]string{prove(client, claim("htu", resource+"?a=b#c"))}, ""},
		"htu in capitals":           {[]string{prove(client, claim("htu", "HTTPS://RESOURCE.example.org:443/%70rotectedresource"))}, ""},
		"no iat":                    {[]string{prove(client, claim("iat", nil))}, "proof iat"},
		"iat a string":              {[]string{prove(client, claim("iat", "1562262618"))}, "proof iat"},
		"iat in an hour":            {[]string{prove(client, claim("iat", at(time.Hour)))}, "proof iat"},
		"iat an hour ago":           {[]string{prove(client, claim("iat", at(-time.Hour)))}, "proof iat"},
		"iat 10 s ago":              {[]string{prove(client, claim("iat", at(-10*time.Second)))}, ""},
		"iat in 8 s":                {[]string{prove(client, claim("iat", at(8*time.Second)))}, ""},
		"iat in 61 s":               {[]string{prove(client, claim("iat", at(61*time.Second)))}, "proof iat"},
		"iat with a fraction":       {[]string{prove(client, claim("iat", json.RawMessage("1562262618.5")))}, ""},
		"iat beyond dates":          {[]string{prove(client, claim("iat", json.RawMessage("1e300")))}, "proof iat"},
		"nbf now, exp in 5 min":     {[]string{prove(client, claim("nbf", at(0)), claim("exp", at(5*time.Minute)))}, ""},
		"expired":                   {[]string{prove(client, claim("exp", at(-time.Minute)))}, "proof exp"},
		"exp a string":              {[]string{prove(client, claim("exp", "1"))}, "proof exp"},
		"nbf in a minute":           {[]string{prove(client, claim("nbf", at(time.Minute)))}, "proof nbf"},
		"no ath":                    {[]string{prove(client, claim("ath", nil))}, "proof ath"},
		"ath of another token":      {[]string{prove(client, claim("ath", own))}, "proof ath"},
		"ath a list":                {[]string{prove(client, claim("ath", []string{ath}))}, "proof ath"},
		"additional members":        {[]string{prove(client, header("x", members{}), claim("y", []int{1}))}, ""},
		"a nonce of somebody else":  {[]string{prove(client, claim("nonce", "a"))}, ""},
		"claims not an object":      {[]string{raw(`[]`)}, "proof claims"},
		"a member twice":            {[]string{raw(`{"jti":"a","htm":"PUT","htm":"GET","htu":"` + resource + `","iat":1562262618,"ath":"` + ath + `"}`)}, "proof claims"},
	} {
		got := reason(b.Prove(context.Background(), own, request(c.proofs...)))
		if name == "the token" { // which part is at fault does not matter
			got, _, _ = strings.Cut(got, " ")
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	for _, k := range []*verifytest.Key{rsa, ed, verifytest.NewKey("ES384"), verifytest.NewKey("ES512"), verifytest.NewKey("RS256")} {
		if got := reason(b.Prove(context.Background(), thumbprint(t, k), request(prove(k)))); got != "" {
			t.Errorf("%s: %q", k.Algorithm, got)
		}
	}
	fapi, _ := newBinding(t, dpop.Config{Algorithms: []string{"PS256", "ES256", "EdDSA"}})
	rs256 := verifytest.NewKey("RS256")
	if got := reason(fapi.Prove(context.Background(), thumbprint(t, rs256), request(prove(rs256)))); got != "proof alg" {
		t.Errorf("RS256 where it is not accepted: %q", got)
	}
	if got := fapi.Algorithms(); !slices.Equal(got, []string{"PS256", "ES256", "EdDSA"}) {
		t.Errorf("algorithms %q", got)
	}
}

// TestProofOnce: a proof is good for one use, in whatever form it comes again, and one
// that was refused has not been used.
func TestProofOnce(t *testing.T) {
	ctx := context.Background()
	b, o := newBinding(t, dpop.Config{})
	own := thumbprint(t, client)
	check := func(what, proof, want string) {
		t.Helper()
		if got := reason(b.Prove(ctx, own, request(proof))); got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	id := claim("jti", "once")
	check("by a stranger", prove(stranger, id), "bound")
	check("with a false signature", prove(stranger, id, header("jwk", client.JWK())), "proof signature")
	check("for another method", prove(client, id, claim("htm", "PUT")), "proof htm")
	proof := prove(client, id)
	check("the first time", proof, "")
	check("again", proof, "replayed")
	check("signed again", prove(client, id), "replayed")
	check("with another query", prove(client, id, claim("htu", resource+"?x")), "replayed")
	i := strings.LastIndex(proof, ".") + 1
	sig, _ := base64.RawURLEncoding.DecodeString(proof[i:])
	s := new(big.Int).Sub(elliptic.P256().Params().N, new(big.Int).SetBytes(sig[32:]))
	s.FillBytes(sig[32:])
	check("with the other signature", proof[:i]+b64(sig), "replayed")
	if !ecdsa.Verify(client.Public().(*ecdsa.PublicKey), digest(proof[:i-1]), new(big.Int).SetBytes(sig[:32]), s) {
		t.Error("the other signature is not one")
	}
	o.now = start.Add(90 * time.Second)
	check("at its last moment", proof, "replayed")
	o.now = start.Add(91 * time.Second)
	check("after it", proof, "proof iat")
	o.now = start
	if err := b.Prove(ctx, thumbprint(t, stranger), request(prove(stranger, id))); err != nil {
		t.Errorf("a jti is that of one key: %v", err)
	}

	proof = prove(client)
	var good atomic.Int64
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if b.Prove(ctx, own, request(proof)) == nil {
				good.Add(1)
			}
		})
	}
	wg.Wait()
	if good.Load() != 1 {
		t.Errorf("%d of 100 were accepted", good.Load())
	}
}

func digest(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

type failing struct{}

func (failing) First(context.Context, [32]byte, time.Time) (bool, error) {
	return true, errors.New("down")
}

func TestReplayStoreDown(t *testing.T) {
	b, _ := newBinding(t, dpop.Config{Replay: failing{}, Service: "orders"})
	if got := reason(b.Prove(context.Background(), thumbprint(t, client), request(prove(client)))); got != "unavailable binding" {
		t.Errorf("%q", got)
	}
	full, _ := newBinding(t, dpop.Config{Replay: &dpop.Memory{MaxEntries: 1, Now: func() time.Time { return start }}})
	for _, want := range []string{"", "unavailable binding"} {
		if got := reason(full.Prove(context.Background(), thumbprint(t, client), request(prove(client)))); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestProofNonce: a nonce says when a proof was made, and a newer one is handed out
// where there is one.
func TestProofNonce(t *testing.T) {
	first, second := []byte(strings.Repeat("a", 32)), []byte(strings.Repeat("b", 32))
	b, o := newBinding(t, dpop.Config{Service: "orders", NonceSecrets: [][]byte{first}})
	rotated, _ := newBinding(t, dpop.Config{Service: "orders", NonceSecrets: [][]byte{second, first}})
	other, _ := newBinding(t, dpop.Config{Service: "payments", NonceSecrets: [][]byte{first}})
	own := thumbprint(t, client)
	offered := func(r *verify.Request) (nonce string) {
		for name, value := range r.AnswerFields() {
			if name == "DPoP-Nonce" {
				nonce = value
			}
		}
		return nonce
	}
	try := func(b *dpop.Binding, changes ...change) (string, string) {
		r := request(prove(client, changes...))
		return reason(b.Prove(context.Background(), own, r)), offered(r)
	}
	got, nonce := try(b)
	if got != "nonce" || nonce == "" {
		t.Fatalf("no nonce: %q, %q", got, nonce)
	}
	for _, bad := range []any{"", 1, nonce + "A", nonce[1:], json.RawMessage("null")} {
		if got, again := try(b, claim("nonce", bad)); got != "nonce" || again != nonce {
			t.Errorf("%v: %q, %q", bad, got, again)
		}
	}
	if got, again := try(b, claim("nonce", nonce)); got != "" || again != "" {
		t.Errorf("the newest: %q, %q", got, again)
	}
	if got, again := try(rotated, claim("nonce", nonce)); got != "" || again == "" || again == nonce {
		t.Errorf("of the secret that goes: %q, %q", got, again)
	}
	if got, _ := try(other, claim("nonce", nonce)); got != "nonce" {
		t.Errorf("of another service: %q", got)
	}
	for _, d := range []time.Duration{-time.Hour, time.Hour} {
		if got, _ := try(b, claim("nonce", nonce), claim("iat", start.Add(d).Unix())); got != "" {
			t.Errorf("iat %v off: %q", d, got)
		}
	}
	r := request(prove(stranger, claim("nonce", "")))
	if got := reason(b.Prove(context.Background(), own, r)); got != "bound" || offered(r) != "" {
		t.Errorf("a stranger: %q", got)
	}
	proof := prove(client, claim("nonce", nonce))
	used := func() string { return reason(b.Prove(context.Background(), own, request(proof))) }
	if got := used(); got != "" {
		t.Error(got)
	}
	made := start.Truncate(time.Minute)
	for _, c := range []struct {
		after time.Duration
		want  string
	}{{2 * time.Minute, "replayed"}, {3*time.Minute - time.Second, "replayed"}, {3 * time.Minute, "nonce"}} {
		o.now = made.Add(c.after)
		if got := used(); got != c.want {
			t.Errorf("after %v: %q, want %q", c.after, got, c.want)
		}
	}
	o.now = made.Add(time.Minute)
	if got, again := try(b, claim("nonce", nonce)); got != "" || again == "" || again == nonce {
		t.Errorf("an older one: %q, %q", got, again)
	}
}

func TestBindingFaults(t *testing.T) {
	good := dpop.Config{Origins: []string{"https://api.example.com"}}
	for name, c := range map[string]struct {
		edit func(*dpop.Config)
		want []string
	}{
		"none":         {func(*dpop.Config) {}, nil},
		"origins":      {func(c *dpop.Config) { c.Origins = nil }, []string{"Origins"}},
		"an origin":    {func(c *dpop.Config) { c.Origins = []string{"https://a", "http://b", "c"} }, []string{"Origins[1]", "Origins[2]"}},
		"http":         {func(c *dpop.Config) { c.Origins, c.InsecureHTTP = []string{"http://b"}, true }, nil},
		"algorithms":   {func(c *dpop.Config) { c.Algorithms = []string{"ES256", "none", "HS256"} }, []string{"Algorithms[1]", "Algorithms[2]"}},
		"age":          {func(c *dpop.Config) { c.MaxAge = time.Hour }, []string{"MaxAge"}},
		"negative age": {func(c *dpop.Config) { c.MaxAge = -1 }, []string{"MaxAge"}},
		"five minutes": {func(c *dpop.Config) { c.MaxAge = 5 * time.Minute }, nil},
		"leeway":       {func(c *dpop.Config) { c.Leeway = time.Hour }, []string{"Leeway"}},
		"no leeway":    {func(c *dpop.Config) { c.Leeway = verify.NoLeeway }, nil},
		"service":      {func(c *dpop.Config) { c.Replay = failing{} }, []string{"Service"}},
		"secrets":      {func(c *dpop.Config) { c.NonceSecrets = [][]byte{[]byte("short")} }, []string{"Service", "NonceSecrets[0]"}},
	} {
		config := good
		c.edit(&config)
		var got []string
		for _, f := range verify.Faults(dpop.New(config).Bind(&opener{now: start})) {
			got = append(got, f.Field)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	b := dpop.New(good)
	if got := reason(b.Prove(context.Background(), "", request())); got != "unavailable binding" || b.Algorithms() != nil {
		t.Errorf("before it serves a verifier: %q", got)
	}
	one, two := &opener{now: start}, &opener{now: start}
	for _, err := range []error{b.Bind(one), b.Bind(one)} {
		if err != nil {
			t.Error(err)
		}
	}
	if b.Bind(two) == nil {
		t.Error("it serves two verifiers")
	}
	b.Unbind()
	if b.Bind(two) == nil {
		t.Error("it still serves one")
	}
	b.Unbind()
	if err := b.Bind(two); err != nil {
		t.Error(err)
	}
}

// FuzzProof: a proof is accepted only if the client has signed its first two segments.
func FuzzProof(f *testing.F) {
	good := []string{prove(client), prove(client, claim("nonce", "a"), header("x", "y"))}
	for _, s := range append(good, prove(stranger), prove(verifytest.NewKey("PS256")), prove(client, claim("htm", "PUT")), "", "a.b.c", token) {
		f.Add(s)
	}
	own := thumbprint(f, client)
	f.Fuzz(func(t *testing.T, proof string) {
		b, _ := newBinding(t, dpop.Config{})
		err := b.Prove(context.Background(), own, request(proof))
		isSigned := slices.ContainsFunc(good, func(g string) bool { return strings.HasPrefix(proof, g[:strings.LastIndex(g, ".")+1]) })
		var e *verify.Error
		switch {
		case err == nil && !isSigned:
			t.Fatalf("%q was accepted", proof)
		case err != nil && (!errors.As(err, &e) || e.Reason != verify.ErrProof && e.Reason != verify.ErrBound):
			t.Fatalf("%q: %v", proof, err)
		}
	})
}
