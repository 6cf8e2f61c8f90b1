package resp

import "errors"

// ProtocolError is what a client is told before its connection is closed: the sentence a Redis server gives for the
// same bytes, without the leading "-" and the line end.
type ProtocolError struct {
	reason string
	bound  Bound
}

// Bound is the one of the Limits that a request was beyond.
type Bound uint8

const (
	NoBound      Bound = iota // it is no request at all
	BoundInline               // MaxInline
	BoundArgs                 // MaxArgs
	BoundBulk                 // MaxBulk
	BoundRequest              // MaxRequest
)

// Error returns the sentence, ready for AppendError.
func (e *ProtocolError) Error() string { return "ERR Protocol error: " + e.reason }

// Reason returns the sentence without "ERR Protocol error: ", for a log or a label.
func (e *ProtocolError) Reason() string { return e.reason }

// Bound returns which limit the request was beyond.
func (e *ProtocolError) Bound() Bound { return e.bound }

var (
	errInlineTooBig     = &ProtocolError{"too big inline request", BoundInline}
	errQuotes           = &ProtocolError{"unbalanced quotes in request", NoBound}
	errMultibulkTooLong = &ProtocolError{"too big mbulk count string", NoBound}
	errMultibulkLength  = &ProtocolError{"invalid multibulk length", NoBound}
	errTooManyArgs      = &ProtocolError{"invalid multibulk length", BoundArgs} // as Redis has it
	errBulkTooLong      = &ProtocolError{"too big bulk count string", NoBound}
	errBulkLength       = &ProtocolError{"invalid bulk length", NoBound}
	errBulkTooBig       = &ProtocolError{"invalid bulk length", BoundBulk} // likewise
	errRequestTooBig    = &ProtocolError{"too big request", BoundRequest}  // ours: Redis closes such a client without a word
)

// errNotBulk says that c stands where a bulk must begin. Redis writes a line end as a blank there.
func errNotBulk(c byte) *ProtocolError {
	if c == '\r' || c == '\n' {
		c = ' '
	}
	return &ProtocolError{"expected '$', got '" + string([]byte{c}) + "'", NoBound}
}

// ErrIncomplete is returned for bytes that end before the reply does.
var ErrIncomplete = errors.New("resp: the reply is incomplete")
