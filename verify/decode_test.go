package verify_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify"
)

type embedded struct {
	Team string `json:"team"`
}

type Pointed struct {
	Deep []string `json:"deep"`
}

// Claims decodes as encoding/json does with the same tags.
func TestClaimsDecodeAsEncodingJSONDoes(t *testing.T) {
	v, _ := build(t, nil)
	type text = string
	for name, c := range map[string]struct {
		claims string // members
		into   func() any
	}{
		"strings": {`"a":"\u00e9\n","b":""`, func() any {
			return &struct {
				A string `json:"a"`
				B string `json:"b"`
			}{}
		}},
		"tags": {`"first":1,"third":3`, func() any {
			return &struct {
				F int `json:"first"`
				G int `json:"-"`
				H int `json:"third,omitempty"`
			}{}
		}},
		"null": {`"a":null,"b":null,"c":null`, func() any {
			return &struct {
				A int   `json:"a"`
				B *int  `json:"b"`
				C []int `json:"c"`
			}{7, new(int), []int{1}}
		}},
		"string option": {`"a":"7","b":"true","c":"\"x\"","d":"1.5"`, func() any {
			return &struct {
				A int     `json:"a,string"`
				B bool    `json:"b,string"`
				C string  `json:"c,string"`
				D float64 `json:"d,string"`
			}{}
		}},
		"bytes": {`"a":"aGVsbG8="`, func() any {
			return &struct {
				A []byte `json:"a"`
			}{}
		}},
		"array of bytes": {`"a":[1,2]`, func() any {
			return &struct {
				A [2]byte `json:"a"`
			}{}
		}},
		"longer array": {`"a":[1,2,3]`, func() any {
			return &struct {
				A [2]int `json:"a"`
			}{}
		}},
		"shorter array": {`"a":[1]`, func() any {
			return &struct {
				A [2]int `json:"a"`
			}{}
		}},
		"time": {`"a":"2020-03-14T18:52:01.180Z"`, func() any {
			return &struct {
				A time.Time `json:"a"`
			}{}
		}},
		"duration": {`"a":1000`, func() any {
			return &struct {
				A time.Duration `json:"a"`
			}{}
		}},
		"embedded": {`"team":"x","deep":["y"]`, func() any {
			return &struct {
				embedded
				*Pointed
			}{}
		}},
		"nested": {`"a":{"b":[{"team":"x"},{"team":"y"}]}`, func() any {
			return &struct {
				A struct {
					B []embedded `json:"b"`
				} `json:"a"`
			}{}
		}},
		"maps": {`"a":{"x":1},"b":{"1":["y"]}`, func() any {
			return &struct {
				A map[text]int     `json:"a"`
				B map[int][]string `json:"b"`
			}{}
		}},
		"map that is set": {`"a":{"x":1}`, func() any {
			return &struct {
				A map[string]int `json:"a"`
			}{map[string]int{"y": 2}}
		}},
		"any, a null over a pointer": {`"a":null`, func() any {
			return &struct {
				A any `json:"a"`
			}{&embedded{}}
		}},
		"any, over a value": {`"a":"x"`, func() any {
			return &struct {
				A any `json:"a"`
			}{"y"}
		}},
		"map of any that is set": {`"a":{"x":"new","y":["z"]}`, func() any {
			return &struct {
				A map[string]any `json:"a"`
			}{map[string]any{"x": "old", "w": true}}
		}},
		"map of any, null": {`"a":null`, func() any {
			return &struct {
				A map[string]any `json:"a"`
			}{map[string]any{"x": "old"}}
		}},
		"map of any, an array": {`"a":[]`, func() any {
			return &struct {
				A map[string]any `json:"a"`
			}{}
		}},
		"number, null": {`"a":null`, func() any {
			return &struct {
				A json.Number `json:"a"`
			}{"7"}
		}},
		"number, a word": {`"a":"word"`, func() any {
			return &struct {
				A json.Number `json:"a"`
			}{}
		}},
		"any that is set": {`"a":{"team":"x"}`, func() any {
			return &struct {
				A any `json:"a"`
			}{&embedded{}}
		}},
		"pointers": {`"a":1,"b":{"deep":["x"]}`, func() any {
			return &struct {
				A **int    `json:"a"`
				B *Pointed `json:"b"`
			}{}
		}},
		"raw": {`"a":{"x": [1]}`, func() any {
			return &struct {
				A json.RawMessage `json:"a"`
			}{}
		}},
		"number": {`"a":12345678901234567890.5e3`, func() any {
			return &struct {
				A json.Number `json:"a"`
			}{}
		}},
		"quoted number": {`"a":"5"`, func() any {
			return &struct {
				A json.Number `json:"a,string"`
			}{}
		}},
		"big number": {`"a":123456789012345678901234567890`, func() any {
			return &struct {
				A *big.Int `json:"a"`
			}{}
		}},
		"unsigned": {`"a":18446744073709551615`, func() any {
			return &struct {
				A uint64 `json:"a"`
			}{}
		}},
		"own method": {`"a":"up"`, func() any {
			return &struct {
				A upper `json:"a"`
			}{}
		}},
		"own text": {`"a":"127.0.0.1","b":{"::1":2}`, func() any {
			return &struct {
				A netip.Addr         `json:"a"`
				B map[netip.Addr]int `json:"b"`
			}{}
		}},
		"deep any":     {`"a":{"b":[true,null,"x",1.5,{"c":[]}]}`, func() any { return &map[string]any{} }},
		"any":          {`"a":[{"b":"x"}]`, func() any { return new(any) }},
		"map of any":   {`"a":[1.5]`, func() any { return &map[string][]any{"iss": nil} }},
		"strings only": {``, func() any { return &map[string]json.RawMessage{} }},
		"type error": {`"a":"x"`, func() any {
			return &struct {
				A int `json:"a"`
			}{}
		}},
		"overflow": {`"a":300`, func() any {
			return &struct {
				A int8 `json:"a"`
			}{}
		}},
		"fraction": {`"a":1.0`, func() any {
			return &struct {
				A int `json:"a"`
			}{}
		}},
		"negative": {`"a":-1`, func() any {
			return &struct {
				A uint `json:"a"`
			}{}
		}},
		"bad time": {`"a":"yesterday"`, func() any {
			return &struct {
				A time.Time `json:"a"`
			}{}
		}},
		"bad base64": {`"a":"%%"`, func() any {
			return &struct {
				A []byte `json:"a"`
			}{}
		}},
		"array for object": {`"a":[1]`, func() any {
			return &struct {
				A struct{} `json:"a"`
			}{}
		}},
		"channel": {`"a":1`, func() any {
			return &struct {
				A chan int `json:"a"`
			}{}
		}},
		"too large": {`"a":1e400`, func() any { return new(map[string]any) }},
	} {
		payload := "{" + strings.TrimSuffix(claims("iat", "", "exp", at(300)+".5")[1:len(claims("iat", "", "exp", at(300)+".5"))-1]+","+c.claims, ",") + "}"
		tok := accept(t, v, eddsa.token(eddsa.header(), payload))
		got, want := c.into(), c.into()
		errGot, errWant := tok.Claims(got), json.Unmarshal([]byte(payload), want)
		if (errGot == nil) != (errWant == nil) {
			t.Errorf("%s: %v, encoding/json says %v", name, errGot, errWant)
		}
		if errWant == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, encoding/json says %+v", name, got, want)
		}
	}
}

type upper string

func (u *upper) UnmarshalJSON(text []byte) error {
	*u = upper(strings.ToUpper(string(text)))
	return nil
}

// Where Claims differs from encoding/json.
func TestClaimsDifferences(t *testing.T) {
	v, _ := build(t, nil)
	tok := accept(t, v, eddsa.with("role", `"admin"`, "Role", `"upper"`, "list", `[1,-0,9007199254740993,9223372036854775807,-9223372036854775808,9223372036854775808,1.0,1e3,{"n":2}]`))
	var named struct {
		Role   string `json:"role"`
		ROLE   string
		Scopes string `json:"SCOPE"`
	}
	if err := tok.Claims(&named); err != nil || named.Role != "admin" || named.ROLE != "" || named.Scopes != "" {
		t.Errorf("%+v, %v", named, err)
	}
	want := []any{int64(1), int64(0), int64(9007199254740993), int64(9223372036854775807), int64(-9223372036854775808), 9223372036854775808.0, 1.0, 1000.0, map[string]any{"n": int64(2)}}
	var untyped any
	if err := tok.Claims(&untyped); err != nil || !reflect.DeepEqual(untyped.(map[string]any)["list"], want) {
		t.Errorf("%#v, %v", untyped, err)
	}
	var field struct {
		List any   `json:"list"`
		Same []any `json:"-"`
	}
	if err := tok.Claims(&field); err != nil || !reflect.DeepEqual(field.List, any(want)) {
		t.Errorf("%#v, %v", field, err)
	}
	var exact struct {
		List []json.Number `json:"list"`
	}
	if err := accept(t, v, eddsa.with("list", `[9223372036854775808123]`)).Claims(&exact); err != nil || exact.List[0] != "9223372036854775808123" {
		t.Errorf("%v, %v", exact, err)
	}
}

// An error says which claim did not fit and never what it was.
func TestClaimsErrors(t *testing.T) {
	v, _ := build(t, nil)
	secret := "hunter2hunter2"
	tok := accept(t, v, eddsa.with("when", quote(secret), "n", `424242`, "map", `{`+quote(secret)+`:{`+quote(secret)+`:1}}`, "own", quote(secret)))
	for want, into := range map[string]any{
		"verify: the token's claims do not fit *struct { When time.Time \"json:\\\"when\\\"\" }: when: JSON string into Go time.Time": &struct {
			When time.Time `json:"when"`
		}{},
		": n: JSON number into Go int8": &struct {
			N int8 `json:"n"`
		}{},
		": map: JSON object into Go int": &struct {
			Map map[string]int `json:"map"`
		}{},
		"*map[string]int: JSON string into Go int": &map[string]int{},
		": own: JSON string into Go verify_test.fails": &struct {
			Own fails `json:"own"`
		}{},
		"do not fit struct {}: Go struct {}": struct{}{},
		"do not fit <nil>":                   nil,
	} {
		err := tok.Claims(into)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
			continue
		}
		for _, part := range []string{secret, "424242", "user-1", testIssuer} {
			if strings.Contains(err.Error(), part) {
				t.Errorf("%v holds %q", err, part)
			}
		}
	}
	var own struct {
		Own fails `json:"own"`
	}
	if err := tok.Claims(&own); !errors.Is(err, errOwn) {
		t.Errorf("%v", err)
	}
}

var errOwn = errors.New("an error of one's own")

type fails struct{}

func (*fails) UnmarshalJSON(text []byte) error { return fmt.Errorf("%s: %w", text, errOwn) }

// plainClaims share nothing, richClaims do.
type plainClaims struct {
	Subject string    `json:"sub"`
	Expiry  int64     `json:"exp"`
	When    time.Time `json:"when"`
	Pair    [2]string `json:"pair"`
	Inner   embedded  `json:"inner"`
}

type richClaims struct {
	embedded
	Roles   []string            `json:"roles"`
	Groups  map[string][]string `json:"groups"`
	Pointed *Pointed            `json:"pointed"`
	Any     any                 `json:"any"`
	Raw     json.RawMessage     `json:"raw"`
	Tree    tree                `json:"tree"`
	Pairs   [2][]int            `json:"pairs"`
	None    []string            `json:"none"`
}

type tree struct {
	Name string `json:"name"`
	Kids []tree `json:"kids"`
}

const richMembers = `"team":"t","roles":["a","b"],"groups":{"g":["x"]},"pointed":{"deep":["d"]},"any":{"k":[1,{"z":"y"}]},"raw":[1],` +
	`"tree":{"name":"r","kids":[{"name":"k","kids":[{"name":"l"}]}]},"pairs":[[1],[2,3]],"when":"2020-03-14T18:52:01Z","pair":["p","q"],"inner":{"team":"i"}`

func richToken() string {
	c := claims()
	return eddsa.token(eddsa.header(), c[:len(c)-1]+","+richMembers+"}")
}

// ClaimsOf gives what Claims gives, each time, and each time to its caller
// alone, whatever others do to theirs.
func TestClaimsOf(t *testing.T) {
	for name, edit := range map[string]func(*verify.Config){"cache": nil, "no cache": func(c *verify.Config) { c.CacheSize = verify.NoCache }} {
		v, _ := build(t, edit)
		text := richToken()
		var want richClaims
		if err := accept(t, v, text).Claims(&want); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			tok := accept(t, v, text)
			for range 3 {
				got, err := verify.ClaimsOf[richClaims](tok)
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Fatalf("%s: %+v, %v", name, got, err)
				}
				got.Roles[0], got.Groups["g"][0], got.Pointed.Deep[0], got.Raw[0] = "evil", "evil", "evil", 'x'
				got.Roles = append(got.Roles[:1], "evil")
				got.Groups["evil"] = nil
				got.Any.(map[string]any)["k"].([]any)[1].(map[string]any)["z"] = "evil"
				got.Tree.Kids[0].Kids[0].Name, got.Pairs[1][0] = "evil", 9
			}
			plain, err := verify.ClaimsOf[plainClaims](tok)
			if err != nil || plain.Subject != "user-1" || plain.Pair[1] != "q" || plain.Inner.Team != "i" || plain.When.Year() != 2020 {
				t.Errorf("%s: %+v, %v", name, plain, err)
			}
			pointer, err := verify.ClaimsOf[*richClaims](tok)
			if err != nil || !reflect.DeepEqual(*pointer, want) {
				t.Errorf("%s: %+v, %v", name, pointer, err)
			}
			for _, f := range []func() (any, error){
				func() (any, error) { m, err := verify.ClaimsOf[map[string]any](tok); return m["sub"], err },
				func() (any, error) { m, err := verify.ClaimsOf[any](tok); return m.(map[string]any)["sub"], err },
			} {
				if sub, err := f(); err != nil || sub != "user-1" {
					t.Errorf("%s: %v, %v", name, sub, err)
				}
			}
			if got, err := verify.ClaimsOf[struct {
				Sub int `json:"sub"`
			}](tok); err == nil || got.Sub != 0 {
				t.Errorf("%s: %v, %v", name, got, err)
			}
		}
	}
	if _, err := verify.ClaimsOf[plainClaims](&verify.Token{}); err == nil {
		t.Error("a token without claims has some")
	}
}

// countsDecoding counts how often it is decoded. It holds nothing that could be
// shared, so that it is remembered.
type countsDecoding struct {
	Sub decodings `json:"sub"`
}

type decodings string

var decoded struct {
	sync.Mutex
	n int
}

func (d *decodings) UnmarshalJSON(text []byte) error {
	decoded.Lock()
	decoded.n++
	decoded.Unlock()
	*d = decodings(text)
	return nil
}

// sharesInside has what no copy can be made of.
type sharesInside struct {
	Sub keeper    `json:"sub"`
	N   decodings `json:"jti"`
}

type keeper struct{ text []byte }

func (k *keeper) UnmarshalJSON(text []byte) error { k.text = append([]byte(nil), text...); return nil }

func decodingsOf(f func()) int {
	decoded.Lock()
	before := decoded.n
	decoded.Unlock()
	f()
	decoded.Lock()
	defer decoded.Unlock()
	return decoded.n - before
}

// A type is decoded once for a token that is remembered, by however many
// requests; what cannot be copied, each time.
func TestClaimsAreDecodedOnce(t *testing.T) {
	v, _ := build(t, nil)
	text := eddsa.good()
	if n := decodingsOf(func() {
		for range 10 {
			if c, err := verify.ClaimsOf[countsDecoding](accept(t, v, text)); err != nil || c.Sub != `"user-1"` {
				t.Errorf("%v, %v", c, err)
			}
		}
	}); n != 1 {
		t.Errorf("decoded %d times", n)
	}
	other := eddsa.with("jti", `"another"`)
	if n := decodingsOf(func() {
		for range 10 {
			c, err := verify.ClaimsOf[sharesInside](accept(t, v, other))
			if err != nil || string(c.Sub.text) != `"user-1"` {
				t.Errorf("%s, %v", c.Sub.text, err)
			}
			c.Sub.text[1] = 'X'
		}
	}); n != 10 {
		t.Errorf("what cannot be copied was decoded %d times out of 10", n)
	}
	// All at once.
	third := eddsa.with("jti", `"third"`)
	tok := accept(t, v, third)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				got, err := verify.ClaimsOf[richClaims](tok)
				if err != nil {
					t.Error(err)
				}
				got.Roles = append(got.Roles, "mine")
				if c, err := verify.ClaimsOf[plainClaims](tok); err != nil || c.Subject != "user-1" {
					t.Error(c, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestClaimsOfAllocates(t *testing.T) {
	if raceEnabled() {
		t.Skip("the race detector allocates")
	}
	v, _ := build(t, nil)
	text := richToken()
	tok := accept(t, v, text)
	_, _ = verify.ClaimsOf[plainClaims](tok)
	if n := testing.AllocsPerRun(100, func() { _, _ = verify.ClaimsOf[plainClaims](tok) }); n > 0 {
		t.Errorf("%v allocations for claims that share nothing", n)
	}
}
