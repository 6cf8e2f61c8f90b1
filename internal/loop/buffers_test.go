package loop

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"unsafe"
)

func TestClassIsTheSmallestThatHolds(t *testing.T) {
	check := func(n int) {
		t.Helper()
		want := classes
		for c := classes - 1; c >= 0 && smallest<<(2*c) >= n; c-- {
			want = c
		}
		if got := class(n); got != want {
			t.Fatalf("class(%d) is %d, want %d", n, got, want)
		}
	}
	for n := range largest + 2 {
		check(n)
	}
	check(1 << 30)
}

func TestBuffersKeepTheirContents(t *testing.T) {
	l := &Loop{}
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var b, want []byte
		for len(want) < 1<<r.IntN(20) {
			p := make([]byte, r.IntN(1<<r.IntN(15))+1)
			for i := range p {
				p[i] = byte(r.Uint32())
			}
			if r.IntN(3) == 0 {
				b = l.Grow(b, len(p)+r.IntN(1000))
				if cap(b)-len(b) < len(p) {
					t.Fatalf("%d bytes of room for %d", cap(b)-len(b), len(p))
				}
			}
			b, want = l.Append(b, p), append(want, p...)
			if !bytes.Equal(b, want) {
				t.Fatalf("contents differ at %d bytes", len(want))
			}
		}
		l.Release(b)
	}
	lentOnce(t, l)
}

func TestReleasedBuffersAreUsedAgain(t *testing.T) {
	l := &Loop{}
	for n := 1; n <= largest; n *= 3 {
		b := l.Buffer(n)
		if len(b) != 0 || cap(b) < n {
			t.Fatalf("Buffer(%d) has length %d, capacity %d", n, len(b), cap(b))
		}
		first := unsafe.SliceData(b)
		l.Release(append(b, "left over"...)[:3])
		if again := l.Buffer(n); len(again) != 0 || unsafe.SliceData(again) != first {
			t.Fatalf("Buffer(%d) is another one than was released", n)
		}
	}
	if allocs := testing.AllocsPerRun(100, func() {
		b := l.Append(nil, make([]byte, 0, 100)[:100])
		for range 5 {
			b = l.Grow(b, cap(b))
		}
		l.Release(b[:0])
	}); allocs > 1 { // the last one is over the largest class
		t.Errorf("growing through all classes allocates %v times", allocs)
	}
	if l.Release(nil); l.Buffer(1) == nil {
		t.Error("nil was lent")
	}
}

func TestFreeBuffersAreBounded(t *testing.T) {
	l := &Loop{}
	for range 100 {
		l.Release(make([]byte, 0, largest))
		l.Release(make([]byte, 0, largest*4))
		l.Release(make([]byte, 0, 700))
	}
	kept := 0
	for c := range l.bufs.free {
		for _, b := range l.bufs.free[c] {
			if cap(b) != smallest<<(2*c) {
				t.Errorf("a buffer of %d bytes is kept in class %d", cap(b), c)
			}
			kept += cap(b)
		}
	}
	if kept != keptInClass {
		t.Errorf("%d bytes are kept, want %d", kept, keptInClass)
	}
}

// lentOnce fails the test if a buffer is twice among the free ones: two owners would write into it.
func lentOnce(t testing.TB, l *Loop) {
	t.Helper()
	seen := map[*byte]bool{}
	for _, class := range l.bufs.free {
		for _, b := range class {
			p := unsafe.SliceData(b[:1])
			if seen[p] {
				t.Fatalf("a buffer of %d bytes was released twice", cap(b))
			}
			seen[p] = true
		}
	}
}
