package metrics

// NodeInfo is what a node says of itself, in INFO.
type NodeInfo struct {
	Asked    bool // else nothing is known, and nothing of it is told
	Answered bool // when it was last asked; else nothing of what follows is

	Uptime        uint64 // seconds
	MemoryUsed    uint64
	MemoryMax     uint64 // 0: no limit
	Fragmentation float64
	Evicted       uint64
	Expired       uint64
	Clients       uint64
	Commands      uint64
	Hits, Misses  uint64
	Keys          uint64 // in all databases

	Replicas   uint64  // of a primary
	LagBytes   uint64  // the furthest that one of them is behind
	LagSeconds float64 // since one was last heard of, or by a replica, its primary
	Replica    bool
	LinkUp     bool // of a replica, to its primary
}

// infoOf puts what is told of a node that has answered.
func infoOf(f func(n *NodeInfo) float64) func(n *NodeInfo, put put) {
	return func(n *NodeInfo, put put) {
		if n.Answered {
			put(f(n))
		}
	}
}

var nodeInfoFamilies = []family{
	{
		name: "ringway_node_info_up", kind: gauge,
		help: "1 if the node has answered INFO when it was last asked (`node_info`); 0 if it has not, and nothing of the following is told of it.",
		info: func(n *NodeInfo, put put) {
			if n.Asked {
				put(one(n.Answered))
			}
		},
	},
	{
		name: "ringway_node_uptime_seconds", kind: gauge,
		help: "How long the node has been running.",
		info: infoOf(func(n *NodeInfo) float64 { return float64(n.Uptime) }),
	},
	{
		name: "ringway_node_memory_used_bytes", kind: gauge,
		help: "What the node's data and buffers take (used_memory).",
		info: infoOf(func(n *NodeInfo) float64 { return float64(n.MemoryUsed) }),
	},
	{
		name: "ringway_node_memory_max_bytes", kind: gauge,
		help: "What they may take (maxmemory); 0 for no limit.",
		info: infoOf(func(n *NodeInfo) float64 { return float64(n.MemoryMax) }),
	},
	{
		name: "ringway_node_memory_fragmentation_ratio", kind: gauge,
		help: "Resident memory over used memory. Far over 1 is memory that is lost to holes, under 1 memory that was swapped out; a node with little data says nothing by it.",
		info: infoOf(func(n *NodeInfo) float64 { return n.Fragmentation }),
	},
	{
		name: "ringway_node_keys", kind: gauge,
		help: "Keys on the node, in all its databases.",
		info: infoOf(func(n *NodeInfo) float64 { return float64(n.Keys) }),
	},
	{
		name: "ringway_node_evicted_keys_total", kind: counter,
		help: "Keys that the node has dropped for want of memory.",
		info: infoOf(func(n *NodeInfo) float64 { return float64(n.Evicted) }),
	},
	{
		name: "ringway_node_expired_keys_total", kind: counter,
		help: "Keys whose time was over.",
		info: infoOf(func(n *NodeInfo) float64 { return float64(n.Expired) }),
	},
	{
		name: "ringway_node_keyspace_hits_total", kind: counter,
		help: "Keys that the node was asked for and had, by whomever: other clients than Ringway's too.",
		info: infoOf(func(n *NodeInfo) float64 { return float64(n.Hits) }),
	},
	{
		name: "ringway_node_keyspace_misses_total", kind: counter,
		help: "Keys that the node was asked for and did not have.",
		info: infoOf(func(n *NodeInfo) float64 { return float64(n.Misses) }),
	},
	{
		name: "ringway_node_commands_total", kind: counter,
		help: "Commands that the node has carried out, of all its clients.",
		info: infoOf(func(n *NodeInfo) float64 { return float64(n.Commands) }),
	},
	{
		name: "ringway_node_clients", kind: gauge,
		help: "Connections that the node has, Ringway's and others'.",
		info: infoOf(func(n *NodeInfo) float64 { return float64(n.Clients) }),
	},
	{
		name: "ringway_node_replicas", kind: gauge,
		help: "Replicas that are connected to the node.",
		info: infoOf(func(n *NodeInfo) float64 { return float64(n.Replicas) }),
	},
	{
		name: "ringway_node_replication_lag_bytes", kind: gauge,
		help: "How far the last of the node's replicas is behind; not told of a node without.",
		info: func(n *NodeInfo, put put) {
			if n.Answered && n.Replicas > 0 {
				put(float64(n.LagBytes))
			}
		},
	},
	{
		name: "ringway_node_replication_lag_seconds", kind: gauge,
		help: "Since when the node has heard nothing of one of its replicas; of a replica, of its primary. Not told of a node without either.",
		info: func(n *NodeInfo, put put) {
			if n.Answered && (n.Replicas > 0 || n.Replica) {
				put(n.LagSeconds)
			}
		},
	},
	{
		name: "ringway_node_replication_link_up", kind: gauge,
		help: "Of a replica: 1 while it is connected to its primary.",
		info: func(n *NodeInfo, put put) {
			if n.Answered && n.Replica {
				put(one(n.LinkUp))
			}
		},
	},
}
