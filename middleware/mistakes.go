package middleware

import (
	"net/http"
	"strings"
)

// Clients make the same few mistakes with tokens everywhere. The functions in this
// file name them, in fixed sentences: a description and a log line never repeat
// what was sent.

// noneOfAnyKind is noCredentials where other credentials than tokens are taken.
var noneOfAnyKind = noCredentials.saying("credentials are required")

// missing is the failure of a request without credentials; r is nil outside of
// HTTP.
func (a *Auth) missing(r *http.Request) *failure {
	f := noCredentials
	if len(a.config.Authenticators) > 0 {
		f = noneOfAnyKind
	}
	if r == nil {
		return f
	}
	for _, s := range a.config.Credentials {
		if s.hint == nil {
			continue
		}
		if mistake := s.hint(r, a.accepted); mistake != "" {
			return f.saying(f.description + ", and " + mistake)
		}
	}
	return f
}

// authorizationMistake says why there are no credentials of the given schemes in
// an Authorization header that has a value, or returns "".
func authorizationMistake(r *http.Request, schemes []string) string {
	v := r.Header.Get("Authorization")
	scheme, _, spaced := strings.Cut(v, " ")
	switch {
	case v == "":
		return ""
	case isQuote(v[0]):
		return "the Authorization header begins with a quote"
	case spaced:
		return "the Authorization header has another scheme"
	}
	for _, s := range schemes {
		if startsWith(v, s) {
			return "no space follows " + s + " in the Authorization header"
		}
	}
	if len(scheme) > 20 || strings.ContainsAny(scheme, "._=~+/") {
		return "the Authorization header has no scheme before its value"
	}
	return "the Authorization header has another scheme"
}

// schemeBearer is the scheme of RFC 6750.
const schemeBearer = "Bearer"

// schemeMistake says what is wrong with what follows the scheme's name, which is
// not a space and a token.
func schemeMistake(scheme, rest string) error {
	what := "no space follows "
	switch {
	case strings.Trim(rest, " ") == "":
		what = "no token follows "
	case rest[0] == ':':
		what = "a colon follows "
	case rest[0] == '\t':
		what = "a tab follows "
	}
	return malformed(what + scheme + " in the Authorization header")
}

// tokenMistake says what is wrong with the characters of a token that is not a
// b64token (RFC 6750 section 2.1).
func tokenMistake(token string) string {
	word, _, spaced := strings.Cut(token, " ")
	first, last := token[0], token[len(token)-1]
	switch {
	case first == ' ' || first == '\t':
		return "more than one space before the token"
	case spaced && isPlaceholder(word):
		return "a scheme stands before the token, where only the token belongs"
	case isQuote(first) || isQuote(last):
		return "the token is in quotes"
	case strings.ContainsAny(token, "<>{}[]$"):
		return "the token is in brackets, or a placeholder stands in its place"
	case strings.Contains(token, ","):
		return "more than one token, or a comma in it"
	case strings.ContainsAny(token, "\r\n"):
		return "a line break in the token"
	case last == ' ' || last == '\t':
		return "white space behind the token"
	case strings.ContainsAny(token, " \t"):
		return "white space in the token"
	case strings.Contains(token, "%"):
		return "percent escapes in the token"
	case strings.ContainsFunc(token, func(c rune) bool { return c > '~' }):
		return "characters in the token that are not ASCII"
	}
	return "a character that no token has"
}

// jwtMistake names what was sent in place of a JWT, or returns "": it may be a
// token of another kind.
func jwtMistake(token string) string {
	name, _, found := strings.Cut(token, "=")
	switch {
	case isPlaceholder(token):
		return "a placeholder stands where the token belongs"
	case found && strings.HasSuffix(strings.ToLower(name), "token"):
		return "the name of a parameter stands before the token"
	}
	return ""
}

// isPlaceholder reports whether a word is one that programs write if they have no
// token, or if they write the scheme twice.
func isPlaceholder(word string) bool {
	switch strings.ToLower(word) {
	case "bearer", "token", "jwt", "dpop", "basic", "null", "undefined", "nil", "none":
		return true
	}
	return false
}

func isQuote(c byte) bool { return c == '"' || c == '\'' || c == '`' }
