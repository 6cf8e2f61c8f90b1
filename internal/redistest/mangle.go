package redistest

// Lend returns a copy of b as a lender would hand it out, and a function that ends the loan: it overwrites the copy, so
// that whoever kept a piece of it instead of copying sees rubbish and fails loudly.
func Lend(b []byte) (loan []byte, giveBack func()) {
	loan = append(make([]byte, 0, len(b)), b...)
	return loan, func() { Mangle(loan) }
}

// Mangle overwrites a buffer whose loan has ended, its spare capacity too.
func Mangle(b []byte) {
	b = b[:cap(b)]
	for i := range b {
		b[i] = 0xdb
	}
}
