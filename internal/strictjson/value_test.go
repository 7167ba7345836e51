package strictjson_test

import (
	"math"
	"slices"
	"testing"

	"github.com/bearerkit/bearerkit/internal/strictjson"
)

// value makes a Value of a JSON text the only way there is.
func value(t *testing.T, text string) strictjson.Value {
	t.Helper()
	var v strictjson.Value
	if err := strictjson.Object(`{"v": `+text+` }`, func(_ string, m strictjson.Value) { v = m }); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if string(v) != text {
		t.Fatalf("%s came out as %s", text, v)
	}
	return v
}

// Each accessor answers for its own kind and says no to every other.
func TestKinds(t *testing.T) {
	for _, c := range []struct {
		text string
		kind strictjson.Kind
	}{
		{`null`, strictjson.Null}, {`true`, strictjson.Bool}, {`false`, strictjson.Bool}, {`0`, strictjson.Number},
		{`-1`, strictjson.Number}, {`1e3`, strictjson.Number}, {`""`, strictjson.String}, {`"a"`, strictjson.String},
		{`"[\"a\"]"`, strictjson.String}, {`[]`, strictjson.Array}, {`["a"]`, strictjson.Array}, {`{}`, strictjson.Obj},
		{`{"a":"b"}`, strictjson.Obj}, {``, strictjson.None},
	} {
		t.Run(c.text, func(t *testing.T) {
			var v strictjson.Value // that of an absent member
			if c.kind != strictjson.None {
				v = value(t, c.text)
			}
			if v.Kind() != c.kind {
				t.Errorf("kind %q, want %q", v.Kind(), c.kind)
			}
			if _, ok := v.Text(); ok != (c.kind == strictjson.String) {
				t.Errorf("Text: %v", ok)
			}
			if _, ok := v.Texts(); ok != (c.kind == strictjson.Array) {
				t.Errorf("Texts: %v", ok)
			}
			if _, ok := v.Float(); ok != (c.kind == strictjson.Number) {
				t.Errorf("Float: %v", ok)
			}
			if v.True() != (c.text == "true") {
				t.Errorf("True: %v", v.True())
			}
			if v.Is(c.text) || c.kind != strictjson.String && v.Is("") {
				t.Error("Is takes the JSON text for the string")
			}
			if c.kind != strictjson.Array {
				for e := range v.Elements() {
					t.Errorf("element %s", e)
				}
			}
			if c.kind != strictjson.Obj {
				for name := range v.Members() {
					t.Errorf("member %s", name)
				}
			}
		})
	}
}

func TestText(t *testing.T) {
	for text, want := range map[string]string{
		`""`:                      "",
		`"plain"`:                 "plain",
		`"\"\\\/\b\f\n\r\t"`:      "\"\\/\b\f\n\r\t",
		`"\u0041\u00e9\u20AC"`:    "A\u00e9\u20ac",
		`"\ud83d\ude00"`:          "\U0001f600",
		`"\ud800\udc00"`:          "\U00010000",
		`"\uDBFF\uDFFF"`:          "\U0010ffff",
		`"a\u0000b"`:              "a\x00b",
		`"\\u0041"`:               `\u0041`,
		`"\\\\"`:                  `\\`,
		"\"\u20ac\\n\U0001f600\"": "\u20ac\n\U0001f600",
		`"\ufffd"`:                "\ufffd",
	} {
		v := value(t, text)
		if got, ok := v.Text(); !ok || got != want {
			t.Errorf("%s: Text %q, %v, want %q", text, got, ok, want)
		}
		if !v.Is(want) {
			t.Errorf("%s is not %q", text, want)
		}
		for _, other := range []string{want + "x", "x" + want, want + "\x00", text} {
			if v.Is(other) {
				t.Errorf("%s is %q", text, other)
			}
		}
	}
}

func TestIsComparesCase(t *testing.T) {
	if value(t, `"ID"`).Is("id") || value(t, `"k"`).Is("\u212a") {
		t.Error("case was folded")
	}
}

func TestTexts(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
		ok   bool
	}{
		{`[]`, []string{}, true},
		{`[ "a" , "b\n" ,"" ]`, []string{"a", "b\n", ""}, true},
		{`["a","a"]`, []string{"a", "a"}, true},
		{`["a,b","]"]`, []string{"a,b", "]"}, true},
		{`["a",1]`, nil, false},
		{`[null]`, nil, false},
		{`[["a"]]`, nil, false},
		{`[{"a":"b"}]`, nil, false},
		{`"a"`, nil, false},
		{`{"a":"b"}`, nil, false},
	} {
		got, ok := value(t, c.text).Texts()
		if ok != c.ok || !slices.Equal(got, c.want) || ok && got == nil {
			t.Errorf("%s: %#v, %v, want %#v, %v", c.text, got, ok, c.want, c.ok)
		}
	}
}

func TestFloat(t *testing.T) {
	for text, want := range map[string]float64{
		`0`: 0, `-0`: 0, `1`: 1, `-1.5`: -1.5, `1.7e9`: 1.7e9, `17E8`: 1.7e9, `1e-2`: .01, `1e300`: 1e300,
		`9223372036854775807`: math.MaxInt64, `1e-400`: 0, `123456789012345678901234567890`: 123456789012345678901234567890,
	} {
		if got, ok := value(t, text).Float(); !ok || got != want {
			t.Errorf("%s: %v, %v, want %v", text, got, ok, want)
		}
	}
	// Beyond a float64 there is no number: no infinity that passes for a
	// date in the far future.
	for _, text := range []string{`1e400`, `-1e400`, `1e99999999999`, `"1"`, `"NaN"`, `true`, `[1]`} {
		if got, ok := value(t, text).Float(); ok {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestElements(t *testing.T) {
	v := value(t, `[ 1 , "a,]" , [ 2 , [ ] ] , { "b" : [ 3 ] } , null ,true]`)
	want := []string{`1`, `"a,]"`, `[ 2 , [ ] ]`, `{ "b" : [ 3 ] }`, `null`, `true`}
	var got []string
	for e := range v.Elements() {
		got = append(got, string(e))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for e := range v.Elements() {
		if string(e) != "1" {
			t.Errorf("%s after the loop was left", e)
		}
		break
	}
}

func TestMembers(t *testing.T) {
	v := value(t, `{ "a" : 1 , "\u0062" : "},{" , "c":{"d":[{}]},"":[ ] }`)
	want := []string{"a", `1`, "b", `"},{"`, "c", `{"d":[{}]}`, "", `[ ]`}
	var got []string
	for name, m := range v.Members() {
		got = append(got, name, string(m))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for name := range v.Members() {
		if name != "a" {
			t.Errorf("%s after the loop was left", name)
		}
		break
	}
}
