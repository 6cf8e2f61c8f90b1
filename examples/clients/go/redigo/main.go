// A first program with redigo: go run ./redigo [HOST:PORT]
package main

import (
	"fmt"
	"log"
	"os"

	"github.com/gomodule/redigo/redis"
)

func main() {
	addr := "127.0.0.1:6380"
	if len(os.Args) > 1 {
		addr = os.Args[1]
	}
	pool := &redis.Pool{MaxIdle: 4, Dial: func() (redis.Conn, error) { return redis.Dial("tcp", addr) }}
	defer pool.Close()
	conn := pool.Get()
	defer conn.Close()

	if _, err := conn.Do("SET", "greeting", "hello", "EX", 3600); err != nil {
		log.Fatal(err)
	}
	greeting, err := redis.String(conn.Do("GET", "greeting"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("get:", greeting)

	// One round trip, whichever servers the keys are on.
	for i := range 100 {
		if err := conn.Send("SET", fmt.Sprintf("item:%d", i), i, "EX", 3600); err != nil {
			log.Fatal(err)
		}
	}
	replies, err := redis.Values(conn.Do(""))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("pipeline:", len(replies), "replies")

	values, err := redis.Strings(conn.Do("MGET", "item:1", "item:2", "no such item", "item:99"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("mget: %q\n", values)
}
