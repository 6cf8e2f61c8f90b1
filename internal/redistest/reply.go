package redistest

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
)

// ReadReply appends the bytes of one whole reply, RESP2 or RESP3, to dst and returns it. An attribute belongs to the reply
// that it precedes; a push is a reply of its own. It follows nesting by recursion, which is fine for replies of servers
// one started oneself.
func ReadReply(r *bufio.Reader, dst []byte) ([]byte, error) {
	start := len(dst)
	dst, err := readLine(r, dst)
	if err != nil {
		return dst, err
	}
	line := dst[start:]
	switch line[0] {
	case '+', '-', ':', '_', ',', '#', '(':
		return dst, nil
	case '$', '!', '=':
		n, err := replyLength(line)
		if err != nil || n < 0 {
			return dst, err
		}
		at := len(dst)
		dst = append(dst, make([]byte, n+2)...)
		if _, err := io.ReadFull(r, dst[at:]); err != nil {
			return dst[:at], err
		}
		if dst[len(dst)-2] != '\r' || dst[len(dst)-1] != '\n' {
			return dst, fmt.Errorf("reply: a string of %d bytes is followed by %q instead of CRLF", n, dst[len(dst)-2:])
		}
		return dst, nil
	case '*', '~', '>', '%', '|':
		n, err := replyLength(line)
		if err != nil {
			return dst, err
		}
		switch line[0] {
		case '%':
			n *= 2
		case '|':
			n = 2*n + 1
		}
		for ; n > 0; n-- {
			if dst, err = ReadReply(r, dst); err != nil {
				return dst, err
			}
		}
		return dst, nil
	}
	return dst, fmt.Errorf("reply: %q begins no known type", line)
}

func readLine(r *bufio.Reader, dst []byte) ([]byte, error) {
	start := len(dst)
	for {
		part, err := r.ReadSlice('\n')
		dst = append(dst, part...)
		if err == bufio.ErrBufferFull {
			continue
		}
		if err != nil {
			if err == io.EOF && len(dst) > start {
				err = io.ErrUnexpectedEOF
			}
			return dst, err
		}
		if n := len(dst); n-start < 3 || dst[n-2] != '\r' {
			return dst, fmt.Errorf("reply: %q is not a line of RESP", dst[start:])
		}
		return dst, nil
	}
}

func replyLength(line []byte) (int, error) {
	n, err := strconv.Atoi(string(line[1 : len(line)-2]))
	if err != nil || n < -1 {
		return 0, fmt.Errorf("reply: %q has no valid length", line)
	}
	return n, nil
}
