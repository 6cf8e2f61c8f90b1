package command

import "ringway/resp"

// Plan is how a command travels.
type Plan uint8

const (
	// Forward sends the request as it is to the node of its keys; they must share one. A request without keys
	// goes to the node of its RouteArg, or to a fixed node of the pool.
	Forward Plan = iota + 1
	// Split sends each node the part of the request that concerns its keys.
	Split
	// Broadcast asks every node.
	Broadcast
	// Session is answered here: it concerns the connection or the router itself.
	Session
	// Private needs a lane of its own, for it blocks, watches or subscribes.
	Private
	// Refuse is answered with the command's Refusal.
	Refuse
)

var planNames = [...]string{"", "forward", "split", "broadcast", "session", "private", "refuse"}

func (p Plan) String() string { return planNames[p] }

// Merge is how the answers of several nodes become one. An error is an error whatever the merge: the first one
// in order of the request's keys, or of the nodes.
type Merge uint8

const (
	MergeNone     Merge = iota // one answer, nothing to merge
	MergeArray                 // one element a key, each at its key's place (MGET)
	MergeOK                    // OK if all say so (MSET, FLUSHALL)
	MergeSum                   // integers, added up (DEL, DBSIZE)
	MergeSumPairs              // arrays of names and integers, the integers added up by name (PUBSUB NUMSUB)
	MergeConcat                // arrays, one behind the other (KEYS)
	MergeMin                   // element by element the smallest: 1 only where every node has 1 (SCRIPT EXISTS)
	MergeFirst                 // all nodes do the same: the first answer (SCRIPT LOAD)
	MergeAny                   // one success is enough (RANDOMKEY: one that isn't nil or an error)
	MergeCursor                // node after node, the cursor says where we are (SCAN)
	MergeMost                  // the largest of integers (PUBSUB NUMPAT: each node has all patterns)
	MergeUnion                 // arrays, one behind the other, each element once (PUBSUB CHANNELS)
	MergeSorted                // what patterns name for the elements of one key is looked up, and sorted by (SORT)
	MergeText                  // texts, one section a node (LATENCY DOCTOR)
)

var mergeNames = [...]string{
	"", "array", "ok", "sum", "sumpairs", "concat", "min", "first", "any", "cursor", "most", "union", "sorted", "text",
}

func (m Merge) String() string { return mergeNames[m] }

// For returns the plan of the request a, whose command is c and whose arity is right. It differs from c.Plan
// for a command that is only sometimes Private: XREAD, XREADGROUP and TS.READ without BLOCK are forwarded.
func (c *Command) For(a *resp.Args) Plan {
	if c.blockFrom > 0 && !hasBlock(a, int(c.blockFrom)) {
		return Forward
	}
	return c.Plan
}

// hasBlock looks for BLOCK among the options, which begin at argument from and end at STREAMS. An option's
// argument that could be the word "block" is stepped over: the group and consumer of GROUP.
func hasBlock(a *resp.Args, from int) bool {
	for i := from; i < a.Len(); i++ {
		switch arg := a.At(i); {
		case sameFold("block", arg):
			return true
		case sameFold("streams", arg):
			return false
		case sameFold("group", arg):
			i += 2
		}
	}
	return false
}
