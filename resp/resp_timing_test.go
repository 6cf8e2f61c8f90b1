package resp

import (
	"fmt"
	"testing"
)

func BenchmarkRequest(b *testing.B) {
	requests := map[string][]byte{}
	for _, size := range []int{3, 16, 4096} {
		requests[fmt.Sprintf("cmd=GET/size=%d", size)] = AppendCommand(nil, "GET", text(size))
		requests[fmt.Sprintf("cmd=SET/size=%d", size)] = AppendCommand(nil, "SET", "key:000012345678", text(size))
	}
	for _, n := range []int{10, 100, 1000} {
		requests[fmt.Sprintf("cmd=MGET/args=%d", n)] = AppendCommand(nil, many("MGET", n)...)
	}
	requests["cmd=INLINE/args=2"] = []byte("GET foo\r\n")
	for _, name := range sortedKeys(requests) {
		in := requests[name]
		b.Run(name, func(b *testing.B) {
			var s RequestScanner
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				if n, err := s.Scan(in); n != len(in) || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}

func BenchmarkReply(b *testing.B) {
	replies := map[string][]byte{
		"type=simple/size=2":   []byte("+OK\r\n"),
		"type=int/size=2":      []byte(":12\r\n"),
		"type=bulk/size=3":     []byte("$3\r\nabc\r\n"),
		"type=bulk/size=4096":  AppendBulkString(nil, text(4096)),
		"type=null/size=0":     []byte("$-1\r\n"),
		"type=array/size=100":  AppendCommand(nil, many("x", 99)...),
		"type=array/size=1000": AppendCommand(nil, many("x", 999)...),
	}
	for _, name := range sortedKeys(replies) {
		in := replies[name]
		b.Run(name, func(b *testing.B) {
			var s ReplyScanner
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				if n, done, err := s.Scan(in); n != len(in) || !done || err != nil {
					b.Fatal(n, done, err)
				}
			}
		})
	}
}

func BenchmarkElement(b *testing.B) {
	in := AppendCommand(nil, many("x", 99)...)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		n, rest, err := ArrayLen(in)
		if err != nil {
			b.Fatal(err)
		}
		for range n {
			if _, rest, err = Element(rest); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// A long value that comes in pieces, as a loop reads it.
func BenchmarkRequestInPieces(b *testing.B) {
	in := AppendCommand(nil, "SET", "k", text(8<<20))
	var s RequestScanner
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for given := 64 << 10; n == 0; given += 64 << 10 {
			n, _ = s.Scan(in[:min(given, len(in))])
		}
	}
}
