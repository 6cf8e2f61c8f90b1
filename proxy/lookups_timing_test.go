package proxy

import (
	"testing"

	"ringway/internal/command"
)

// What it costs a reply that it is looked at whether it is a hit; and a request, that its key may have a prefix that counts.
func BenchmarkLookups(b *testing.B) {
	for _, x := range []struct{ name, reply string }{
		{"set", "+OK\r\n"}, {"get", "$5\r\nhello\r\n"}, {"mget", "*4\r\n$5\r\nhello\r\n$-1\r\n$5\r\nhello\r\n$-1\r\n"},
	} {
		b.Run("of=reply/command="+x.name, func(b *testing.B) {
			s := &Session{pool: &poolState{}}
			sl, reply := &slot{command: command.Lookup([]byte(x.name))}, []byte(x.reply)
			b.ReportAllocs()
			for b.Loop() {
				s.lookedUp(sl, reply[0], reply)
			}
		})
	}
	for name, prefixes := range map[string][]string{"1": {"user:"}, "16": {"a:", "b:", "c:", "d:", "e:", "f:", "g:", "h:", "i:", "j:", "k:", "l:", "m:", "n:", "o:", "user:"}} {
		b.Run("of=key/prefixes="+name, func(b *testing.B) {
			ps, key := &poolState{prefixes: prefixes}, []byte("user:12345")
			for b.Loop() {
				ps.prefixOf(key)
			}
		})
	}
}
