package proxy

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"ringway/hashring"
	"ringway/internal/loop"
	"ringway/internal/metrics"
	"ringway/resp"
)

// To clients in cluster mode Ringway is a cluster of one node that owns all slots, at the address to which the client has
// connected. INFO and HELLO say "standalone", so that no client changes its mode because of them.

// clusterSlots is how many slots a cluster has.
const clusterSlots = 16384

// slotRing is there for its slots.
var slotRing = sync.OnceValues(func() (*hashring.Ring, error) {
	return hashring.New([]hashring.Node{{Name: "all", Weight: 1}}, hashring.Options{Distribution: "crc16", HashTag: "{}"})
})

// clusterSlot is the slot of a key in Redis Cluster, hash tag considered. It has nothing to do with the node that has the key.
func clusterSlot(key []byte) int {
	ring, err := slotRing()
	if err != nil {
		return 0
	}
	slot, _ := ring.Partition(key)
	return slot
}

// cluster answers the CLUSTER subcommands that are not refused.
func (s *Session) cluster(sub string, a *resp.Args) {
	if !s.pool.shared.cfg.ClusterMode {
		s.refuse(metrics.BadCommand, errClusterDisabled)
		return
	}
	host, port := s.announced()
	id := clusterID(s.pool.shared.cfg.Name, host, port)
	b := s.worker.scratch[:0]
	switch sub {
	case "slots":
		b = resp.AppendArray(resp.AppendArray(b, 1), 3)
		b = resp.AppendInt(resp.AppendInt(b, 0), clusterSlots-1)
		b = resp.AppendBulkString(resp.AppendArray(b, 4), host)
		b = resp.AppendBulkString(resp.AppendInt(b, int64(port)), id)
		b = resp.AppendMap(b, s.resp3, 0)
	case "shards":
		b = resp.AppendMap(resp.AppendArray(b, 1), s.resp3, 2)
		b = resp.AppendArray(resp.AppendBulkString(b, "slots"), 2)
		b = resp.AppendInt(resp.AppendInt(b, 0), clusterSlots-1)
		b = resp.AppendArray(resp.AppendBulkString(b, "nodes"), 1)
		b = resp.AppendMap(b, s.resp3, 7)
		for _, pair := range [][2]string{{"id", id}, {"ip", host}, {"endpoint", host}, {"role", "master"}, {"health", "online"}} {
			b = resp.AppendBulkString(resp.AppendBulkString(b, pair[0]), pair[1])
		}
		b = resp.AppendInt(resp.AppendBulkString(b, "port"), int64(port))
		b = resp.AppendInt(resp.AppendBulkString(b, "replication-offset"), 0)
	case "nodes":
		b = resp.AppendVerbatim(b, s.resp3, "txt",
			fmt.Sprintf("%s %s:%d@0 myself,master - 0 0 1 connected 0-%d\n", id, host, port, clusterSlots-1))
	case "info":
		b = resp.AppendVerbatim(b, s.resp3, "txt", clusterInfo)
	case "myid":
		b = resp.AppendBulkString(b, id)
	case "myshardid":
		b = resp.AppendBulkString(b, hexOf("shard "+id))
	case "keyslot":
		b = resp.AppendInt(b, int64(clusterSlot(a.At(2))))
	case "links":
		b = resp.AppendArray(b, 0)
	case "replicas", "slaves":
		if !strings.EqualFold(string(a.At(2)), id) {
			s.refuse(metrics.BadCommand, "ERR Unknown node "+string(a.At(2)))
			return
		}
		b = resp.AppendArray(b, 0)
	default:
		s.refuse(metrics.BadCommand, "ERR CLUSTER "+strings.ToUpper(sub)+" is refused: the router has no slots of its own to tell of; connect to the node itself")
		return
	}
	s.worker.scratch = b
	s.answer(b)
}

const clusterInfo = "cluster_enabled:1\r\ncluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_slots_ok:16384\r\ncluster_slots_pfail:0\r\n" +
	"cluster_slots_fail:0\r\ncluster_known_nodes:1\r\ncluster_size:1\r\ncluster_current_epoch:1\r\ncluster_my_epoch:1\r\n" +
	"cluster_stats_messages_sent:0\r\ncluster_stats_messages_received:0\r\ntotal_cluster_links_buffer_limit_exceeded:0\r\n"

// announced is the address under which the client knows us. A client that came by a Unix socket is told the loopback.
func (s *Session) announced() (host string, port int) {
	host, port = splitAddress(loop.LocalAddr(s.conn.FD()))
	if port == 0 || strings.HasPrefix(host, "/") {
		return "127.0.0.1", 0
	}
	return host, port
}

// clusterID is the node's name: the same for every connection to an address, and after a restart.
func clusterID(pool, host string, port int) string {
	return hexOf("node " + pool + " " + host + " " + strconv.Itoa(port))
}
