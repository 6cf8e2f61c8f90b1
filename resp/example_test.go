package resp_test

import (
	"fmt"

	"ringway/resp"
)

// A loop reads into one buffer and gives the scanner what is there. What is left of an unfinished request is given
// again, with more.
func ExampleRequestScanner() {
	var requests resp.RequestScanner
	b := []byte("*2\r\n$3\r\nGET\r\n$1\r\na\r\nset 'my key' 1\r\n*2\r\n$3\r\nGE")
	for {
		n, err := requests.Scan(b)
		if err != nil {
			fmt.Printf("-%v, and goodbye\n", err)
			return
		}
		if n == 0 {
			fmt.Printf("%q is incomplete, it has at least %d bytes\n", b, requests.Want())
			return
		}
		fmt.Printf("%s %q: forward %q\n", requests.Args.At(0), requests.Args.At(1), requests.Bytes(b))
		b = b[n:]
	}
	// Output:
	// GET "a": forward "*2\r\n$3\r\nGET\r\n$1\r\na\r\n"
	// set "my key": forward "*3\r\n$3\r\nset\r\n$6\r\nmy key\r\n$1\r\n1\r\n"
	// "*2\r\n$3\r\nGE" is incomplete, it has at least 13 bytes
}

func ExampleReplyScanner() {
	var replies resp.ReplyScanner
	for _, piece := range []string{"+OK\r\n*2\r\n$1\r\n", "a\r\n:1\r", "\n"} {
		for b := []byte(piece); len(b) > 0; {
			n, done, err := replies.Scan(b)
			if err != nil {
				fmt.Println(err)
				return
			}
			fmt.Printf("%q done=%v\n", b[:n], done)
			b = b[n:]
		}
	}
	// Output:
	// "+OK\r\n" done=true
	// "*2\r\n$1\r\n" done=false
	// "a\r\n:1\r" done=false
	// "\n" done=true
}
