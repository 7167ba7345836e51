package verifytest

import (
	"context"
	"fmt"
	"sync"

	"github.com/bearerkit/bearerkit/verify"
)

// NewToken returns a verified token for the test of a handler: what
// [verify.Verifier.Verify] returns for an access token with these claims and the
// defaults of [Server.Token]. It needs no server and accepts any audience and
// issuer. The options change how the issuer's tokens are read, for example by
// [verify.Issuer.SubjectClaim]. NewToken panics if no verifier would accept the
// claims, because the token has expired, say, or its scope is a number.
//
//	ctx := middleware.NewContext(r.Context(), user, verifytest.NewToken(verifytest.Claims{"permissions": []string{"orders.delete"}}))
func NewToken(claims Claims, options ...func(*verify.Issuer)) *verify.Token {
	full := defaults("https://issuer.example.com", claims)
	name, _ := full["iss"].(string)
	key := ownKey()
	set, _ := verify.NewKeySet([]verify.Key{{ID: key.ID, Algorithm: key.Algorithm, Public: key.Public()}})
	issuer := verify.Issuer{Issuer: name, Keys: ownKeys{set}, InsecureNoAudience: true, AllowNoSubject: true}
	for _, set := range options {
		set(&issuer)
	}
	v, err := verify.New(verify.Config{Issuers: []verify.Issuer{issuer}, CacheSize: verify.NoCache})
	if err != nil {
		panic(fmt.Sprintf("verifytest: %v", err))
	}
	header := map[string]any{"alg": key.Algorithm, "typ": "at+jwt", "kid": key.ID}
	t, err := v.Verify(context.Background(), key.Sign(string(marshal(header)), string(marshal(full))))
	if err != nil {
		panic(fmt.Sprintf("verifytest: no verifier accepts these claims: %v", err))
	}
	return t
}

var ownKey = sync.OnceValue(func() *Key { return NewKey("EdDSA") })

// ownKeys is a source of one key set that never changes.
type ownKeys struct{ set *verify.KeySet }

func (k ownKeys) Bind(string) error               { return nil }
func (k ownKeys) KeySet() (*verify.KeySet, error) { return k.set, nil }
func (k ownKeys) Refresh(context.Context, verify.Demand) (*verify.KeySet, error) {
	return k.set, nil
}
