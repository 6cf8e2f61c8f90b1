// Package warmmodel is the protocol of warm scaling (docs/decisions/0004-warm-scaling.md) as two small machines, and a search
// through all their states.
//
// The registry machine (registry.go) has Ringways that claim rings on nodes which forget, and shows that no two ever
// serve under rings that exclude each other. The key machine (key.go) takes that for granted and has one key on its way from its old
// node to its new one: reads, writes, moves, evictions, lost connections and requests that are carried out late. A spec
// (spec.go) watches what clients are told, and keeps every order of events that could explain it. When none is left
// the promise is broken, and the way there is printed.
//
// Both machines can be built with one step left out. The tests expect that to be found out each time: a step whose absence
// does no harm is not needed, or not modelled.
//
// Nothing here runs in Ringway.
package warmmodel
