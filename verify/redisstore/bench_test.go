//go:build unix

package redisstore_test

import (
	"encoding/base64"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/bearerkit/bearerkit/internal/redistest"
	"github.com/bearerkit/bearerkit/verify/redisstore"
)

// BenchmarkFirst compares a call of the store with the bare command, in turns on
// one Redis, and reports the ratio.
func BenchmarkFirst(b *testing.B) {
	server := redistest.Start(b)
	s := open(b, redisstore.Config{URL: server.URL()})
	option, err := rueidis.ParseURL(server.URL())
	if err != nil {
		b.Fatal(err)
	}
	option.DisableCache = true
	c, err := rueidis.NewClient(option)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	first(b, s, -1, true)
	var own, bare time.Duration
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		key := id(2 * n)
		began := time.Now()
		if ok, err := s.First(ctx, key, began.Add(time.Minute)); !ok || err != nil {
			b.Fatal(ok, err)
		}
		own += time.Since(began)
		key = id(2*n + 1)
		began = time.Now()
		text := "bearerkit:bare:" + base64.RawURLEncoding.EncodeToString(key[:])
		if err := c.Do(ctx, c.B().Set().Key(text).Value("").Nx().PxMilliseconds(60000).Build()).Error(); err != nil {
			b.Fatal(err)
		}
		bare += time.Since(began)
	}
	b.ReportMetric(float64(own.Nanoseconds())/float64(n), "ns/First")
	b.ReportMetric(float64(bare.Nanoseconds())/float64(n), "ns/bare")
	b.ReportMetric(float64(own)/float64(bare), "ratio")
}

// BenchmarkFirstParallel has many requests at once.
func BenchmarkFirstParallel(b *testing.B) {
	server := redistest.Start(b)
	s := open(b, redisstore.Config{URL: server.URL()})
	b.SetParallelism(64)
	b.ReportAllocs()
	var n atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if ok, err := s.First(ctx, id(int(n.Add(1))), inAMinute()); !ok || err != nil {
				b.Error(ok, err)
				return
			}
		}
	})
}
