// Package discover finds the nodes of a pool: from a list, through DNS, Sentinel or a Redis Cluster.
//
// A Source runs on a goroutine of its own and publishes an Update with every change. It decides nothing: what becomes of a
// node that has come, gone or moved is the business of whoever gets the Update. What was found is kept while nobody can
// be asked: losing a sentinel, a name server or a cluster's seeds takes no node away.
package discover
