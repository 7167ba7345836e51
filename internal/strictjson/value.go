package strictjson

import (
	"encoding/json"
	"iter"
	"strconv"
	"strings"
)

// Kind is the JSON type of a value.
type Kind byte

// The kinds of a value. None is the kind of the empty Value, which represents a
// missing member. It has no text, number or elements, so that a caller that does
// not check for it refuses the member and does not panic.
const (
	None   Kind = 0
	Null   Kind = 'n'
	Bool   Kind = 'b'
	Number Kind = '0'
	String Kind = '"'
	Array  Kind = '['
	Obj    Kind = '{'
)

// Kind returns the type of the value.
func (v Value) Kind() Kind {
	if len(v) == 0 {
		return None
	}
	switch c := v[0]; c {
	case 'n', '"', '[', '{':
		return Kind(c)
	case 't', 'f':
		return Bool
	}
	return Number
}

// Text decodes a string. It reports false for every other kind.
func (v Value) Text() (string, bool) {
	if v.Kind() != String {
		return "", false
	}
	inside := string(v[1 : len(v)-1])
	if strings.IndexByte(inside, '\\') < 0 {
		return inside, true
	}
	return unescape(inside), true
}

// Is reports whether the value is the string s.
func (v Value) Is(s string) bool {
	if v.Kind() != String {
		return false
	}
	inside := string(v[1 : len(v)-1])
	if strings.IndexByte(inside, '\\') < 0 {
		return inside == s
	}
	return unescape(inside) == s
}

// Texts decodes an array of strings. It reports false for every other kind
// and for an array that holds anything else.
func (v Value) Texts() ([]string, bool) {
	if v.Kind() != Array {
		return nil, false
	}
	list := []string{}
	for e := range v.Elements() {
		s, ok := e.Text()
		if !ok {
			return nil, false
		}
		list = append(list, s)
	}
	return list, true
}

// True reports whether the value is the boolean true.
func (v Value) True() bool { return len(v) > 0 && v[0] == 't' }

// Float decodes a number. It reports false for every other kind and for a
// number beyond the range of a float64.
func (v Value) Float() (float64, bool) {
	if v.Kind() != Number {
		return 0, false
	}
	if n, ok := v.short(); ok {
		return float64(n), true
	}
	f, err := strconv.ParseFloat(string(v), 64)
	return f, err == nil
}

// short reads a number that consists of few digits, as dates do, and that a float64
// can represent exactly.
func (v Value) short() (n int64, ok bool) {
	if len(v) > 15 {
		return 0, false
	}
	for i := range len(v) {
		c := v[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, true
}

// Elements iterates over the elements of an array; other kinds have none.
func (v Value) Elements() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		if v.Kind() != Array {
			return
		}
		s := scanner{data: string(v), pos: 1}
		for {
			s.space()
			if c := s.peek(); c == ']' {
				return
			} else if c == ',' {
				s.pos++
				continue
			}
			start := s.pos
			s.value(0)
			if !yield(Value(v[start:s.pos])) {
				return
			}
		}
	}
}

// Members iterates over the members of an object; other kinds have none.
func (v Value) Members() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		if v.Kind() != Obj {
			return
		}
		s := scanner{data: string(v), pos: 1}
		for {
			s.space()
			if c := s.peek(); c == '}' {
				return
			} else if c == ',' {
				s.pos++
				continue
			}
			start := s.pos
			s.str()
			name, _ := Value(v[start:s.pos]).Text()
			s.space()
			s.pos++ // the colon
			s.space()
			start = s.pos
			s.value(0)
			if !yield(name, Value(v[start:s.pos])) {
				return
			}
		}
	}
}

// Quote encodes a string.
func Quote(s string) string {
	text, _ := json.Marshal(s) // a string never fails
	return string(text)
}
