package strictjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/bearerkit/bearerkit/internal/strictjson"
)

// member is one member of an object, its value decoded: a nil, bool, string,
// json.Number, []any or []member. Objects keep their members in order, which
// a map would lose.
type member struct {
	name  string
	value any
}

// reference reads one strict JSON object the slow and obvious way: every rule
// is a step of its own on top of encoding/json, which is used for nothing but
// the grammar of RFC 8259.
func reference(data []byte) ([]member, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("not UTF-8")
	}
	if !json.Valid(data) {
		return nil, errors.New("not JSON")
	}
	if loneSurrogate(string(data)) {
		return nil, errors.New("lone surrogate")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := referenceValue(d, 0)
	if err != nil {
		return nil, err
	}
	m, ok := v.([]member)
	if !ok {
		return nil, errors.New("not an object")
	}
	return m, nil
}

func referenceValue(d *json.Decoder, depth int) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return t, nil
	}
	if depth++; depth > strictjson.MaxDepth {
		return nil, errors.New("too deep")
	}
	list, object := []any{}, []member{}
	seen := map[string]bool{}
	for d.More() {
		if delim == '[' {
			v, err := referenceValue(d, depth)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
			continue
		}
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		name := t.(string)
		if seen[name] {
			return nil, errors.New("duplicate member")
		}
		seen[name] = true
		v, err := referenceValue(d, depth)
		if err != nil {
			return nil, err
		}
		object = append(object, member{name, v})
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if delim == '[' {
		return list, nil
	}
	return object, nil
}

// loneSurrogate looks for half a pair among the escapes of a valid JSON text,
// where a backslash can only be in a string and always starts an escape.
func loneSurrogate(s string) bool {
	unit := func(i int) (uint64, bool) {
		if i+6 > len(s) || s[i] != '\\' || s[i+1] != 'u' {
			return 0, false
		}
		u, err := strconv.ParseUint(s[i+2:i+6], 16, 32)
		return u, err == nil
	}
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			continue
		}
		u, ok := unit(i)
		switch {
		case !ok:
			i++
		case u >= 0xd800 && u <= 0xdbff:
			low, ok := unit(i + 6)
			if !ok || low < 0xdc00 || low > 0xdfff {
				return true
			}
			i += 11
		case u >= 0xdc00 && u <= 0xdfff:
			return true
		default:
			i += 5
		}
	}
	return false
}

// decode reads a Value by its accessors alone, into what reference makes.
func decode(v strictjson.Value) any {
	switch v.Kind() {
	case strictjson.Null:
		return nil
	case strictjson.Bool:
		return v.True()
	case strictjson.Number:
		return json.Number(v)
	case strictjson.String:
		s, ok := v.Text()
		if !ok {
			panic("a string without text")
		}
		return s
	case strictjson.Array:
		list := []any{}
		for e := range v.Elements() {
			list = append(list, decode(e))
		}
		return list
	case strictjson.Obj:
		list := []member{}
		for name, e := range v.Members() {
			list = append(list, member{name, decode(e)})
		}
		return list
	}
	panic(fmt.Sprintf("kind %q", v.Kind()))
}
