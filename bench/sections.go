package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/bearerkit/bearerkit/bench/contender"
	"github.com/bearerkit/bearerkit/bench/paired"
	"github.com/bearerkit/bearerkit/bench/token"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// A section is a part of the report.
type section struct {
	title, what string
	run         func(ctx context.Context, r *report) error
}

var sections = []section{
	{"A token never seen", "Each operation gets the next of many different tokens; raw is the hash and the signature check alone,\n" +
		"with everything decoded beforehand. The kit remembers nothing here.", uniqueTokens},
	{"A token never seen, with a full cache", "The same with the kit's cache on: it is asked, misses, and takes the token in.", missingTokens},
	{"A token never seen, and its claims in a struct", "The same, and the twelve claims end up in a struct of the caller's. The libraries that always make\n" +
		"an object of all claims are taken as they are.", decodedTokens},
	{"A token seen before", "64 tokens that come again and again.", seenTokens},
	{"Middleware", "net/http handlers called directly with one request whose token was seen before, to raw RS256.", inProcess},
	{"Loopback HTTP", "A server on one core, its handler with and without the middleware, the same requests over 32 kept\n" +
		"connections: requests per second, to those of the bare handler.", loopback},
	{"Refusals", "What is refused without a signature check, to raw RS256 (a good token's). The kit's cache is on.", refusals},
	{"Keys and issuers", "The number of keys in the issuer's set, and of issuers.", scale},
	{"Cached tokens", "A hit among many cached tokens, picked in no order, to one among ten.", cachedTokens},
	{"Two cores", "The same work on two cores at once, to one: how much more gets done.", twoCores},
	{"Memory", "What the cache makes the heap grow, collected, for each token.", memory},
	{"While keys refresh", "Latencies of good requests through the middleware while the issuer takes half a second for its key set,\n" +
		"which must be fetched anew each second, and of those at an issuer at rest.", whileRefreshing},
}

func uniqueTokens(ctx context.Context, r *report) error {
	results, err := r.compare(ctx, comparisons["unique"])
	if err != nil {
		return err
	}
	r.goal("unique tokens "+strings.Join(r.algorithms, " / ")+", to raw, cache off", "≤ 1.10 / 1.06 / 1.06 / 1.10", byAlgorithm(results, r.algorithms, kitName))
	if err := r.draw(results); err != nil {
		return err
	}
	if kit, ok := named(results["RS256"], kitName); ok {
		r.goal("bytes · allocations of a unique RS256 token", "≤ 3,584 · 20", allocations(kit))
	}
	return nil
}

func missingTokens(ctx context.Context, r *report) error {
	results, err := r.compare(ctx, comparisons["missing"])
	if err != nil {
		return err
	}
	r.goal("the same, cache on and always missing", "≤ 1.13 / 1.08 / 1.08 / 1.13", byAlgorithm(results, r.algorithms, kitName))
	return nil
}

func decodedTokens(ctx context.Context, r *report) error {
	results, err := r.compare(ctx, comparisons["claims"])
	if err != nil {
		return err
	}
	r.goal("the same with t.Claims into a struct of 12 members, cache off", "RS256 ≤ 1.16; ahead of every peer", byAlgorithm(results, r.algorithms, kitName))
	if len(contender.Decoding) > 1 {
		next := contender.Decoding[1].Name
		r.goal("… "+next, "", byAlgorithm(results, r.algorithms, next))
	}
	return nil
}

func seenTokens(ctx context.Context, r *report) error {
	results, err := r.compare(ctx, comparisons["seen"])
	if err != nil {
		return err
	}
	if kit, ok := named(results["RS256"], kitName); ok {
		q := inverse(kit.Ratio)
		r.goal("a token seen before, RS256, to raw", "≤ 1/35, ≤ 1 allocation",
			fmt.Sprintf("1/%.0f (1/%.0f–1/%.0f), %.0f", q.Median, q.Q3, q.Q1, kit.Allocs))
	}
	if kit, ok := named(results["RS256"], kitName+", verify.ClaimsOf"); ok {
		r.goal("the same with its claims in a struct of 12 members, RS256, to raw", "≤ 0.05",
			fmt.Sprintf("%.3f (%.3f–%.3f)", kit.Ratio.Median, kit.Ratio.Q1, kit.Ratio.Q3))
	}
	return nil
}

// refusals are of tokens that no signature has to be checked for.
func refusals(ctx context.Context, r *report) error {
	return r.withTokens(ctx, "RS256", r.tokens, func(ctx context.Context, is *token.Issuer, tokens []token.Token) error {
		with := func(change func(*token.Claims)) string {
			c := token.NewClaims(0)
			change(&c)
			t, err := is.Sign(c)
			if err != nil {
				panic(err) // it has signed many
			}
			return t.Raw
		}
		_, rest, _ := strings.Cut(tokens[0].Raw, ".")
		header := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) + "." + rest }
		bad := []struct{ name, token string }{
			{"expired", with(func(c *token.Claims) { c.Expiry = time.Now().Add(-time.Hour).Unix() })},
			{"another audience", with(func(c *token.Claims) { c.Audience = "client_other" })},
			{"another issuer", with(func(c *token.Claims) { c.Issuer += "/" })},
			{"unknown kid", header(`{"alg":"RS256","kid":"nobody","typ":"at+jwt"}`)},
			{"another type", header(`{"alg":"RS256","kid":"` + is.KeyID + `","typ":"logout+jwt"}`)},
			{"no JWT", strings.Repeat("a", 900)},
			{"256 KB", with(func(c *token.Claims) { c.Session = strings.Repeat("s", 190<<10) })},
			{"100,000 dots", strings.Repeat(".", 100_000)},
			{"a header of 1 MiB", header(`{"alg":"RS256","kid":"` + strings.Repeat("k", 780<<10) + `","typ":"at+jwt"}`)},
		}
		v, err := contender.NewKit(is, 0)
		if err != nil {
			return err
		}
		kit := func(ctx context.Context, raw string) error { _, err := v.Verify(ctx, raw); return err }
		if err := kit(ctx, tokens[0].Raw); err != nil { // a service has seen a good one
			return err
		}
		peer := contender.All[1]
		other, err := peer.New(ctx, is)
		if err != nil {
			return err
		}
		subjects, err := withRaw(is, tokens, func() (list []paired.Subject, _ error) {
			for _, b := range bad {
				for _, c := range []contender.Contender{{Name: kitName}, {Name: peer.Name}} {
					// keyfunc asks the issuer about a kid it does not know:
					// that is another kind of work.
					if c.Name != kitName && b.name == "unknown kid" {
						continue
					}
					verify := kit
					if c.Name != kitName {
						verify = other
					}
					list = append(list, paired.Subject{Name: b.name + ", " + c.Name, Op: func(int) error {
						if verify(ctx, b.token) == nil && c.Name == kitName {
							return fmt.Errorf("accepted") // others may accept it, at their cost
						}
						return nil
					}})
				}
			}
			return list, nil
		})
		if err != nil {
			return err
		}
		results, err := r.list(subjects)
		if err != nil {
			return err
		}
		var worst paired.Result
		for _, s := range results {
			if strings.HasSuffix(s.Name, ", "+kitName) && s.Ratio.Median > worst.Ratio.Median {
				worst = s
			}
		}
		r.goal("refusals without a signature check, to raw RS256: the dearest ("+worst.Name+")", "≤ 0.10", ratio(worst.Ratio))
		return nil
	})
}

// scale is the cost with many keys and many issuers.
func scale(ctx context.Context, r *report) error {
	return r.withTokens(ctx, "ES256", r.tokens, func(ctx context.Context, is *token.Issuer, tokens []token.Token) error {
		keys := []verify.Key{contender.KitKey(is)}
		for i := range 99 {
			k := verifytest.NewKey("ES256")
			keys = append(keys, verify.Key{ID: fmt.Sprint("key", i), Algorithm: k.Algorithm, Public: k.Public()})
		}
		var issuers []verify.Issuer
		for i := range 63 {
			issuers = append(issuers, verify.Issuer{Issuer: fmt.Sprintf("https://issuer%d.example", i), Audience: []string{token.Audience}, Keys: jwks.Static(keys[i+1])})
		}
		for _, c := range []struct {
			name    string
			size    int
			subject func(context.Context, string, *verify.Verifier, []token.Token) paired.Subject
		}{{"unique", verify.NoCache, verifies}, {"seen before", 0, verifiesAgain}} {
			one := contender.KitConfig(is, c.size)
			many, several := one, one
			its := one.Issuers[0]
			its.Keys = jwks.Static(keys...)
			many.Issuers = []verify.Issuer{its}
			its.Keys = jwks.Static(keys[0])
			several.Issuers = append(issuers[:len(issuers):len(issuers)], its)
			var subjects []paired.Subject
			for _, s := range []struct {
				name   string
				config verify.Config
			}{{"1 key", one}, {"100 keys", many}, {"64 issuers", several}} {
				v, err := verify.New(s.config)
				if err != nil {
					return err
				}
				subjects = append(subjects, c.subject(ctx, s.name+", "+c.name, v, tokens))
			}
			results, err := r.list(subjects)
			if err != nil {
				return err
			}
			if len(results) == 3 {
				r.goal("1 to 100 keys, 1 to 64 issuers, "+c.name, "≤ 1.15", ratio(results[1].Ratio)+", "+ratio(results[2].Ratio))
			}
		}
		return nil
	})
}

func cachedTokens(ctx context.Context, r *report) error {
	return r.withTokens(ctx, "EdDSA", r.many, func(ctx context.Context, is *token.Issuer, tokens []token.Token) error {
		v, err := contender.NewKit(is, 2*len(tokens))
		if err != nil {
			return err
		}
		few, err := contender.NewKit(is, 2*len(tokens))
		if err != nil {
			return err
		}
		for _, t := range tokens {
			if _, err := v.Verify(ctx, t.Raw); err != nil {
				return err
			}
		}
		const stride = 7919 // a prime: all tokens have their turn
		// What a server has read a moment ago is in the processor's cache; the
		// texts of so many tokens are not. How much of the time is theirs,
		// hashing them shows.
		hash := func(n int) func(int) error {
			return func(i int) error {
				var room [2048]byte
				sha256.Sum256(room[:copy(room[:], tokens[i*stride%n].Raw)])
				return nil
			}
		}
		results, err := r.list([]paired.Subject{
			verifies(ctx, "among 10", few, tokens[:10]),
			{Name: fmt.Sprintf("among %d", len(tokens)), Op: func(i int) error {
				_, err := v.Verify(ctx, tokens[i*stride%len(tokens)].Raw)
				return err
			}},
			{Name: "SHA-256 of 10 tokens", Op: hash(10)},
			{Name: fmt.Sprintf("SHA-256 of %d tokens", len(tokens)), Op: hash(len(tokens))},
		})
		if err == nil && len(results) == 4 {
			r.goal(fmt.Sprintf("a hit among %d cached tokens, to one among 10", len(tokens)), "≤ 2.5", ratio(results[1].Ratio))
		}
		return err
	})
}

func twoCores(ctx context.Context, r *report) error {
	if runtime.GOMAXPROCS(0) < 2 {
		fmt.Fprintln(r.w, "\nThere is only one here.")
		return nil
	}
	return r.withTokens(ctx, "RS256", r.tokens, func(ctx context.Context, is *token.Issuer, tokens []token.Token) error {
		raw, err := contender.Raw(is, tokens)
		if err != nil {
			return err
		}
		off, err := contender.NewKit(is, verify.NoCache)
		if err != nil {
			return err
		}
		on, err := contender.NewKit(is, 0)
		if err != nil {
			return err
		}
		for _, work := range []struct {
			name  string
			op    func(i int) error
			batch int // what is done at a time, a few milliseconds' worth
		}{
			{"raw", raw, 4 * r.batch},
			{"unique", verifies(ctx, "", off, tokens).Op, 4 * r.batch},
			{"seen before", verifiesAgain(ctx, "", on, tokens).Op, 128 * r.batch},
		} {
			on := func(cores int) func(int) error {
				return func(i int) error {
					errs := make(chan error, cores)
					for c := range cores {
						go func() {
							var err error
							for k := range work.batch {
								if e := work.op((i*cores+c)*work.batch + k); e != nil {
									err = e
								}
							}
							errs <- err
						}()
					}
					var err error
					for range cores {
						if e := <-errs; e != nil {
							err = e
						}
					}
					return err
				}
			}
			o := r.options
			o.Rounds = max(1, o.Rounds/4)
			results, err := paired.Run([]paired.Subject{{Name: "one", Op: on(1)}, {Name: "two", Op: on(2)}}, o)
			if err != nil {
				return err
			}
			gain := inverse(results[1].Ratio)
			gain = paired.Quartiles{Q1: 2 * gain.Q1, Median: 2 * gain.Median, Q3: 2 * gain.Q3}
			fmt.Fprintf(r.w, "\n- %s: %s times as much", work.name, ratio(gain))
			r.goal("two cores to one, RS256, "+work.name, map[bool]string{true: "≥ 1.8"}[work.name != "raw"], ratio(gain))
		}
		fmt.Fprintln(r.w)
		return nil
	})
}

func memory(ctx context.Context, r *report) error {
	n := max(64, r.many/6)
	return r.withTokens(ctx, "RS256", n, func(ctx context.Context, is *token.Issuer, tokens []token.Token) error {
		before := heap()
		v, err := contender.NewKit(is, 2*n)
		if err != nil {
			return err
		}
		for _, t := range tokens {
			if _, err := v.Verify(ctx, t.Raw); err != nil {
				return err
			}
		}
		each := float64(heap()-before) / float64(n)
		runtime.KeepAlive(v)
		runtime.KeepAlive(tokens)
		fmt.Fprintf(r.w, "\n%.0f bytes for each of %d tokens of %d bytes; there was room for twice as many.\n", each, n, len(tokens[0].Raw))
		r.goal(fmt.Sprintf("memory for each cached token of %d bytes", len(tokens[0].Raw)), "≤ 1,536 bytes", fmt.Sprintf("%.0f bytes", each))
		return nil
	})
}

func heap() int64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
