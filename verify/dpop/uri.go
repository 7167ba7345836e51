package dpop

import (
	"net/netip"
	"strings"
)

// The functions below bring the parts of a URL into the normal form of RFC 3986:
// case and percent-encoding (section 6.2.2), the scheme's own port and an empty
// path (section 6.2.3). They append to a buffer of the caller, so that
// comparing allocates nothing, and report false for what is not a URL that a
// client may send. What is reserved stays as it is: "%2F" is not "/".

// appendURL appends the normal form of an absolute http or https URL without its
// query and fragment.
func appendURL(dst []byte, s string) ([]byte, bool) {
	if i := strings.IndexAny(s, "?#"); i >= 0 {
		s = s[:i]
	}
	scheme, rest, ok := cutScheme(s)
	if !ok {
		return dst, false
	}
	authority, path := cutAuthority(rest)
	dst = append(dst, scheme...)
	if dst, ok = appendAuthority(dst, scheme, authority); !ok {
		return dst, false
	}
	start := len(dst)
	if dst, ok = appendPath(dst, path); !ok {
		return dst, false
	}
	return removeDotSegments(dst, start), true
}

// cutScheme cuts "http://" or "https://" in any case off s.
func cutScheme(s string) (scheme, rest string, ok bool) {
	for _, scheme := range []string{"https://", "http://"} {
		if len(s) >= len(scheme) && equalFold(s[:len(scheme)], scheme) {
			return scheme, s[len(scheme):], true
		}
	}
	return "", "", false
}

func cutAuthority(s string) (authority, path string) {
	if i := strings.IndexByte(s, '/'); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

// appendAuthority appends a host, in lower case and without the dot at the end of
// a fully qualified name, and the port unless it is the scheme's own. User
// information, a port that is not in its shortest form, and characters that are
// not ASCII are refused.
func appendAuthority(dst []byte, scheme, s string) ([]byte, bool) {
	host, port := s, ""
	if i := strings.LastIndexByte(s, ':'); i >= 0 && i > strings.LastIndexByte(s, ']') {
		host, port = s[:i], s[i+1:]
	}
	var ok bool
	if strings.HasPrefix(host, "[") {
		dst, ok = appendIPv6(dst, host)
	} else {
		dst, ok = appendName(dst, host)
	}
	if !ok || !isPort(port) {
		return dst, false
	}
	if port != "" && !(scheme == "https://" && port == "443") && !(scheme == "http://" && port == "80") {
		dst = append(append(dst, ':'), port...)
	}
	return dst, true
}

// appendIPv6 appends the one short form of an IPv6 address in brackets.
func appendIPv6(dst []byte, s string) ([]byte, bool) {
	if len(s) < 2 || s[len(s)-1] != ']' {
		return dst, false
	}
	ip, err := netip.ParseAddr(s[1 : len(s)-1])
	if err != nil || !ip.Is6() || ip.Zone() != "" {
		return dst, false
	}
	return append(ip.AppendTo(append(dst, '[')), ']'), true
}

// appendName appends a host that is a name or an IPv4 address.
func appendName(dst []byte, s string) ([]byte, bool) {
	start := len(dst)
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			if i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
				return dst, false
			}
			c = unhex(s[i+1])<<4 | unhex(s[i+2])
			i += 2
			if !isUnreserved(c) {
				return dst, false // no name has such a character
			}
		}
		if !isUnreserved(c) && strings.IndexByte("!$&'()*+,;=", c) < 0 {
			return dst, false
		}
		if c == '.' && (len(dst) == start || dst[len(dst)-1] == '.') {
			return dst, false // an empty label
		}
		dst = append(dst, lower(c))
	}
	if len(dst) > start && dst[len(dst)-1] == '.' {
		dst = dst[:len(dst)-1]
	}
	return dst, len(dst) > start
}

// isPort reports whether s is empty or a port in its shortest form.
func isPort(s string) bool {
	if len(s) > 5 || strings.HasPrefix(s, "0") {
		return false
	}
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
		n = 10*n + int(s[i]-'0')
	}
	return n < 1<<16
}

// appendPath appends a path with percent-encoded unreserved characters decoded
// and the others encoded in upper case; "/" if it is empty. Characters that a
// URL should have encoded but that clients send as they are, such as "|", stay.
func appendPath(dst []byte, s string) ([]byte, bool) {
	if s == "" {
		return append(dst, '/'), true
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '%':
			if i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
				return dst, false
			}
			if d := unhex(s[i+1])<<4 | unhex(s[i+2]); isUnreserved(d) {
				dst = append(dst, d)
			} else {
				dst = append(dst, '%', upper(s[i+1]), upper(s[i+2]))
			}
			i += 2
		case c <= ' ' || c >= 0x7f || c == '?' || c == '#':
			return dst, false
		default:
			dst = append(dst, c)
		}
	}
	return dst, true
}

// removeDotSegments removes "." and ".." from the path that begins at start (RFC
// 3986 section 5.2.4), in place. The path begins with a slash.
func removeDotSegments(b []byte, start int) []byte {
	path := b[start:]
	n := 0 // the length of what is kept
	for i := 0; i < len(path); {
		end := i + 1 // path[i] is a slash
		for end < len(path) && path[end] != '/' {
			end++
		}
		last := end == len(path)
		switch segment := path[i+1 : end]; {
		case string(segment) == ".":
		case string(segment) == "..":
			for n > 0 {
				n--
				if path[n] == '/' {
					break
				}
			}
		default:
			n += copy(path[n:], path[i:end])
			last = false
		}
		if last { // a dot segment at the end leaves its slash
			path[n] = '/'
			n++
		}
		i = end
	}
	return b[:start+n]
}

// hasDotSegment reports whether a path in normal form has a segment "." or "..".
func hasDotSegment(path string) bool {
	for i := 0; i < len(path); {
		j := strings.Index(path[i:], "/.")
		if j < 0 {
			return false
		}
		i += j + 2
		rest := strings.TrimPrefix(path[i:], ".")
		if rest == "" || rest[0] == '/' {
			return true
		}
	}
	return false
}

// isPlain reports whether a path is in normal form for sure: it has nothing that
// is percent-encoded, no segment that begins with a dot, and no character that a
// path must not have.
func isPlain(path string) bool {
	for i := range len(path) {
		switch c := path[i]; {
		case c <= ' ', c >= 0x7f, c == '%', c == '#':
			return false
		case c == '.' && path[i-1] == '/': // path[0] is a slash
			return false
		}
	}
	return path != "" && path[0] == '/'
}

// isLoopback reports whether an authority in normal form is this machine.
func isLoopback(authority string) bool {
	host := authority
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host = host[:i]
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.IsLoopback()
}

// equalFold compares with a lower-case text, folding ASCII letters alone.
func equalFold(s, lowercase string) bool {
	for i := range len(s) {
		if lower(s[i]) != lowercase[i] {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		c -= 'a' - 'A'
	}
	return c
}

// isUnreserved reports whether c stands for itself in a URL, encoded or not (RFC
// 3986 section 2.3).
func isUnreserved(c byte) bool {
	l := lower(c)
	return 'a' <= l && l <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= lower(c) && lower(c) <= 'f' }

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return lower(c) - 'a' + 10
}
