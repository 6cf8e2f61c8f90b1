// Package hotmodel is the protocol of hot keys (docs/decisions/0005-hot-keys.md) as a small machine, for package explore to visit all its
// states.
//
// There is one hot key on its owner, one or two proxies that serve it from forms and copies, a node with copies, and somebody who writes past the
// proxies. Each proxy has a tracking connection to the owner, on which replies and invalidations come in one order, and any number of
// others for reads and writes, of which none waits for another. Connections are lost with all or a part of what is on them, proxies crash, a
// write is carried out long after its connection was lost, and who does nothing for a while is frozen: its queues stand
// still while its clock goes on.
//
// There is no end to time, reads and writes: what is older than anybody asks for is of the same age, and versions that nobody holds any
// more are forgotten. What is bounded is how many versions are in play at once, and how many requests.
//
// The machine can be built with one rule left out or turned round. The tests expect that to be found out each time.
package hotmodel
