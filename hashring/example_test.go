package hashring_test

import (
	"fmt"

	"ringway/hashring"
)

func Example() {
	nodes := []hashring.Node{{Name: "redis-0", Weight: 1}, {Name: "redis-1", Weight: 1}, {Name: "redis-2", Weight: 2}}
	ring, err := hashring.New(nodes, hashring.Options{HashTag: "{}"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, key := range []string{"{user:1000}:cart", "{user:1000}:orders", "session:abcdef"} {
		partition, _ := ring.Partition([]byte(key))
		fmt.Printf("%s: partition %d, on %s\n", key, partition, nodes[ring.Find([]byte(key))].Name)
	}
	// Output:
	// {user:1000}:cart: partition 4106, on redis-1
	// {user:1000}:orders: partition 4106, on redis-1
	// session:abcdef: partition 7875, on redis-2
}
