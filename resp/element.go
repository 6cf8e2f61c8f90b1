package resp

import (
	"bytes"
	"fmt"
)

// The functions of this file read complete replies. They look past the attributes of a reply.

// Element returns the first reply or element of b, with its attributes and all that is nested in it, and what follows.
// The error is ErrIncomplete if b ends first.
func Element(b []byte) (elem, rest []byte, err error) {
	var s ReplyScanner
	n, done, err := s.Scan(b)
	if err != nil {
		return nil, b, err
	}
	if !done {
		return nil, b, ErrIncomplete
	}
	return b[:n:n], b[n:], nil
}

// ArrayLen returns how many elements an array, a set or a push has, or the keys and values of a map together, and the
// bytes of the first of them on. For a null it returns -1.
func ArrayLen(b []byte) (n int, rest []byte, err error) {
	b, err = skipAttributes(b)
	if err != nil {
		return 0, b, err
	}
	if len(b) > 0 && b[0] == '_' {
		_, rest, err := Element(b)
		return -1, rest, err
	}
	if len(b) == 0 {
		return 0, b, ErrIncomplete
	}
	perElement := 1
	switch shapes[b[0]] {
	case elements:
	case pairs:
		perElement = 2
	default:
		return 0, b, fmt.Errorf("resp: expected an array, got a %q", b[0])
	}
	n, rest, err = header(b)
	return n * perElement, rest, err
}

// Int returns the value of an integer reply.
func Int(b []byte) (int64, error) {
	b, err := skipAttributes(b)
	if err != nil {
		return 0, err
	}
	if len(b) == 0 {
		return 0, ErrIncomplete
	}
	if b[0] != ':' {
		return 0, fmt.Errorf("resp: expected an integer, got a %q", b[0])
	}
	end := plainLine(b, 0)
	if end == 0 {
		return 0, ErrIncomplete
	}
	n, ok := parseInt(b[1 : end-2])
	if !ok {
		return 0, fmt.Errorf("resp: %q is no integer", b[1:end-2])
	}
	return n, nil
}

// IsError tells whether a reply is an error.
func IsError(b []byte) bool {
	b, err := skipAttributes(b)
	return err == nil && len(b) > 0 && (b[0] == '-' || b[0] == '!')
}

// header reads a type byte and a length, -1 for a null array, and returns what follows them.
func header(b []byte) (n int, rest []byte, err error) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return 0, b, ErrIncomplete
	}
	if i < 2 || b[i-1] != '\r' {
		return 0, b, fmt.Errorf("resp: %q is no header", b[:i+1])
	}
	length, ok := parseInt(b[1 : i-1])
	if !ok || length < -1 || length == -1 && b[0] != '*' || length > maxLength {
		return 0, b, fmt.Errorf("resp: %q has no length", b[:i-1])
	}
	return int(length), b[i+1:], nil
}

// skipAttributes returns b from the type byte of the reply itself on.
func skipAttributes(b []byte) ([]byte, error) {
	for len(b) > 0 && b[0] == '|' {
		n, rest, err := header(b)
		if err != nil {
			return b, err
		}
		for range 2 * n {
			if _, rest, err = Element(rest); err != nil {
				return b, err
			}
		}
		b = rest
	}
	return b, nil
}
