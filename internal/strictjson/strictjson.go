package strictjson

import (
	"errors"
	"slices"
	"unicode/utf8"
)

// MaxDepth is how deeply arrays and objects may nest, the outermost object
// included. Claims nest three or four deep in practice.
const MaxDepth = 32

// ErrInvalid is the only error of [Object]. It gives no details, so that no part of
// the text gets into a log.
var ErrInvalid = errors.New("not one strict JSON object")

// A Value is the text of one JSON value that [Object] has checked.
type Value string

// Object checks that data is exactly one strict JSON object, and calls member for each
// member of the outermost object, in order. It does so while it checks, so what
// member learns is valid only if Object returns nil. The value is a slice of data,
// and so is the name unless it has escapes; nothing is allocated for them.
func Object(data string, member func(name string, value Value)) error {
	s := scanner{data: data}
	s.space()
	if s.peek() != '{' || !s.object(1, member) {
		return ErrInvalid
	}
	s.space()
	if s.pos != len(data) {
		return ErrInvalid
	}
	return nil
}

type scanner struct {
	data string
	pos  int
}

// peek returns the next byte, or 0 at the end: no JSON syntax uses NUL.
func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// value skips one value and reports whether it was valid.
func (s *scanner) value(depth int) bool {
	switch c := s.peek(); {
	case c == '"':
		_, ok := s.str()
		return ok
	case c == '{':
		return s.object(depth+1, nil)
	case c == '[':
		return s.array(depth + 1)
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	}
	return false
}

func (s *scanner) literal(word string) bool {
	if len(s.data)-s.pos < len(word) || s.data[s.pos:s.pos+len(word)] != word {
		return false
	}
	s.pos += len(word)
	return true
}

func (s *scanner) object(depth int, member func(string, Value)) bool {
	if depth > MaxDepth {
		return false
	}
	var seen names
	s.pos++ // the brace
	s.space()
	if s.peek() == '}' {
		s.pos++
		return true
	}
	for {
		s.space()
		if s.peek() != '"' {
			return false
		}
		start := s.pos
		escaped, ok := s.str()
		if !ok {
			return false
		}
		name := s.data[start+1 : s.pos-1]
		if escaped {
			name = unescape(name)
		}
		if !seen.add(name) {
			return false
		}
		s.space()
		if s.peek() != ':' {
			return false
		}
		s.pos++
		s.space()
		start = s.pos
		if !s.value(depth) {
			return false
		}
		if member != nil {
			member(name, Value(s.data[start:s.pos]))
		}
		s.space()
		switch s.peek() {
		case ',':
			s.pos++
		case '}':
			s.pos++
			return true
		default:
			return false
		}
	}
}

func (s *scanner) array(depth int) bool {
	if depth > MaxDepth {
		return false
	}
	s.pos++ // the bracket
	s.space()
	if s.peek() == ']' {
		s.pos++
		return true
	}
	for {
		s.space()
		if !s.value(depth) {
			return false
		}
		s.space()
		switch s.peek() {
		case ',':
			s.pos++
		case ']':
			s.pos++
			return true
		default:
			return false
		}
	}
}

// number skips a number (RFC 8259 section 6): no leading zeros, no plus sign, digits
// on both sides of the point.
func (s *scanner) number() bool {
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' {
		s.pos++
	} else if !s.digits() {
		return false
	}
	if s.peek() == '.' {
		s.pos++
		if !s.digits() {
			return false
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		return s.digits()
	}
	return true
}

func (s *scanner) digits() bool {
	start := s.pos
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		s.pos++
	}
	return s.pos > start
}

// plain marks the bytes that represent themselves in a string: printable ASCII except
// the quote and the backslash.
var plain = func() (t [256]bool) {
	for c := 0x20; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// allPlain reports whether eight bytes are all plain, testing them at once. In the
// tested word a byte has its high bit set if it is not ASCII, is below a space, or
// is the quote or the backslash. A borrow from the byte below may set a bit too
// many, never one too few.
func allPlain(d string) bool {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	x := uint64(d[0]) | uint64(d[1])<<8 | uint64(d[2])<<16 | uint64(d[3])<<24 |
		uint64(d[4])<<32 | uint64(d[5])<<40 | uint64(d[6])<<48 | uint64(d[7])<<56
	quote, backslash := x^'"'*ones, x^'\\'*ones
	return (x|(x-' '*ones)|(quote-ones)|(backslash-ones))&high == 0
}

// str skips a string and reports whether it has escapes.
func (s *scanner) str() (escaped, ok bool) {
	d, i := s.data, s.pos+1
	for {
		for i+8 <= len(d) && allPlain(d[i:i+8]) {
			i += 8
		}
		for i < len(d) && plain[d[i]] {
			i++
		}
		if i >= len(d) {
			return escaped, false
		}
		switch c := d[i]; {
		case c == '"':
			s.pos = i + 1
			return escaped, true
		case c == '\\':
			escaped = true
			n := escape(d[i:])
			if n == 0 {
				return escaped, false
			}
			i += n
		case c < 0x20:
			return escaped, false
		default:
			r, n := utf8.DecodeRuneInString(d[i:])
			if r == utf8.RuneError && n == 1 {
				return escaped, false
			}
			i += n
		}
	}
}

// escape returns the length of the escape sequence that d starts with, or 0 if it is
// not valid. A surrogate pair is one sequence; a lone surrogate is not valid.
func escape(d string) int {
	if len(d) < 2 {
		return 0
	}
	switch d[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
	default:
		return 0
	}
	u, ok := hex4(d[2:])
	switch {
	case !ok || u >= 0xdc00 && u < 0xe000:
		return 0
	case u < 0xd800 || u >= 0xe000:
		return 6
	}
	if len(d) < 12 || d[6] != '\\' || d[7] != 'u' {
		return 0
	}
	if low, ok := hex4(d[8:]); !ok || low < 0xdc00 || low >= 0xe000 {
		return 0
	}
	return 12
}

func hex4(d string) (u rune, ok bool) {
	if len(d) < 4 {
		return 0, false
	}
	for i := range 4 {
		c := d[i]
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		u = u<<4 | rune(c)
	}
	return u, true
}

// unescape decodes the content of a string that str has accepted.
func unescape(d string) string {
	out := make([]byte, 0, len(d))
	for i := 0; i < len(d); {
		if d[i] != '\\' {
			out = append(out, d[i])
			i++
			continue
		}
		n := escape(d[i:])
		switch c := d[i+1]; c {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, _ := hex4(d[i+2:])
			if n == 12 {
				low, _ := hex4(d[i+8:])
				r = (r-0xd800)<<10 | (low - 0xdc00) + 0x10000
			}
			out = utf8.AppendRune(out, r)
		default: // a quote, a backslash or a slash
			out = append(out, c)
		}
		i += n
	}
	return string(out)
}

// names holds the member names of one object. The first few are compared one by one,
// without an allocation; after that a map keeps the cost of an object with
// thousands of members linear.
type names struct {
	few  [16]string
	n    int
	hash uint64 // one bit per name: most new names need no comparison
	many map[string]struct{}
}

// add reports whether name is new.
func (s *names) add(name string) bool {
	if s.many == nil && s.n < len(s.few) {
		bit := uint64(1)
		if n := len(name); n > 0 {
			bit <<= (uint(name[0])*7 + uint(name[n/2])*3 + uint(name[n-1]) + uint(n)*5) % 64
		}
		if s.hash&bit != 0 && slices.Contains(s.few[:s.n], name) {
			return false
		}
		s.hash |= bit
		s.few[s.n] = name
		s.n++
		return true
	}
	if s.many == nil {
		s.many = make(map[string]struct{}, 4*len(s.few))
		for _, old := range s.few {
			s.many[old] = struct{}{}
		}
	}
	if _, old := s.many[name]; old {
		return false
	}
	s.many[name] = struct{}{}
	return true
}
