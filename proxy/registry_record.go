package proxy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"ringway/hashring"
)

// What the Ringways of a pool write about themselves is in a hash on each of its nodes, in database 0 (docs/decisions/0004-warm-scaling.md):
//
//	m:<id>      a member: a record
//	r:<digest>  a ring: a ringSpec
//	force       what is in force, whoever is alive: a force
//	ok          written by who has watched the node for a grace

// reservedPrefix begins the keys that Ringway keeps on the nodes for itself.
const reservedPrefix = "__ringway:"

func registryKey(pool string) string { return reservedPrefix + "pool:" + pool }

// timings are the times of the protocol. Lease + marker + heartbeat < grace, attempt < lease, attempt < marker.
type timings struct {
	heartbeat time.Duration
	hasty     time.Duration // heartbeat while somebody asks for another ring than the one in force
	ask       time.Duration // for an answer of a node
	lease     time.Duration // from the sending of a renewal
	marker    time.Duration // life of the marker of a move
	attempt   time.Duration // a claim, from the first look to the last note; a move, from its first step to its last
	grace     time.Duration // after it a silent member is dead, and a node that has forgotten is believed
	settle    time.Duration // a ring is in force, and its nodes answer, for so long before the next change is prepared
	hold      time.Duration // after it one gives a hold up
	again     time.Duration // between a hold or a preparation that failed and the next
	remind    time.Duration // between two lines of the log that say for whom one waits
	await     time.Duration // for which a read waits for somebody else's move
}

// warmTimings is a variable for tests, which have less time.
var warmTimings = timings{
	heartbeat: 500 * time.Millisecond, hasty: 50 * time.Millisecond, ask: 500 * time.Millisecond,
	lease: 3 * time.Second, marker: 2 * time.Second, attempt: time.Second, grace: 6 * time.Second,
	settle: 10 * time.Second, hold: time.Second, again: 5 * time.Second, remind: time.Minute, await: 100 * time.Millisecond,
}

// ringSpec is all that a ring is made of, and where its nodes are.
type ringSpec struct {
	Distribution string     `json:"distribution"`
	Hash         string     `json:"hash,omitempty"`
	HashTag      string     `json:"hash_tag,omitempty"`
	VirtualNodes int        `json:"virtual_nodes,omitempty"`
	LoadBound    float64    `json:"load_bound,omitempty"`
	RingSize     int        `json:"ring_size,omitempty"`
	MaxRingSize  int        `json:"max_ring_size,omitempty"`
	TableSize    int        `json:"table_size,omitempty"`
	UnsignedChar bool       `json:"unsigned_char,omitempty"`
	Nodes        []specNode `json:"nodes"`
}

type specNode struct {
	Name    string `json:"name"`
	Address string `json:"address,omitempty"`
	Weight  int    `json:"weight"`
}

func specOf(nodes []hashring.Node, address func(name string) string, opt hashring.Options) *ringSpec {
	sp := &ringSpec{
		Distribution: opt.Distribution, Hash: opt.Hash, HashTag: opt.HashTag, VirtualNodes: opt.VirtualNodes, LoadBound: opt.LoadBound,
		UnsignedChar: opt.UnsignedChar,
	}
	switch opt.Distribution { // what others mean by sizes is nothing, and stays out of the record
	case "ring_hash":
		sp.RingSize, sp.MaxRingSize = opt.RingSize, opt.MaxRingSize
	case "maglev":
		sp.TableSize = opt.TableSize
	}
	for _, n := range nodes {
		sp.Nodes = append(sp.Nodes, specNode{n.Name, address(n.Name), n.Weight})
	}
	return sp
}

func (sp *ringSpec) options() hashring.Options {
	return hashring.Options{
		Distribution: sp.Distribution, Hash: sp.Hash, HashTag: sp.HashTag, VirtualNodes: sp.VirtualNodes, LoadBound: sp.LoadBound,
		UnsignedChar: sp.UnsignedChar, RingSize: sp.RingSize, MaxRingSize: sp.MaxRingSize, TableSize: sp.TableSize,
	}
}

func (sp *ringSpec) ringNodes() (list []hashring.Node) {
	for _, n := range sp.Nodes {
		list = append(list, hashring.Node{Name: n.Name, Weight: n.Weight})
	}
	return list
}

// digest names a ring. Where its nodes are, and in which order the file has them, is left out: keys are placed by neither.
func (sp *ringSpec) digest() string {
	c := *sp
	c.Nodes = slices.Clone(sp.Nodes)
	for i := range c.Nodes {
		c.Nodes[i].Address = ""
	}
	slices.SortFunc(c.Nodes, func(x, y specNode) int { return strings.Compare(x.Name, y.Name) })
	sum := sha256.Sum256([]byte(toJSON(c)))
	return hex.EncodeToString(sum[:8])
}

// warmKind is what a Ringway may do with a pool.
type warmKind uint8

const (
	warmNone warmKind = iota
	warmPlain
	warmHold
	warmWarm
	warmDrain
)

var warmNames = [...]string{"none", "plain", "hold", "warm", "drain"}

func (k warmKind) String() string { return warmNames[k] }

// mode is what a Ringway serves under: plain Y, or one of the others on the way from Y to Z.
type mode struct {
	kind warmKind
	y, z string // digests; of plain, only y
}

func (m mode) String() string {
	switch m.kind {
	case warmNone:
		return "none"
	case warmPlain:
		return "plain " + m.y
	}
	return m.kind.String() + " " + m.y + ">" + m.z
}

func parseMode(s string) (mode, error) {
	name, rings, _ := strings.Cut(s, " ")
	k := slices.Index(warmNames[:], name)
	y, z, change := strings.Cut(rings, ">")
	if k < 0 || warmKind(k) > warmPlain != change || warmKind(k) != warmNone && y == "" {
		return mode{}, fmt.Errorf("%q is no mode", s)
	}
	return mode{warmKind(k), y, z}, nil
}

func (m mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

func (m *mode) UnmarshalText(b []byte) (err error) {
	*m, err = parseMode(string(b))
	return err
}

// excludes reports whether two Ringways must not serve under these modes at the same time.
func (m mode) excludes(o mode) bool {
	if m.kind > o.kind {
		m, o = o, m
	}
	switch {
	case m.kind == warmNone:
		return false
	case m.kind == warmPlain && o.kind <= warmHold:
		return m.y != o.y
	case m.kind == warmPlain && o.kind == warmDrain:
		return m.y != o.z
	case m.kind == warmPlain:
		return true
	}
	return m.y != o.y || m.z != o.z
}

// record is what a member writes about itself.
type record struct {
	Seq    uint64   `json:"seq"`
	Mode   mode     `json:"mode"`
	Asks   string   `json:"asks"`             // the ring of its file
	Ready  string   `json:"ready,omitempty"`  // Y>Z: as far as it can see that change may be made
	Swept  string   `json:"swept,omitempty"`  // Y>Z: it has prepared that change
	Walked []string `json:"walked,omitempty"` // old nodes on which nothing is left

	// Walk is how far its background mover is: keys gone through, of how many. It is for people.
	Walk map[string][2]int64 `json:"walk,omitempty"`
}

// force is what is in force, whoever is alive. N grows with each change, so that of two the further is known.
type force struct {
	N     int   `json:"n"`
	Mode  mode  `json:"mode"`            // plain Y, or warm Y>Z for a change under way
	Since int64 `json:"since,omitempty"` // when the change began, in milliseconds since 1970
}

func toJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // nothing of ours can't be written
	}
	return string(b)
}
