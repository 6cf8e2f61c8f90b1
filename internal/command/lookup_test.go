package command

import (
	"bytes"
	"strings"
	"testing"
)

func TestLookupFindsEveryCommandInAnyCase(t *testing.T) {
	for _, c := range All() {
		name, sub, _ := strings.Cut(c.Name, "|")
		mixed := []byte(name)
		for i := range mixed {
			if i%2 == 0 {
				mixed[i] = bytes.ToUpper(mixed[i : i+1])[0]
			}
		}
		for _, n := range [][]byte{[]byte(name), bytes.ToUpper([]byte(name)), mixed} {
			got := Lookup(n)
			if got == nil || got.Name != name {
				t.Fatalf("Lookup(%q) is %v", n, got)
			}
			if sub != "" {
				got = got.Sub(bytes.ToUpper([]byte(sub)))
				if got != c || got.Parent().Name != name {
					t.Errorf("%s: the subcommand %s is %v", name, sub, got)
				}
			}
		}
		if c.ID < 0 || All()[c.ID] != c {
			t.Errorf("%s has the ID %d", c.Name, c.ID)
		}
	}
}

// A name that differs in one bit is another one, unless the bit is the case of a letter.
func TestLookupDoesNotFindWhatOnlyLooksAlike(t *testing.T) {
	for _, c := range All() {
		if c.Parent() != nil {
			continue
		}
		for i := range len(c.Name) {
			for bit := range 8 {
				n := []byte(c.Name)
				n[i] ^= 1 << bit
				want := Lookup(bytes.ToLower(n))
				if want != nil && want.Name != strings.ToLower(string(n)) {
					want = nil
				}
				if got := Lookup(n); got != want {
					t.Errorf("Lookup(%q) is %v", n, got)
				}
			}
			for _, n := range []string{c.Name[:i], c.Name[i:][1:], c.Name + c.Name[:i+1]} {
				if got := Lookup([]byte(n)); got != nil && got.Name != n {
					t.Errorf("Lookup(%q) is %s", n, got.Name)
				}
			}
		}
	}
	for _, n := range []string{"", "|", "client|id", strings.Repeat("a", 100), "\x00", "get\x00"} {
		if got := Lookup([]byte(n)); got != nil {
			t.Errorf("Lookup(%q) is %s", n, got.Name)
		}
	}
}

func TestLookupAndKeysDoNotAllocate(t *testing.T) {
	a := request("MGET", "a", "b", "c")
	dst := make([]int, 0, 8)
	if n := testing.AllocsPerRun(100, func() {
		c := Lookup(a.At(0))
		dst, _ = c.Keys(dst, a)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// sink keeps the compiler from dropping what is measured.
var sink int

func BenchmarkLookup(b *testing.B) {
	for _, name := range []string{"get", "GET", "set", "expire", "zrangebyscore", "georadiusbymember_ro", "nosuch"} {
		n := []byte(name)
		b.Run("name="+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if c := Lookup(n); c != nil {
					sink += c.ID
				}
			}
		})
	}
	b.Run("name=mixed", func(b *testing.B) {
		var all [][]byte
		for _, c := range All() {
			if c.Parent() == nil {
				all = append(all, []byte(c.Name))
			}
		}
		i := 0
		for b.Loop() {
			sink += Lookup(all[i%len(all)]).ID
			i++
		}
	})
}

func BenchmarkKeys(b *testing.B) {
	for _, line := range []string{"GET a", "MGET a b c d e f g h i j", "EVAL x 2 a b c", "XREAD COUNT 1 STREAMS a b 0 0"} {
		a := request(strings.Fields(line)...)
		c := Lookup(a.At(0))
		dst := make([]int, 0, 16)
		b.Run("cmd="+c.Name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				dst, _ = c.Keys(dst, a)
				sink += len(dst)
			}
		})
	}
}
