package discover

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// clusterView is the cluster as one of its nodes sees it.
type clusterView struct {
	asked  string // address of the node
	epoch  int
	ok     bool // the node is one of the majority, and all slots are served that must be
	ailing bool // a primary with slots is not well
	served int  // slots
	update Update
}

// shard is a part of the cluster, as CLUSTER SHARDS and CLUSTER SLOTS tell of it.
type shard struct {
	ranges  [][2]int // of slots, first and last
	members []member
}

type member struct {
	id, address, zone string
	primary, online   bool
}

// askCluster asks for a node's view with CLUSTER SHARDS, or with CLUSTER SLOTS where the former is unknown (before 7.0).
func askCluster(link *client) (*clusterView, error) {
	replies, err := link.ask([]string{"CLUSTER", "INFO"}, []string{"CLUSTER", "MYID"}, []string{"CLUSTER", "SHARDS"})
	if err != nil {
		return nil, err
	}
	info, id, shape := replies[0], replies[1], replies[2]
	if err := info.err(); err != nil { // not in cluster mode, or not allowed
		return nil, fmt.Errorf("CLUSTER INFO: %w", err)
	}
	var shards []shard
	if shape.err() == nil {
		shards, err = readShards(shape, link.address, id.text)
	} else {
		if replies, err = link.ask([]string{"CLUSTER", "SLOTS"}); err != nil {
			return nil, err
		}
		if err := replies[0].err(); err != nil {
			return nil, fmt.Errorf("CLUSTER SLOTS: %w", err)
		}
		shards, err = readSlots(replies[0], link.address)
	}
	if err != nil {
		return nil, err
	}
	v, err := assemble(shards)
	if err != nil {
		return nil, err
	}
	v.asked = link.address
	for line := range strings.Lines(info.text) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "cluster_state":
			v.ok = text == "ok"
		case "cluster_current_epoch":
			v.epoch = value{text: text}.number()
		}
	}
	return v, nil
}

// readShards reads the reply to CLUSTER SHARDS of the node at address asked, whose id is id.
func readShards(reply value, asked, id string) (shards []shard, err error) {
	secure := asksSecurely(reply, asked, id)
	for _, s := range reply.elems {
		fields := s.fields()
		var sh shard
		if sh.ranges, err = readRanges(fields["slots"].elems); err != nil {
			return nil, err
		}
		for _, n := range fields["nodes"].elems {
			f := n.fields()
			port, tls := f["port"].number(), f["tls-port"].number()
			if tls != 0 && (secure || port == 0) {
				port = tls
			}
			endpoint, announced := f["endpoint"]
			if !announced {
				endpoint = f["ip"]
			}
			sh.members = append(sh.members, member{
				id:      f["id"].text,
				address: memberAddress(endpoint, f["ip"].text, port, asked),
				zone:    f["availability-zone"].text,
				primary: f["role"].text == "master",
				online:  f["health"].text == "online",
			})
		}
		shards = append(shards, sh)
	}
	return shards, nil
}

// asksSecurely tells whether we have come in by the TLS port of a node that has a plain one as well: then that is the port to
// take of every node.
func asksSecurely(reply value, asked, id string) bool {
	_, port, _ := net.SplitHostPort(asked)
	for _, s := range reply.elems {
		for _, n := range s.fields()["nodes"].elems {
			if f := n.fields(); id != "" && f["id"].text == id {
				return f["tls-port"].text == port && f["port"].text != port
			}
		}
	}
	return false
}

func readRanges(list []value) (ranges [][2]int, err error) {
	if len(list)%2 != 0 {
		return nil, errors.New("CLUSTER SHARDS: a range of slots has no end")
	}
	for i := 0; i < len(list); i += 2 {
		ranges = append(ranges, [2]int{list[i].number(), list[i+1].number()})
	}
	return ranges, nil
}

// readSlots reads the reply to CLUSTER SLOTS, which has an element for each range of slots: the primary first, then the
// replicas that are well.
func readSlots(reply value, asked string) (shards []shard, err error) {
	index := make(map[string]int) // of shards, by the id of the primary
	for _, r := range reply.elems {
		if len(r.elems) < 3 {
			return nil, errors.New("CLUSTER SLOTS: a range of slots has no node")
		}
		var members []member
		for i, n := range r.elems[2:] {
			more := n.elem(3).fields() // Redis 7.0 on
			m := member{
				id:      n.elem(2).text, // Redis 4.0 on
				address: memberAddress(n.elem(0), more["ip"].text, n.elem(1).number(), asked),
				zone:    more["availability-zone"].text,
				primary: i == 0, online: true,
			}
			m.id = cmp.Or(m.id, m.address)
			members = append(members, m)
		}
		i, ok := index[members[0].id]
		if !ok {
			i = len(shards)
			index[members[0].id] = i
			shards = append(shards, shard{members: members})
		}
		shards[i].ranges = append(shards[i].ranges, [2]int{r.elem(0).number(), r.elem(1).number()})
	}
	return shards, nil
}

// memberAddress returns where a node is to be reached. An empty or null endpoint stands for the host that was asked: the
// node does not know its own address, or is behind a balancer with all the others. A "?" is for a node that has no host
// name where names are preferred: its ip, then, if that is told. A node without a port is one that nobody has met yet.
func memberAddress(endpoint value, ip string, port int, asked string) string {
	if port == 0 {
		return ""
	}
	host := endpoint.text
	if host == "?" {
		host = ip
	}
	if host == "" {
		var err error
		if host, _, err = net.SplitHostPort(asked); err != nil || strings.HasPrefix(asked, "unix://") {
			return asked
		}
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// assemble makes an update of shards. It leaves out a primary that is dead and serves nothing, which is what remains of one
// whose replica was promoted.
func assemble(shards []shard) (*clusterView, error) {
	v := &clusterView{}
	type serving struct {
		node   Node
		ranges [][2]int
	}
	var all []serving
	for _, sh := range shards {
		i := primary(sh.members)
		if i < 0 || len(sh.ranges) == 0 && !sh.members[i].online {
			continue
		}
		p := sh.members[i]
		v.ailing = v.ailing || !p.online
		node := Node{Name: p.id, Address: p.address, Weight: 1}
		for _, m := range sh.members {
			if !m.primary && m.online && m.address != "" {
				node.Replicas = append(node.Replicas, Replica{m.address, m.zone})
			}
		}
		sortReplicas(node.Replicas)
		all = append(all, serving{node, sh.ranges})
	}
	slices.SortFunc(all, func(a, b serving) int { return strings.Compare(a.node.Name, b.node.Name) })
	slots := new([16384]uint16)
	for i := range slots {
		slots[i] = NoNode
	}
	for i, s := range all {
		if s.node.Name == "" || i > 0 && all[i-1].node.Name == s.node.Name {
			return nil, fmt.Errorf("the cluster names a node %q twice or not at all", s.node.Name)
		}
		v.update.Nodes = append(v.update.Nodes, s.node)
		for _, r := range s.ranges {
			if r[0] > r[1] || r[1] >= len(slots) {
				return nil, fmt.Errorf("there are no slots %d to %d", r[0], r[1])
			}
			for slot := r[0]; slot <= r[1]; slot++ {
				if slots[slot] == NoNode {
					v.served++
				}
				slots[slot] = uint16(i)
			}
		}
	}
	if v.served == 0 {
		return nil, errors.New("the node knows of nobody who serves a slot")
	}
	if len(all) >= NoNode {
		return nil, fmt.Errorf("a cluster cannot have %d primaries", len(all))
	}
	v.update.Slots = slots
	return v, nil
}

// primary returns which member is the primary, -1 for none. There may be two, the one that has died and its successor.
func primary(members []member) int {
	best := -1
	for i, m := range members {
		if m.primary && (best < 0 || m.online && !members[best].online) {
			best = i
		}
	}
	return best
}
