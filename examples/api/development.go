package main

import (
	"fmt"
	"time"

	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// startDevelopmentIssuer starts the embedded issuer and points the settings at
// it, so that the API can be tried without an authorization server. It is for
// development only: anyone who reads the program's output has a token.
func startDevelopmentIssuer(s *settings) *verifytest.Server {
	issuer := verifytest.NewServer()
	s.issuers = []string{issuer.Issuer()}
	if s.clientID != "" {
		issuer.AddClient(s.clientID, s.clientSecret)
	}
	if s.audience == nil && !s.anyAudience {
		s.audience = []string{issuer.Audience()}
	}
	return issuer
}

// printHowToTry prints where issuer and API are, two tokens, and curl lines.
func printHowToTry(issuer *verifytest.Server, s settings, addr string) {
	claims := func(c verifytest.Claims) verifytest.Claims {
		c["exp"] = time.Now().Add(8 * time.Hour).Unix()
		if c[s.subjectClaim] = "user_1"; len(s.users) > 0 {
			c[s.subjectClaim] = s.users[0]
		}
		if len(s.audience) > 0 {
			c["aud"] = s.audience[0]
		}
		if s.audienceClaim != "" {
			c[s.audienceClaim] = s.audience[0]
		}
		return c
	}
	var options []verifytest.TokenOption
	if len(s.algorithms) > 0 {
		options = append(options, verifytest.WithAlgorithm(s.algorithms[0]))
	}
	all := issuer.Token(claims(verifytest.Claims{"scope": "orders:read orders:write", "auth_time": time.Now().Unix()}), options...)
	noScopes := issuer.Token(claims(verifytest.Claims{"scope": "openid"}), options...)
	fmt.Printf(`The development issuer is at %s
The API is at             http://%s  (framework: %s)

A token of a user who signed in just now, with the scopes orders:read and orders:write, good for 8 hours:

TOKEN=%s

Try it:

curl -i http://%[2]s/public
curl -i http://%[2]s/api/protected
curl -i http://%[2]s/api/protected -H "Authorization: Bearer $TOKEN"
curl -i http://%[2]s/api/orders -H "Authorization: Bearer $TOKEN"
curl -i -X POST http://%[2]s/api/orders -H "Authorization: Bearer $TOKEN"
curl -i http://%[2]s/api/stepup -H "Authorization: Bearer $TOKEN"

And one without those scopes, which /api/orders refuses with 403:

curl -i http://%[2]s/api/orders -H "Authorization: Bearer %[5]s"

`, issuer.Issuer(), addr, s.framework, all, noScopes)
}
