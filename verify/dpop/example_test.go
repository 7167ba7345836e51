package dpop_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/bearerkit/bearerkit/verify/dpop"
)

func ExampleOrigins_Match() {
	// The proxy takes "/api" off, and sends its own name for the service as Host.
	origins, err := dpop.NewOrigins([]string{"https://example.com/api"}, false)
	if err != nil {
		panic(err)
	}
	fmt.Println(origins.Match("https://example.com/api/orders", "orders.internal:8080", "/orders?page=2"))
	fmt.Println(origins.Match("HTTPS://Example.com:443/api/%6frders", "orders.internal:8080", "/orders"))
	fmt.Println(origins.Match("https://example.com/api/orders", "orders.internal:8080", "/orders/1"))
	// Output:
	// true
	// true
	// false
}

func ExampleNonces() {
	secret := sha256.Sum256([]byte("in earnest, 32 random bytes that all replicas have"))
	nonces, err := dpop.NewNonces("orders", [][]byte{secret[:]})
	if err != nil {
		panic(err)
	}
	now := time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)
	nonce := nonces.Current(now)
	for _, after := range []time.Duration{0, time.Minute, 3 * time.Minute} {
		known, ok := nonces.Check(nonce, now.Add(after))
		fmt.Println(ok, known.Newest)
	}
	// Output:
	// true true
	// true false
	// false false
}

func ExampleMemory() {
	var used dpop.Memory
	proof := sha256.Sum256([]byte("service, key and jti"))
	until := time.Now().Add(90 * time.Second)
	for range 2 {
		first, err := used.First(context.Background(), proof, until)
		fmt.Println(first, err)
	}
	// Output:
	// true <nil>
	// false <nil>
}
