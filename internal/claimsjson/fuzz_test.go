package claimsjson_test

import (
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/internal/claimsjson"
	"github.com/bearerkit/bearerkit/internal/strictjson"
)

// reference decodes as encoding/json does, and makes int64 of the whole numbers
// that fit. It reports false if a number fits nothing.
func reference(v any) (any, bool) {
	switch v := v.(type) {
	case json.Number:
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return n, true
		}
		f, err := v.Float64()
		return f, err == nil && !math.IsInf(f, 0)
	case []any:
		for i := range v {
			made, ok := reference(v[i])
			if !ok {
				return nil, false
			}
			v[i] = made
		}
	case map[string]any:
		for name := range v {
			made, ok := reference(v[name])
			if !ok {
				return nil, false
			}
			v[name] = made
		}
	}
	return v, true
}

// FuzzDecode: every strict object becomes what encoding/json makes of it, and a
// copy of that is equal and apart.
func FuzzDecode(f *testing.F) {
	for _, text := range []string{
		`{}`, ` {"a" : [1, -0, 1.5, 1e3, 9223372036854775807, 9223372036854775808, 1e400]}`, `{"a":{"b":{"c":[[],{},null,true,"\ud83d\ude00\n"]}}}`,
		`{"\u0061":"\\\"","b":[{"a":1},{"a":1}]}`, `{"a":"` + strings.Repeat("x", 300) + `"}`, `{"":0}`, `{"a":[` + strings.Repeat("{},", 50) + `1]}`,
		`{"a":` + strings.Repeat("[", 31) + strings.Repeat("]", 31) + `}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strictjson.Object(text, func(string, strictjson.Value) {}) != nil {
			return
		}
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		var want any
		if err := d.Decode(&want); err != nil {
			t.Fatalf("strict, and %v: %q", err, text)
		}
		want, fits := reference(want)
		var got any
		err := claimsjson.Decode(text, &got)
		if (err == nil) != fits {
			t.Fatalf("%v, want an error: %v, of %q", err, !fits, text)
		}
		if err != nil {
			return
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%#v, want %#v, of %q", got, want, text)
		}
		var object map[string]any
		if err := claimsjson.Decode(text, &object); err != nil || !reflect.DeepEqual(any(object), want) {
			t.Fatalf("%#v, %v, want %#v", object, err, want)
		}
		size := 0
		own := claimsjson.Copy(claimsjson.CopierOf(reflect.TypeFor[any]()), &got, &size)
		if !reflect.DeepEqual(own, want) || size <= 0 {
			t.Fatalf("copied: %#v, want %#v; %d bytes", own, want, size)
		}
		spoil(own)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("the copy shares something with %q", text)
		}
	})
}

// spoil changes everything that can be changed.
func spoil(v any) {
	switch v := v.(type) {
	case []any:
		for i := range v {
			spoil(v[i])
			v[i] = "spoiled"
		}
	case map[string]any:
		for _, e := range v {
			spoil(e)
		}
		clear(v)
		v["spoiled"] = true
	}
}
