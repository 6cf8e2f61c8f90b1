// Package pool is what a backend is: nodes, and lanes, the pipelined connections to them.
//
// A Lane is one connection from one event loop to one node, for one RESP version and database. The requests of many
// clients share it; a node answers in order, so a lane is a queue of who is waiting. Lanes are opened when first
// needed and belong to their loop: nothing here may be called from another goroutine unless it says so.
//
// A lane knows nothing of commands or clients. Whoever puts a request on it is its Owner, and gets either the reply's
// bytes, which are lent for the call, or the reason why there is none.
package pool
