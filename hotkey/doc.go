// Package hotkey says which keys get more than their share of a pool's commands, and how much more.
//
// Each event loop has a Detector, which it shows a sample of its commands. A Tally adds up what the detectors of all loops have seen
// and decides: a key is hot when its share of the commands is a tenth of a node's, 0.1/N of N nodes, for that is where one key begins to
// unbalance them. It is a share and not a rate, because a router that sees a hundred commands a second, one of a thousand beside as
// many programs, sees the same shares as all of them together.
//
//	loop 0: sampled commands --> Detector --Report--\
//	loop 1: sampled commands --> Detector --Report---> Tally --> Set, which never changes; another takes its place
//
// The package is told the time and never asks it, opens no connection, and knows neither rings nor commands. A Detector belongs to
// its loop; a Tally may be used by all of them. Neither allocates while the keys that are often seen stay the same.
package hotkey
