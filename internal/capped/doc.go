// Package capped has small Redis-like servers in this process that take so many commands a second and no more: what a router does for nodes
// which can't keep up can be seen with them on a machine of two cores. They know strings, expiry, databases and CLIENT TRACKING, as far as a
// router asks for them; what they answer is compared with a real server's in the tests.
//
// A node carries commands out one after the other, in the order in which they came, whoever has sent them, and each takes as long as
// the others. Nothing sleeps for that: a node knows when it will be free again, to the nanosecond, and looks at intervals what should be
// finished by now. So replies are late by an interval at most, and the rate is right on any machine that can carry it at all.
//
//	connection --\                  at each tick: all that is finished by now
//	connection ---> queue of node ------------> carry out --> out of each connection --one write each-->
//	connection --/
//
// All nodes of a Fleet are served by one goroutine for the ticks, and one for each connection, which reads.
package capped
