// Package redistest is the test bench: real servers, scripted nodes and a client that shows raw bytes.
//
// Everything listens on loopback only, on ports it picks, and is gone when the test ends. Functions that take a
// testing.TB end the test when they fail and so belong on the test's own goroutine; the Try methods
// of Conn may be used on any. Nothing here uses the packages under test: the reply reader is a slow, obvious
// one, so that the two readers check each other.
package redistest
