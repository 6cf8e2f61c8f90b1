package config

import (
	"cmp"
	"math"
	"net"
	"slices"
	"strings"
	"time"
)

// predixyServer is a line of servers: [password@]address.
type predixyServer struct {
	*predixyNode
	address  string
	password string
}

// listServers reads the lines of a scope.
func (v *predixy) listServers(n *predixyNode) (list []predixyServer) {
	for _, s := range n.sub {
		if s.key != "+" || s.scope {
			v.failAt(s, "%s in %s; expected + and an address in each line", quote(s.key), n.key)
			continue
		}
		server := predixyServer{predixyNode: s, address: s.val}
		if password, address, ok := strings.Cut(s.val, "@"); ok {
			server.password, server.address = password, address
		}
		if strings.Contains(server.address, "@") {
			v.failAt(s, "%s: a server with two @; a password can't have one in it", n.key)
			continue
		}
		server.address, _, _ = strings.Cut(server.address, " ")
		server.address, _, _ = strings.Cut(server.address, "\t")
		if strings.HasPrefix(server.address, "/") {
			server.address = unixScheme + server.address
		} else if host, port, ok := cutLast(server.address, ':'); ok {
			server.address = net.JoinHostPort(strings.Trim(host, "[]"), port)
		}
		checked, err := parseServerAddress(server.address)
		if err != nil {
			v.failAt(s, "%s: a server %s", n.key, err)
			continue
		}
		server.address = checked
		list = append(list, server)
	}
	return list
}

// password gives the one password of servers that share what is said here.
func (v *predixy) password(n *predixyNode, usual string, list []predixyServer) Secret {
	of := func(s predixyServer) string { return cmp.Or(s.password, usual) }
	for _, s := range list {
		if of(s) != of(list[0]) {
			v.failAt(s.predixyNode, "the servers of %s have different passwords; here they have one", n.key)
			break
		}
	}
	if len(list) == 0 {
		return Secret(usual)
	}
	return Secret(of(list[0]))
}

// predixyPriorities say where reads go: to whoever has the highest; 0 is read by nobody.
type predixyPriorities struct{ master, static, dynamic int }

// serverPool makes the pool of its servers.
func (v *predixy) serverPool(n *predixyNode) {
	before := len(v.problems)
	p := &v.pool
	cluster, sentinel := n.is("ClusterServerPool"), n.is("SentinelServerPool")
	var seeds, groups, sentinels []*predixyNode
	var hash, distribution, method *predixyNode
	password, keepalive, databases, ignored := "", 0, 1, time.Duration(0)
	reads := predixyPriorities{master: 50}
	type set struct {
		key string
		do  func(n *predixyNode)
	}
	options := []set{
		{"Password", func(n *predixyNode) { v.spaces(n); password = n.val }},
		{"MasterReadPriority", func(n *predixyNode) { v.number(n, &reads.master, 0, 100) }},
		{"StaticSlaveReadPriority", func(n *predixyNode) { v.number(n, &reads.static, 0, 100) }},
		{"DynamicSlaveReadPriority", func(n *predixyNode) { v.number(n, &reads.dynamic, 0, 100) }},
		{"RefreshInterval", func(n *predixyNode) { v.duration(n, &ignored) }},
		{"ServerTimeout", func(n *predixyNode) { v.duration(n, &p.Timeout); p.ConnectTimeout = p.Timeout }},
		{"ServerFailureLimit", func(n *predixyNode) { v.number(n, &p.FailureLimit, 1, math.MaxInt32) }},
		{"ServerRetryTimeout", func(n *predixyNode) {
			v.duration(n, &p.RetryTimeout)
			p.RetryTimeout = max(p.RetryTimeout, time.Millisecond)
		}},
		{"KeepAlive", func(n *predixyNode) { v.number(n, &keepalive, 0, math.MaxInt32); v.keepAlive(n, keepalive) }},
		{"Databases", func(n *predixyNode) { v.number(n, &databases, 1, 128); v.databases(n, databases) }},
	}
	if cluster {
		options = append(options, set{"Servers", func(n *predixyNode) { seeds = append(seeds, n) }})
	} else {
		options = append(options,
			set{"RefreshMethod", func(n *predixyNode) { method = n }},
			set{"Distribution", func(n *predixyNode) { distribution = n }},
			set{"Hash", func(n *predixyNode) { hash = n }},
			set{"HashTag", v.hashTag},
			set{"Sentinels", func(n *predixyNode) { v.spaces(n); sentinels = append(sentinels, n) }},
			set{"Group", func(n *predixyNode) { groups = append(groups, n) }})
	}
	for _, line := range n.sub {
		i := slices.IndexFunc(options, func(s set) bool { return line.is(s.key) })
		if i < 0 {
			var known []string
			for _, s := range options {
				known = append(known, s.key)
			}
			v.unknownKey(line, known)
			continue
		}
		options[i].do(line)
	}
	if cluster {
		v.cluster(n, seeds, password)
		v.readPolicy(n, reads, true)
		return
	}
	if len(groups) == 0 {
		v.failAt(n, "%s has no Group; expected one for each primary", n.key)
		return
	}
	v.place(n, len(groups), hash, distribution)
	switch {
	case method != nil && strings.EqualFold(method.val, "sentinel"), method == nil && sentinel:
		v.sentinel(n, sentinels, groups, password)
	case method != nil && strings.EqualFold(method.val, "fixed"):
		v.fixed(n, sentinels, groups, password)
	case method != nil:
		v.failAt(method, "unknown RefreshMethod %s (known: fixed, sentinel)", quote(method.val))
	default:
		v.failAt(n, "%s has no RefreshMethod; expected fixed or sentinel", n.key)
	}
	v.readPolicy(n, reads, p.Sentinel != nil)
	v.inFile(n.file, func() { v.ring(p, n.line, before) })
}

func (v *predixy) keepAlive(n *predixyNode, seconds int) {
	if v.pool.TCPKeepAlive = seconds > 0; seconds > 0 {
		v.warnAt(n, "KeepAlive %d: tcpkeepalive is on, with the system's times (net.ipv4.tcp_keepalive_time); a server that is gone is found by health_check", seconds)
	}
}

func (v *predixy) databases(n *predixyNode, databases int) {
	if databases > 1 {
		v.warnAt(n, "Databases %d is not carried over: a client may SELECT what the servers have", databases)
	}
}

func (v *predixy) hashTag(n *predixyNode) {
	if len(n.val) != 0 && len(n.val) != 2 {
		v.failAt(n, "HashTag %s is not two characters; expected them in quotes, like \"{}\"", quote(n.val))
		return
	}
	tag, err := parseHashTag(n.val)
	if err != nil {
		v.failAt(n, "HashTag %s", err)
		return
	}
	v.pool.HashTag = tag
}

// place says which group has a key. A group that is alone has them all, whatever the hash.
func (v *predixy) place(n *predixyNode, groups int, hash, distribution *predixyNode) {
	p := &v.pool
	p.Distribution, p.Hash = "list", "crc16"
	switch {
	case hash == nil && groups > 1:
		v.failAt(n, "%s has several groups and no Hash; expected atol or crc16", n.key)
	case hash == nil:
	case strings.EqualFold(hash.val, "atol"):
		p.Hash = predixyHash
	case !strings.EqualFold(hash.val, "crc16"):
		v.failAt(hash, "unknown Hash %s (known: atol, crc16)", quote(hash.val))
	}
	switch {
	case distribution == nil && groups > 1:
		v.failAt(n, "%s has several groups and no Distribution; expected modula or random", n.key)
	case distribution == nil, strings.EqualFold(distribution.val, "modula"):
	case strings.EqualFold(distribution.val, "random"):
		p.Distribution, p.Hash = "random", ""
	default:
		v.failAt(distribution, "unknown Distribution %s (known: modula, random)", quote(distribution.val))
	}
}

func (v *predixy) cluster(n *predixyNode, seeds []*predixyNode, password string) {
	p := &v.pool
	p.Cluster, p.HashTag = &Cluster{Line: n.line}, DefaultPool().HashTag
	var all []predixyServer
	for _, servers := range seeds {
		all = append(all, v.listServers(servers)...)
	}
	for _, s := range all {
		if !slices.Contains(p.Cluster.Seeds, s.address) {
			p.Cluster.Seeds = append(p.Cluster.Seeds, s.address)
		}
	}
	if len(all) == 0 {
		v.failAt(n, "%s has no Servers; expected at least one, to ask for the others", n.key)
		return
	}
	p.Password = v.password(n, password, all)
}

func (v *predixy) sentinel(n *predixyNode, sentinels, groups []*predixyNode, password string) {
	p := &v.pool
	s := &Sentinel{Line: n.line}
	var all []predixyServer
	usual := ""
	for _, scope := range sentinels {
		all, usual = append(all, v.listServers(scope)...), scope.val
	}
	for _, server := range all {
		if !slices.Contains(s.Addresses, server.address) {
			s.Addresses = append(s.Addresses, server.address)
		}
	}
	if len(all) == 0 {
		v.failAt(n, "%s has no Sentinels; expected at least one", n.key)
		return
	}
	s.Password = v.password(sentinels[0], usual, all)
	var names map[string]int
	var listed []predixyServer
	for _, g := range groups {
		listed = append(listed, v.listServers(g)...)
		name, err := parseName(g.val)
		if err != nil {
			v.failAt(g, "the name of a Group %s", err)
		} else if first, ok := claim(&names, name, g.line); !ok {
			v.failAt(g, "Group %s is on line %d already; keep one", quote(name), first)
		} else {
			s.Masters = append(s.Masters, Master{Name: name, Weight: 1, Line: g.line})
		}
	}
	p.Sentinel, p.Password = s, v.password(n, password, listed)
}

// fixed makes a backend of each group: the first server, and the others as its replicas.
func (v *predixy) fixed(n *predixyNode, sentinels, groups []*predixyNode, password string) {
	if len(sentinels) > 0 {
		v.failAt(sentinels[0], "Sentinels beside RefreshMethod fixed; keep one")
	}
	p := &v.pool
	p.Password = Secret(password)
	servers := &taken{}
	for _, g := range groups {
		list := v.listServers(g)
		if len(list) == 0 {
			v.failAt(g, "Group %s has no server; expected + and an address, of the primary first", quote(g.val))
			continue
		}
		b := Backend{Name: g.val, Address: list[0].address, Weight: 1, Zone: v.zoneOf(list[0]), Line: list[0].line}
		if _, err := parseName(g.val); err != nil {
			b.Name = b.Address
		}
		if own := v.password(g, password, list); own != p.Password {
			b.Password = own
		}
		for _, s := range list[1:] {
			b.Replicas = append(b.Replicas, Replica{Address: s.address, Zone: v.zoneOf(s), Line: s.line})
		}
		v.inFile(g.file, func() { v.claimBackend(servers, b) })
		p.Backends = append(p.Backends, b)
	}
}

// zoneOf is the data center whose prefix fits an address best.
func (v *predixy) zoneOf(s predixyServer) (zone string) {
	best := -1
	if v.centers == nil {
		return ""
	}
	for _, dc := range v.centers.sub {
		for _, prefixes := range dc.sub {
			if !prefixes.is("AddrPrefix") {
				continue
			}
			for _, prefix := range prefixes.sub {
				if len(prefix.val) > best && strings.HasPrefix(s.address, prefix.val) {
					zone, best = dc.val, len(prefix.val)
				}
			}
		}
	}
	return zone
}

// readPolicy makes a word of the numbers. In predixy the highest priority gets all reads, while it has a server that works.
func (v *predixy) readPolicy(n *predixyNode, reads predixyPriorities, found bool) {
	p := &v.pool
	replicas, has := reads.static, slices.ContainsFunc(p.Backends, func(b Backend) bool { return len(b.Replicas) > 0 })
	if found {
		has = true
		if replicas = reads.dynamic; reads.static != reads.dynamic {
			v.warnAt(n, "StaticSlaveReadPriority %d beside DynamicSlaveReadPriority %d: all replicas are alike here, and have that of the dynamic ones",
				reads.static, reads.dynamic)
		}
	}
	if v.centers != nil {
		v.dataCenter(has, replicas)
		return
	}
	switch {
	case !has:
	case replicas == 0 && reads.master == 0:
		v.warnAt(n, "with no read priority above 0 predixy answers no reads; here they go to primaries")
	case replicas == 0:
	case reads.master == 0:
		p.ReadPolicy = "replica"
	case replicas > reads.master:
		p.ReadPolicy = "prefer-replica"
	case replicas == reads.master:
		p.ReadPolicy = "any"
	default:
		v.warnAt(n, "replicas are read in predixy while a primary is down (their priority %d is below its %d); here reads go to primaries alone, see read_policy", replicas, reads.master)
	}
}

func (v *predixy) dataCenter(has bool, replicas int) {
	p := &v.pool
	n := v.centers
	switch {
	case v.localDC == "":
		v.failAt(n, "DataCenter without LocalDC; add that, or remove it")
	case !slices.ContainsFunc(n.sub, func(dc *predixyNode) bool { return dc.is("DC") && dc.val == v.localDC }):
		v.failAt(n, "LocalDC %s is not among the DCs of DataCenter", quote(v.localDC))
	case !has || replicas == 0:
		v.warnAt(n, "DataCenter is not carried over: reads go to primaries alone")
	case p.Sentinel != nil || p.Cluster != nil:
		p.ReadPolicy = "nearest"
		v.warnAt(n, "the zones of DataCenter are not carried over, since the file doesn't list all servers: read_policy: nearest goes by latency")
	default:
		p.ReadPolicy, p.Zone = "nearest", v.localDC
		v.warnAt(n, "DataCenter is read_policy: nearest, which prefers servers of this zone and then those that answer soonest; ReadPolicy's priorities are not carried over")
	}
}
