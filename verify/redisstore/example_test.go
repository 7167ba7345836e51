package redisstore_test

import (
	"fmt"
	"log"
	"os"

	"github.com/bearerkit/bearerkit/verify/redisstore"
)

func Example() {
	used, err := redisstore.New(redisstore.Config{
		URL:     os.Getenv("REDIS_URL"), // redis://user:password@redis.internal:6379/0
		Service: "orders",
	})
	if err != nil {
		log.Fatal(err) // names every fault, and nothing of the URL
	}
	defer used.Close()
	fmt.Println(used.Health().State) // "idle": nothing is connected before the first proof
}
