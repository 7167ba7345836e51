package verify_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/verify"
)

// repeated is a JSON array of one element many times.
func repeated(element string, n int) string {
	return "[" + strings.TrimSuffix(strings.Repeat(element+",", n), ",") + "]"
}

// wide are claims that take much more memory than text.
type wide struct {
	List []struct {
		A, B, C, D, E, F int64
	} `json:"x"`
}

// However odd its tokens, a cache takes no more than 2 KiB for each that it has
// room for.
func TestCacheMemory(t *testing.T) {
	if raceEnabled() {
		t.Skip("the race detector takes memory of its own")
	}
	const room, unit = 200, 2048
	key := fresh("k", 1)[0]
	for name, c := range map[string]struct {
		edits []string
		use   func(*verify.Token)
		fewer bool // a token counts as several
	}{
		"small":               {nil, nil, false},
		"filler":              {[]string{"x", quote(strings.Repeat("x", 900))}, nil, false},
		"long":                {[]string{"x", quote(strings.Repeat("x", 7000))}, nil, true},
		"permissions":         {[]string{"permissions", repeated(`"a"`, 2500)}, nil, true},
		"some permissions":    {[]string{"permissions", repeated(`"a"`, 200)}, nil, true},
		"escaped permissions": {[]string{"permissions", repeated(`"\u0061bcdefghi"`, 500)}, nil, true},
		"audiences":           {[]string{"aud", `["` + testAudience + `",` + repeated(`"a"`, 2500)[1:]}, nil, true},
		"scopes":              {[]string{"scope", repeated(`"a"`, 2500)}, nil, true},
		"escaped scopes":      {[]string{"scp", repeated(`"\u0061bcdefgh"`, 500), "scope", ""}, nil, true},
		"actors": {[]string{"act", strings.Repeat(`{"sub":"\u0061","iss":"\u0061","act":`, 7) + `{"sub":"\u0061"}` + strings.Repeat("}", 7)},
			nil, true},
		"escaped subject":   {[]string{"sub", `"\u0061` + strings.Repeat("x", 1200) + `"`}, nil, true},
		"decoded":           {nil, func(t *verify.Token) { _, _ = verify.ClaimsOf[plainClaims](t) }, false},
		"decoded, wide":     {[]string{"x", repeated(`{}`, 100)}, func(t *verify.Token) { _, _ = verify.ClaimsOf[wide](t) }, true},
		"decoded, too wide": {[]string{"x", repeated(`{}`, 2500)}, func(t *verify.Token) { _, _ = verify.ClaimsOf[wide](t) }, true},
		"decoded into any":  {[]string{"x", repeated(`{"a":0}`, 20)}, func(t *verify.Token) { _, _ = verify.ClaimsOf[any](t) }, true},
	} {
		v, _ := build(t, func(c *verify.Config) {
			c.Issuers[0].Keys, c.CacheSize = &source{set: published(key)}, room
		})
		tokens := make([]string, room+50)
		for i := range tokens {
			tokens[i] = key.with(append([]string{"jti", fmt.Sprintf(`"%d"`, i)}, c.edits...)...)
		}
		before := heap()
		for _, token := range tokens {
			got := accept(t, v, token)
			if c.use != nil {
				c.use(got)
			}
		}
		took := heap() - before
		entries := verify.Cached(v)
		least := 1
		if strings.HasPrefix(name, "decoded") {
			least = room / 10 // however much the claims grow
		}
		if entries < least || c.fewer != (entries < room*9/10) {
			t.Errorf("%s: %d entries in room for %d", name, entries, room)
		}
		if most := room*unit + 48<<10; took > most { // and the cache's own
			t.Errorf("%s: %d entries take %d bytes, %d each; %d are promised", name, entries, took, took/max(entries, 1), most)
		}
		t.Logf("%-20s %d entries take %d bytes, %d each, %d %%", name, entries, took, took/max(entries, 1), took*100/room/unit)
		runtime.KeepAlive(v)
		runtime.KeepAlive(tokens)
	}
}

// heap is how many bytes are in use once nothing else is.
func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
