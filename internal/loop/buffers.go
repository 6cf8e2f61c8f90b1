package loop

import "math/bits"

// Buffers that are in use only while something is under way are lent by the loop and given back when empty, so that
// an idle connection holds none and a busy one never allocates. Five sizes, each four times the one before.
const (
	smallest    = 512
	classes     = 5
	largest     = smallest << (2 * (classes - 1)) // 128 KiB
	keptInClass = 4 << 20                         // bytes of free buffers kept per size
)

type buffers struct{ free [classes][][]byte }

// class returns the smallest class that holds n bytes, or classes if none does.
func class(n int) int {
	if n <= smallest {
		return 0
	}
	if n > largest {
		return classes
	}
	return (bits.Len(uint(n-1)) - bits.Len(uint(smallest-1)) + 1) / 2
}

func (p *buffers) get(n int) []byte {
	c := class(n)
	if c == classes {
		return make([]byte, 0, n)
	}
	if f := p.free[c]; len(f) > 0 {
		b := f[len(f)-1]
		p.free[c] = f[:len(f)-1]
		return b
	}
	return make([]byte, 0, smallest<<(2*c))
}

func (p *buffers) put(b []byte) {
	c := class(cap(b))
	if c == classes || cap(b) != smallest<<(2*c) || len(p.free[c])*cap(b) >= keptInClass {
		return
	}
	p.free[c] = append(p.free[c], b[:0])
}

// Buffer lends an empty buffer of at least n bytes.
func (l *Loop) Buffer(n int) []byte { return l.bufs.get(n) }

// Release gives a buffer back. The caller must not touch it again. Nil is allowed.
func (l *Loop) Release(b []byte) {
	if b != nil {
		l.bufs.put(b)
	}
}

// Append appends p to b, where b is nil or was lent by the loop, and returns the buffer that b has become.
func (l *Loop) Append(b, p []byte) []byte {
	if len(b)+len(p) > cap(b) {
		b = l.Grow(b, len(p))
	}
	return append(b, p...)
}

// Grow makes room for n more bytes behind b.
func (l *Loop) Grow(b []byte, n int) []byte {
	if len(b)+n <= cap(b) {
		return b
	}
	need := len(b) + n
	if need > largest {
		need = max(need, 2*cap(b))
	}
	nb := append(l.bufs.get(need), b...)
	l.Release(b)
	return nb
}
