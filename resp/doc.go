// Package resp reads and writes the Redis wire protocol, RESP2 and RESP3.
//
// RequestScanner finds requests in what a client sent, ReplyScanner finds where the replies of a server end. Neither
// copies: what they return points into the caller's buffer and lives as long as it does. Both stop wherever the bytes
// end and go on from there. Encoders append to the slice they are given and return it. Nothing here knows sockets,
// commands or time.
package resp
