// Package redisstore keeps in Redis what the replicas of a service have to share:
// which DPoP proofs were used. A [Store] is a
// [github.com/bearerkit/bearerkit/verify/dpop.ReplayStore].
//
//	store, err := redisstore.New(redisstore.Config{
//		URL:     os.Getenv("REDIS_URL"), // redis://user:password@redis.internal:6379/0
//		Service: "orders",
//	})
//
// # What is kept
//
// For each proof a key with the service's name and a hash, no value, and a time
// after which it is gone: "bearerkit:orders:proof:…". Nothing of a token, a proof
// or a client can be read from it. A service needs the commands HELLO, SELECT,
// CLIENT and SET, CLUSTER SLOTS for a cluster, and CONFIG GET if the store is to warn
// of a maxmemory-policy that evicts keys: an evicted key is a proof that can be used
// again. Set the policy to "noeviction", and use a Redis that is not a cache for something
// else.
//
// # When Redis is down
//
// Nothing is connected before it is needed, so that a service starts without
// Redis. A call takes [Config.Timeout] at most, then it is an error, and what
// needed it is refused with 503. A call is never made again: if the first one had
// reached the Redis, the second would call the proof a replay. After a few
// failures in a row only one call every quarter of a second tries; the others
// fail at once.
//
// A Redis that fails over can lose the last writes, because it replicates
// asynchronously. The proofs of that moment can then be used a second time.
package redisstore
