package claimsjson_test

import (
	"encoding/json"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/internal/claimsjson"
)

//lint:file-ignore U1000 the types have unexported fields because of what they are, and nothing uses those

type (
	list struct {
		Value int
		Next  *list
	}
	hidden   struct{ inside []string }
	shown    struct{ Inside []string }
	withHide struct {
		Text   string
		number int
		hidden [2]string
	}
	ownMethod  struct{ Names []string }
	ownText    string
	lower      struct{ Names []string }
	embeds     struct{ lower }
	embedsWord struct{ word }
	word       []string
)

func (*ownMethod) UnmarshalJSON([]byte) error { return nil }
func (*ownText) UnmarshalText([]byte) error   { return nil }

// What can be copied is, and what cannot be told is not.
func TestCopierOf(t *testing.T) {
	for _, v := range []any{
		0, "", true, 1.5, [2]string{}, struct{}{}, withHide{}, time.Time{}, netip.Addr{}, ownText(""), json.Number(""), time.Duration(0),
		[]string(nil), []byte(nil), json.RawMessage(nil), net.IP(nil), map[string]string(nil), map[netip.Addr][]int(nil), new(int), list{}, []list(nil),
		map[string]any(nil), [2][]int{}, shown{}, embeds{}, map[string]*list(nil), []ownText(nil), struct{ T *time.Time }{}, url.URL{},
	} {
		if claimsjson.CopierOf(reflect.TypeOf(v)) == nil {
			t.Errorf("%T cannot be copied", v)
		}
	}
	for _, v := range []any{
		hidden{}, []hidden(nil), map[string]hidden(nil), &hidden{}, ownMethod{}, []ownMethod(nil), big.Int{}, &big.Int{}, make(chan int), func() {},
		[]error(nil), embedsWord{}, map[any]int(nil), map[*int]int(nil), struct{ m map[string]int }{}, struct{ A struct{ b any } }{}, [1]hidden{},
	} {
		if claimsjson.CopierOf(reflect.TypeOf(v)) != nil {
			t.Errorf("%T can be copied", v)
		}
	}
}

// A copy is equal, and what is done to it is not done to the original.
func TestCopy(t *testing.T) {
	type all struct {
		A []string
		B map[string][]int
		C *list
		D any
		E [2][]byte
		F embeds
		G map[string]*list
		H []*int
		I json.RawMessage
		J time.Time
		K []list
		L map[string]any
		M []string
		N map[string]int
		O *int
		P any
	}
	one := 1
	make := func() all {
		one := one
		return all{
			A: []string{"a"}, B: map[string][]int{"b": {1}}, C: &list{1, &list{2, nil}}, D: map[string]any{"d": []any{int64(1), "x", nil}},
			E: [2][]byte{{1}, {2}}, F: embeds{lower{[]string{"f"}}}, G: map[string]*list{"g": {3, nil}, "nil": nil}, H: []*int{&one, nil},
			I: json.RawMessage("1"), J: time.Unix(1, 0), K: []list{{4, &list{5, nil}}}, L: map[string]any{"l": map[string]any{"x": 1.5}}, M: []string{},
		}
	}
	original, want := make(), make()
	c := claimsjson.CopierOf(reflect.TypeFor[all]())
	size := 0
	own := claimsjson.Copy(c, &original, &size)
	if !reflect.DeepEqual(own, want) || size < 500 {
		t.Fatalf("%+v, %d bytes; want %+v", own, size, want)
	}
	own.A[0], own.B["b"][0], own.C.Next.Value, own.E[0][0], own.F.Names[0] = "z", 9, 9, 9, "z"
	own.D.(map[string]any)["d"].([]any)[0] = "z"
	own.G["g"].Value, *own.H[0], own.I[0], own.K[0].Next.Value = 9, 9, 'z', 9
	own.L["l"].(map[string]any)["x"] = "z"
	own.B["more"], own.G["nil"] = nil, &list{}
	if !reflect.DeepEqual(original, want) {
		t.Errorf("%+v, want %+v", original, want)
	}
	again := claimsjson.Copy(c, &original, nil)
	if !reflect.DeepEqual(again, want) {
		t.Errorf("%+v, want %+v", again, want)
	}
}
