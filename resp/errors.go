package resp

import "errors"

// ProtocolError is what a client is told before its connection is closed: the sentence a Redis server gives for the
// same bytes, without the leading "-" and the line end.
type ProtocolError struct{ reason string }

// Error returns the sentence, ready for AppendError.
func (e *ProtocolError) Error() string { return "ERR Protocol error: " + e.reason }

// Reason returns the sentence without "ERR Protocol error: ", for a log or a label.
func (e *ProtocolError) Reason() string { return e.reason }

var (
	errInlineTooBig     = &ProtocolError{"too big inline request"}
	errQuotes           = &ProtocolError{"unbalanced quotes in request"}
	errMultibulkTooLong = &ProtocolError{"too big mbulk count string"}
	errMultibulkLength  = &ProtocolError{"invalid multibulk length"}
	errBulkTooLong      = &ProtocolError{"too big bulk count string"}
	errBulkLength       = &ProtocolError{"invalid bulk length"}
	errRequestTooBig    = &ProtocolError{"too big request"} // ours: Redis closes such a client without a word
)

// errNotBulk says that c stands where a bulk must begin. Redis writes a line end as a blank there.
func errNotBulk(c byte) *ProtocolError {
	if c == '\r' || c == '\n' {
		c = ' '
	}
	return &ProtocolError{"expected '$', got '" + string([]byte{c}) + "'"}
}

// ErrIncomplete is returned for bytes that end before the reply does.
var ErrIncomplete = errors.New("resp: the reply is incomplete")
