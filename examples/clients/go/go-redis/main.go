// A first program with go-redis: go run ./go-redis [HOST:PORT]
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/redis/go-redis/v9"
)

func main() {
	addr := "127.0.0.1:6380"
	if len(os.Args) > 1 {
		addr = os.Args[1]
	}
	ctx := context.Background()
	rdb := redis.NewClient(&redis.Options{Addr: addr})
	defer rdb.Close()

	if err := rdb.Set(ctx, "greeting", "hello", time.Hour).Err(); err != nil {
		log.Fatal(err)
	}
	greeting, err := rdb.Get(ctx, "greeting").Result()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("get:", greeting)

	// One round trip, whichever servers the keys are on.
	replies, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range 100 {
			p.Set(ctx, fmt.Sprintf("item:%d", i), i, time.Hour)
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("pipeline:", len(replies), "replies")

	values, err := rdb.MGet(ctx, "item:1", "item:2", "no such item", "item:99").Result()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("mget:", values)

	// A transaction needs its keys on one server: what stands in braces decides.
	_, err = rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.HSet(ctx, "{user:1}:profile", "name", "Ada")
		p.Incr(ctx, "{user:1}:visits")
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("transaction: done")
}
