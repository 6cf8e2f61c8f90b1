// A first program with rueidis: go run ./rueidis [HOST:PORT]
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strconv"

	"github.com/redis/rueidis"
)

func main() {
	addr := "127.0.0.1:6380"
	if len(os.Args) > 1 {
		addr = os.Args[1]
	}
	ctx := context.Background()
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{addr}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	if err := client.Do(ctx, client.B().Set().Key("greeting").Value("hello").ExSeconds(3600).Build()).Error(); err != nil {
		log.Fatal(err)
	}
	greeting, err := client.Do(ctx, client.B().Get().Key("greeting").Build()).ToString()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("get:", greeting)

	// One round trip, whichever servers the keys are on.
	var cmds rueidis.Commands
	for i := range 100 {
		n := strconv.Itoa(i)
		cmds = append(cmds, client.B().Set().Key("item:"+n).Value(n).ExSeconds(3600).Build())
	}
	for _, reply := range client.DoMulti(ctx, cmds...) {
		if err := reply.Error(); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("pipeline:", len(cmds), "replies")

	values, err := client.Do(ctx, client.B().Mget().Key("item:1", "item:2", "no such item", "item:99").Build()).AsStrSlice()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("mget: %q\n", values)
}
