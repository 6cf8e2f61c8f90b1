package resp

// Span is where an argument stands in a request's buffer, in bytes.
type Span struct{ Off, Len int32 }

// Args are the arguments of one request, the command's name first. They point into Buf, which belongs to
// whoever lent it to the scanner, and live as long as it does.
type Args struct {
	Buf   []byte
	Spans []Span
}

// Len returns the number of arguments, the command's name included.
func (a *Args) Len() int { return len(a.Spans) }

// At returns argument i. It does not copy.
func (a *Args) At(i int) []byte {
	s := a.Spans[i]
	return a.Buf[s.Off : s.Off+s.Len : s.Off+s.Len]
}
