package strictjson_test

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/internal/strictjson"
)

func nested(open, shut string, n int) string {
	return strings.Repeat(open, n) + strings.Repeat(shut, n)
}

func manyMembers(n int, last string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"name%d":%d,`, i, i)
	}
	return "{" + b.String() + last + "}"
}

// good texts are one strict object each.
var good = map[string]string{
	"empty":                    `{}`,
	"empty with space":         " \t\r\n{ \t\r\n} \t\r\n",
	"one":                      `{"a":1}`,
	"space everywhere":         ` { "a" : [ 1 , 2 ] , "b" : { "c" : null } } `,
	"every kind":               `{"s":"x","n":-1.5e+3,"t":true,"f":false,"z":null,"a":[],"o":{}}`,
	"empty name":               `{"":0}`,
	"long name":                `{"` + strings.Repeat("x", 4096) + `":0}`,
	"names in two cases":       `{"exp":1,"Exp":2,"EXP":3}`,
	"names alike on screen":    "{\"e\u0301\":1,\"\u00e9\":2}",
	"same name in two objects": `{"a":{"x":1},"b":{"x":1}}`,
	"same name at two depths":  `{"a":{"a":{"a":1}}}`,
	"same name as its sibling": `{"a":[{"x":1},{"x":1}]}`,
	"names that hide an end":   `{"a\"":1,"a\\":2}`,
	"escaped name":             `{"\u0061lg":"x"}`,
	"every escape":             `{"s":"\"\\\/\b\f\n\r\t\u0041"}`,
	"escape in both cases":     `{"s":"\u00e9\u00E9"}`,
	"escaped NUL":              `{"s":"\u0000","\u0000":1}`,
	"surrogate pair":           `{"s":"\uD83D\ude00","\ud83d\ude00":1}`,
	"first and last pair":      `{"s":"\ud800\udc00\udbff\udfff"}`,
	"escapes beside the pairs": `{"s":"\ud7ff\ue000\uffff"}`,
	"backslash before u":       `{"s":"\\ud800"}`,
	"UTF-8 of every length":    "{\"s\":\"a\u00e9\u20ac\U0001f600\",\"\u00e9\":1}",
	"U+FFFD itself":            "{\"s\":\"\ufffd\"}",
	"noncharacters":            "{\"s\":\"\uffff\U0010ffff\"}",
	"line separators":          "{\"s\":\"\u2028\u2029\"}",
	"delete is not a control":  "{\"s\":\"\x7f\"}",
	"BOM within a string":      "{\"s\":\"\ufeff\"}",
	"numbers":                  `{"a":[0,-0,0.0,-0.5,1e0,1E5,1e+5,1e-5,0e0,10,123456789012345678901234567890,1e400,-1e400,1e-400]}`,
	"depth at the limit":       `{"a":` + nested("[", "]", strictjson.MaxDepth-1) + `}`,
	"objects at the limit":     strings.Repeat(`{"a":`, strictjson.MaxDepth-1) + `{}` + strings.Repeat("}", strictjson.MaxDepth-1),
	"wide":                     `{"a":[` + strings.Repeat("[],", 2000) + `[]]}`,
	"brackets in a string":     `{"s":"` + strings.Repeat("[", 100) + `"}`,
	"16 members":               manyMembers(15, `"z":0`),
	"17 members":               manyMembers(16, `"z":0`),
	"1000 members":             manyMembers(999, `"z":0`),
}

// bad texts are not.
var bad = map[string]string{
	"nothing":                        ``,
	"space":                          ` `,
	"null":                           `null`,
	"true":                           `true`,
	"number":                         `1`,
	"string":                         `"{}"`,
	"array":                          `[]`,
	"array of an object":             `[{}]`,
	"two objects":                    `{}{}`,
	"two objects with space":         `{} {}`,
	"trailing bracket":               `{}]`,
	"trailing brace":                 `{}}`,
	"trailing comma":                 `{},`,
	"trailing letter":                `{}x`,
	"trailing NUL":                   "{}\x00",
	"trailing comment":               `{}//`,
	"trailing hash":                  `{}#`,
	"leading NUL":                    "\x00{}",
	"leading comma":                  `,{}`,
	"leading BOM":                    "\ufeff{}",
	"trailing BOM":                   "{}\ufeff",
	"UTF-16 LE":                      "\xff\xfe{\x00}\x00",
	"UTF-16 BE without a BOM":        "\x00{\x00}",
	"no-break space":                 "{\u00a0}",
	"form feed":                      "{\f}",
	"vertical tab":                   "{\v}",
	"next line":                      "{\x85}",
	"unclosed":                       `{`,
	"unopened":                       `}`,
	"closed by a bracket":            `{]`,
	"name alone":                     `{"a"}`,
	"name and colon":                 `{"a":}`,
	"name, colon, end":               `{"a":`,
	"name, end":                      `{"a"`,
	"half a name":                    `{"a`,
	"no colon":                       `{"a" 1}`,
	"two colons":                     `{"a"::1}`,
	"equals sign":                    `{"a"=1}`,
	"comma for a colon":              `{"a",1}`,
	"number for a name":              `{1:1}`,
	"bare name":                      `{a:1}`,
	"single quotes":                  `{'a':1}`,
	"null for a name":                `{null:1}`,
	"comma alone":                    `{,}`,
	"comma first":                    `{,"a":1}`,
	"comma last":                     `{"a":1,}`,
	"two commas":                     `{"a":1,,"b":2}`,
	"no comma":                       `{"a":1 "b":2}`,
	"semicolon":                      `{"a":1;"b":2}`,
	"value, end":                     `{"a":1`,
	"value, comma, end":              `{"a":1,`,
	"array, end":                     `{"a":[`,
	"array of 1, end":                `{"a":[1`,
	"array, comma":                   `{"a":[,]}`,
	"array, comma first":             `{"a":[,1]}`,
	"array, comma last":              `{"a":[1,]}`,
	"array, two commas":              `{"a":[1,,2]}`,
	"array, no comma":                `{"a":[1 2]}`,
	"array with a colon":             `{"a":[1:2]}`,
	"array closed by a brace":        `{"a":[1}`,
	"array unclosed in object":       `{"a":[}`,
	"extra bracket":                  `{"a":[1]]}`,
	"comment":                        `{"a":1/**/}`,
	"line comment":                   "{//\n}",
	"capital literals":               `{"a":True}`,
	"half a literal":                 `{"a":tru}`,
	"literal and more":               `{"a":truex}`,
	"nul":                            `{"a":nul}`,
	"nulll":                          `{"a":nulll}`,
	"fals":                           `{"a":fals`,
	"NaN":                            `{"a":NaN}`,
	"Infinity":                       `{"a":Infinity}`,
	"minus Infinity":                 `{"a":-Infinity}`,
	"plus":                           `{"a":+1}`,
	"minus":                          `{"a":-}`,
	"minus space":                    `{"a":- 1}`,
	"two minus":                      `{"a":--1}`,
	"leading zero":                   `{"a":01}`,
	"minus leading zero":             `{"a":-01}`,
	"two zeros":                      `{"a":00}`,
	"point first":                    `{"a":.5}`,
	"minus point":                    `{"a":-.5}`,
	"point last":                     `{"a":1.}`,
	"point, exponent":                `{"a":1.e1}`,
	"zero point exponent":            `{"a":0.e1}`,
	"two points":                     `{"a":1.2.3}`,
	"exponent alone":                 `{"a":e1}`,
	"exponent empty":                 `{"a":1e}`,
	"exponent sign":                  `{"a":1e+}`,
	"exponent two signs":             `{"a":1e+-1}`,
	"exponent point":                 `{"a":1e1.5}`,
	"two exponents":                  `{"a":1e1e1}`,
	"hexadecimal":                    `{"a":0x1}`,
	"octal":                          `{"a":0o1}`,
	"underscore":                     `{"a":1_000}`,
	"space in a number":              `{"a":1 000}`,
	"full-width digit":               "{\"a\":\uff11}",
	"number with a letter":           `{"a":1a}`,
	"number then NUL":                "{\"a\":1\x00}",
	"number, end":                    `{"a":1.`,
	"unclosed string":                `{"a":"`,
	"string ends in a backslash":     `{"a":"\`,
	"quote escaped at the end":       `{"a":"\"}`,
	"unknown escape":                 `{"a":"\x41"}`,
	"capital U":                      `{"a":"\U00000041"}`,
	"escaped quote of another kind":  `{"a":"\'"}`,
	"escaped NUL byte":               "{\"a\":\"\\\x00\"}",
	"escaped line end":               "{\"a\":\"\\\n\"}",
	"escaped letter beyond ASCII":    "{\"a\":\"\\\u00e9\"}",
	"\\a":                            `{"a":"\a"}`,
	"\\v":                            `{"a":"\v"}`,
	"\\0":                            `{"a":"\0"}`,
	"u with nothing":                 `{"a":"\u"}`,
	"u with three digits":            `{"a":"\u004"}`,
	"u with a letter":                `{"a":"\u004g"}`,
	"u with a sign":                  `{"a":"\u+041"}`,
	"u with a space":                 `{"a":"\u 041"}`,
	"u with braces":                  `{"a":"\u{41}"}`,
	"u, end":                         `{"a":"\u00`,
	"lone high surrogate":            `{"a":"\ud800"}`,
	"lone high surrogate, more":      `{"a":"\ud800abcdef"}`,
	"lone high surrogate, newline":   `{"a":"\ud800\n"}`,
	"lone low surrogate":             `{"a":"\udc00"}`,
	"last low surrogate":             `{"a":"\udfff"}`,
	"last high surrogate":            `{"a":"\udbff"}`,
	"pair the wrong way round":       `{"a":"\udc00\ud800"}`,
	"high twice":                     `{"a":"\ud800\ud800"}`,
	"high twice, low":                `{"a":"\ud800\ud800\udc00"}`,
	"high, letter":                   `{"a":"\ud800\u0041"}`,
	"high, above low":                `{"a":"\ud800\ue000"}`,
	"high, below low":                `{"a":"\ud800\udbff"}`,
	"high, incomplete low":           `{"a":"\ud800\udc0"}`,
	"high, low with a capital U":     `{"a":"\ud800\Udc00"}`,
	"high, escaped backslash":        `{"a":"\ud800\\udc00"}`,
	"lone surrogate in a name":       `{"\ud800":1}`,
	"lone surrogate deep down":       `{"a":[{"b":["\udc00"]}]}`,
	"surrogate in UTF-8":             "{\"a\":\"\xed\xa0\x80\"}",
	"surrogate pair in UTF-8":        "{\"a\":\"\xed\xa0\xbd\xed\xb8\x80\"}",
	"overlong slash":                 "{\"a\":\"\xc0\xaf\"}",
	"overlong NUL":                   "{\"a\":\"\xc0\x80\"}",
	"overlong of three bytes":        "{\"a\":\"\xe0\x80\xaf\"}",
	"overlong of six bytes":          "{\"a\":\"\xfc\x83\xbf\xbf\xbf\xbf\"}",
	"beyond U+10FFFF":                "{\"a\":\"\xf4\x90\x80\x80\"}",
	"byte FF":                        "{\"a\":\"\xff\"}",
	"Latin-1":                        "{\"a\":\"\xe9\"}",
	"continuation byte":              "{\"a\":\"\x80\"}",
	"cut character":                  "{\"a\":\"\xe2\x82\"}",
	"cut at the end":                 "{\"a\":\"\xe2\x82",
	"invalid UTF-8 in a name":        "{\"\xff\":1}",
	"invalid UTF-8 between":          "{\"a\":1\xff}",
	"invalid UTF-8 deep down":        "{\"a\":[{\"b\":[\"\xff\"]}]}",
	"raw NUL in a string":            "{\"a\":\"\x00\"}",
	"raw newline in a string":        "{\"a\":\"\n\"}",
	"raw tab in a string":            "{\"a\":\"\t\"}",
	"raw unit separator":             "{\"a\":\"\x1f\"}",
	"raw newline in a name":          "{\"\n\":1}",
	"same name twice":                `{"a":1,"a":2}`,
	"same name and value":            `{"a":1,"a":1}`,
	"same name, not adjacent":        `{"a":1,"b":2,"a":3}`,
	"same empty name":                `{"":1,"":2}`,
	"same name, one escaped":         `{"alg":1,"\u0061lg":2}`,
	"same name, escaped first":       `{"\u0061lg":1,"alg":2}`,
	"same name, escaped differently": `{"\u00E9":1,"\u00e9":2}`,
	"same name, slash":               `{"a/b":1,"a\/b":2}`,
	"same name, beyond the BMP":      "{\"\U0001f600\":1,\"\\ud83d\\ude00\":2}",
	"same name, escaped NUL":         `{"\u0000":1,"\u0000":2}`,
	"same name deep down":            `{"a":{"b":[{"c":1,"c":2}]}}`,
	"16 members, first again":        manyMembers(15, `"name0":0`),
	"17 members, first again":        manyMembers(16, `"name0":0`),
	"18 members, first again":        manyMembers(17, `"name0":0`),
	"18 members, last again":         manyMembers(17, `"name16":0`),
	"1000 members, one again":        manyMembers(999, `"name500":0`),
	"1000 members, one escaped":      manyMembers(999, `"name5\u00300":0`),
	"depth beyond the limit":         `{"a":` + nested("[", "]", strictjson.MaxDepth) + `}`,
	"objects beyond the limit":       strings.Repeat(`{"a":`, strictjson.MaxDepth) + `{}` + strings.Repeat("}", strictjson.MaxDepth),
	"100,000 deep":                   `{"a":` + nested("[", "]", 100000) + `}`,
	"100,000 open":                   `{"a":` + strings.Repeat("[", 100000),
	"100,000 objects open":           strings.Repeat(`{"a":`, 100000),
}

// read is Object, its members decoded.
func read(data []byte) ([]member, error) {
	list := []member{}
	err := strictjson.Object(string(data), func(name string, v strictjson.Value) {
		list = append(list, member{name, v})
	})
	if err != nil {
		return nil, err
	}
	for i := range list {
		list[i].value = decode(list[i].value.(strictjson.Value))
	}
	return list, nil
}

// compare is the property that holds for every text: Object and the reference
// agree on whether it is one, and on what is in it.
func compare(t *testing.T, data []byte) {
	t.Helper()
	before := bytes.Clone(data)
	want, wantErr := reference(data)
	got, err := read(data)
	if !bytes.Equal(data, before) {
		t.Errorf("%.200q was changed", before)
	}
	switch {
	case (err == nil) != (wantErr == nil):
		t.Errorf("%.200q: error %v, the reference says %v", data, err, wantErr)
	case err != nil && !errors.Is(err, strictjson.ErrInvalid):
		t.Errorf("%.200q: error %v is not ErrInvalid", data, err)
	case !reflect.DeepEqual(got, want) && err == nil:
		t.Errorf("%.200q decodes to\n%v, the reference says\n%v", data, got, want)
	}
}

func TestGood(t *testing.T) {
	for name, text := range good {
		t.Run(name, func(t *testing.T) {
			if _, err := read([]byte(text)); err != nil {
				t.Errorf("refused: %v", err)
			}
			compare(t, []byte(text))
		})
	}
}

func TestBad(t *testing.T) {
	for name, text := range bad {
		t.Run(name, func(t *testing.T) {
			if _, err := read([]byte(text)); !errors.Is(err, strictjson.ErrInvalid) {
				t.Errorf("error %v, want ErrInvalid", err)
			}
			compare(t, []byte(text))
		})
	}
}

// Every beginning of a good text but the whole is bad, and so is every good
// text with one byte taken out or replaced, unless the reference takes it too.
func TestDamaged(t *testing.T) {
	for name, text := range good {
		if len(text) > 200 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			for i := range len(text) {
				compare(t, []byte(text[:i]))
				compare(t, []byte(text[:i]+text[i+1:]))
				for _, c := range []byte("\x00 \"\\{}[],:-.e0u\xff\xed") {
					compare(t, slices.Concat([]byte(text[:i]), []byte{c}, []byte(text[i+1:])))
					compare(t, slices.Concat([]byte(text[:i]), []byte{c}, []byte(text[i:])))
				}
			}
		})
	}
}

// The error must not carry the text it refuses into a log.
func TestErrorSaysNothing(t *testing.T) {
	err := strictjson.Object(`{"secret":"hunter2`, nil)
	if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %q", err)
	}
}

// A header of ordinary size costs no allocation.
func TestAllocations(t *testing.T) {
	text := `{"alg":"RS256","typ":"at+jwt","kid":"k1","x":[{"a":1},{"b":[true,null]}]}`
	n := testing.AllocsPerRun(100, func() {
		if strictjson.Object(text, func(string, strictjson.Value) {}) != nil {
			t.Error("refused")
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzObject(f *testing.F) {
	for _, texts := range []map[string]string{good, bad} {
		for _, text := range texts {
			if len(text) < 8192 {
				f.Add([]byte(text))
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		compare(t, data)
	})
}
