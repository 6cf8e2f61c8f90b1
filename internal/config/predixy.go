package config

import (
	"cmp"
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A predixy.conf is one pool. What has no equal here is a warning, but where keys would be placed otherwise, or clients may do
// other things, it is a mistake.

// predixy is what has been found of a file so far.
type predixy struct {
	*reader
	c    *Config
	pool Pool

	bind      *predixyNode // nil: it has the default
	authority *predixyNode
	servers   *predixyNode
	centers   *predixyNode
	localDC   string
	logs      []string // the keys that are about logs, and where the first of them is
	logsAt    *predixyNode
}

// predixyOption is a line at the top.
type predixyOption struct {
	key string
	set func(v *predixy, n *predixyNode)
}

var predixyOptions = []predixyOption{
	{"Name", (*predixy).name},
	{"Bind", func(v *predixy, n *predixyNode) { v.bind = n }},
	{"WorkerThreads", func(v *predixy, n *predixyNode) { v.number(n, &v.c.Threads, 1, mostThreads) }},
	{"MaxMemory", (*predixy).memory},
	{"ClientTimeout", func(v *predixy, n *predixyNode) {
		seconds := 0
		v.number(n, &seconds, 0, math.MaxInt32)
		v.pool.IdleTimeout = time.Duration(seconds) * time.Second
	}},
	{"BufSize", func(v *predixy, n *predixyNode) {
		v.warnAt(n, "BufSize has no effect: buffers grow and shrink with what they hold")
	}},
	{"Log", (*predixy).log},
	{"LogRotate", (*predixy).log},
	{"AllowMissLog", (*predixy).log},
	{"LogVerbSample", (*predixy).log},
	{"LogDebugSample", (*predixy).log},
	{"LogInfoSample", (*predixy).log},
	{"LogNoticeSample", (*predixy).log},
	{"LogWarnSample", (*predixy).log},
	{"LogErrorSample", (*predixy).log},
	{"Include", func(v *predixy, n *predixyNode) { v.failAt(n, "Include takes the name of a file, and no scope") }},
	{"Authority", func(v *predixy, n *predixyNode) { v.one(&v.authority, n) }},
	{"ClusterServerPool", func(v *predixy, n *predixyNode) { v.one(&v.servers, n) }},
	{"SentinelServerPool", func(v *predixy, n *predixyNode) { v.one(&v.servers, n) }},
	{"StandaloneServerPool", func(v *predixy, n *predixyNode) { v.one(&v.servers, n) }},
	{"LocalDC", func(v *predixy, n *predixyNode) { v.localDC = n.val }},
	{"DataCenter", func(v *predixy, n *predixyNode) { v.one(&v.centers, n) }},
	{"CustomCommand", (*predixy).customCommands},
	{"LatencyMonitor", func(v *predixy, n *predixyNode) {
		v.warnAt(n, "LatencyMonitor %s is not carried over: how long requests took is told at the admin address, as histograms of all, at /metrics", n.val)
	}},
}

func findPredixyOption(key string) *predixyOption {
	for i := range predixyOptions {
		if strings.EqualFold(predixyOptions[i].key, key) {
			return &predixyOptions[i]
		}
	}
	return nil
}

func predixyKeys() (keys []string) {
	for _, o := range predixyOptions {
		keys = append(keys, o.key)
	}
	return keys
}

// predixy reads a predixy.conf.
func (r *reader) predixy(data []byte, c *Config) {
	v := &predixy{reader: r, c: c, pool: DefaultPool()}
	p := &v.pool
	p.Name, p.HashTag = "predixy", ""
	p.Timeout, p.ConnectTimeout, p.MaxClients = 0, 0, 0
	p.FailureLimit, p.RetryTimeout = 10, time.Second
	nodes := r.predixyNodes(data)
	if len(r.problems) > 0 {
		return // lines are not in the scopes that they seem to be in
	}
	v.c.Threads = 1
	for _, n := range nodes {
		if o := findPredixyOption(n.key); o != nil {
			o.set(v, n)
		} else {
			v.unknownKey(n, predixyKeys())
		}
	}
	if len(v.logs) > 0 {
		v.warnAt(v.logsAt, "%s: the log goes to stderr, and log: {level: .., format: ..} says what is in it; errors are not sampled", join(v.logs))
	}
	if v.servers == nil {
		r.fail(1, "no pool; expected one of %s", join(predixyPools))
		return
	}
	p.Line = v.servers.line
	v.serverPool(v.servers)
	v.listen()
	v.users()
	c.Pools = append(c.Pools, *p)
}

func (v *predixy) unknownKey(n *predixyNode, known []string) {
	if near := nearest(n.key, known); near != "" {
		v.failAt(n, "unknown key %s (did you mean %s?)", quote(n.key), near)
	} else {
		v.failAt(n, "unknown key %s (known: %s)", quote(n.key), join(known))
	}
}

// one keeps a line of which there is one. predixy itself takes the last.
func (v *predixy) one(to **predixyNode, n *predixyNode) {
	if *to != nil {
		v.failAt(n, "%s beside %s, %s:%d; keep one", n.key, (*to).key, (*to).file, (*to).line)
		return
	}
	*to = n
}

func (v *predixy) name(n *predixyNode) {
	name, err := parseName(n.val)
	if err != nil {
		v.failAt(n, "Name %s", err)
		return
	}
	v.pool.Name = name
}

func (v *predixy) log(n *predixyNode) {
	if v.logs = append(v.logs, n.key); v.logsAt == nil {
		v.logsAt = n
	}
}

// memory has a least bound here, below which there is none to hold to.
func (v *predixy) memory(n *predixyNode) {
	digits := strings.TrimRight(n.val, "bBkKmMgG")
	shift, ok := map[string]int{"": 0, "b": 0, "k": 10, "kb": 10, "m": 20, "mb": 20, "g": 30, "gb": 30}[strings.ToLower(n.val[len(digits):])]
	count, err := strconv.ParseInt(digits, 10, 64)
	switch {
	case err != nil || !ok || count < 0 || count > 1<<50>>shift:
		v.failAt(n, "MaxMemory %s is not a size; expected one like 100M or 1G", quote(n.val))
	case count == 0:
	case count<<shift < leastMemory:
		v.warnAt(n, "MaxMemory %s is less than the %s that max_memory has at least; there is no limit", n.val, printSize(leastMemory))
	default:
		v.c.MaxMemory = int(count << shift)
	}
}

func (v *predixy) number(n *predixyNode, to *int, least, most int) {
	x, err := strconv.Atoi(n.val)
	if err != nil || x < least || x > most {
		v.failAt(n, "%s %s is not a number from %d to %d", n.key, quote(n.val), least, most)
		return
	}
	*to = x
}

// duration reads a number of seconds, or one with a unit. What is shorter than the shortest here is that.
func (v *predixy) duration(n *predixyNode, to *time.Duration) {
	units := []struct {
		name string
		unit time.Duration
	}{{"ms", time.Millisecond}, {"us", time.Microsecond}, {"s", time.Second}, {"m", time.Millisecond}, {"u", time.Microsecond}, {"", time.Second}}
	text := strings.ToLower(n.val)
	for _, u := range units {
		digits, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		x, err := strconv.ParseInt(digits, 10, 32)
		if err != nil || x < 0 {
			break
		}
		if *to = time.Duration(x) * u.unit; x > 0 {
			*to = max(*to, time.Millisecond)
		}
		return
	}
	v.failAt(n, "%s %s is not a duration; expected one like 1, 1s, 500ms or 500us", n.key, quote(n.val))
}

// spaces warns of a value that predixy does not take as it stands.
func (v *predixy) spaces(n *predixyNode) {
	if n.spaced {
		v.warnAt(n, "%s: of a value with spaces in it and no quotes around it predixy cuts off as many bytes as there are spaces; here it is whole", n.key)
	}
}

func (v *predixy) listen() {
	listen, line, file := "0.0.0.0:7617", v.servers.line, v.servers.file
	if v.bind != nil {
		listen, line, file = v.bind.val, v.bind.line, v.bind.file
	}
	v.inFile(file, func() {
		if strings.HasPrefix(listen, "/") {
			listen = unixScheme + listen
		} else if host, port, ok := cutLast(listen, ':'); ok {
			listen = net.JoinHostPort(strings.Trim(host, "[]"), port)
		}
		checked, err := parseListen(listen)
		if err != nil {
			v.fail(line, "Bind %s", err)
			return
		}
		v.pool.Listen = checked
		if clash(checked, v.c.Admin.Listen) {
			v.warn(line, "Bind %s would be the address of the admin listener; there will be none", checked)
			v.c.Admin.Listen = ""
		}
	})
}

// customCommands: a command that Ringway does not know has no place for its keys.
func (v *predixy) customCommands(n *predixyNode) {
	for _, c := range n.sub {
		v.warnAt(c, "CustomCommand %s is not carried over: commands of modules are not served here, unless docs/commands.md has it", c.key)
	}
}

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

// predixyAuth is one Auth: what who has the password may do.
type predixyAuth struct {
	*predixyNode
	rules string
}

// users makes users of the passwords. predixy knows a client by its password alone; here AUTH with nothing but a password is the user
// default, and all other rights need a name.
func (v *predixy) users() {
	if v.authority == nil {
		return
	}
	var auths []predixyAuth
	for _, n := range v.authority.sub {
		if !n.is("Auth") {
			v.unknownKey(n, []string{"Auth"})
			continue
		}
		v.spaces(n)
		auths = slices.DeleteFunc(auths, func(a predixyAuth) bool { return a.val == n.val }) // the last one counts
		auths = append(auths, predixyAuth{n, v.rules(n)})
	}
	if len(auths) == 0 {
		v.failAt(v.authority, "Authority has no Auth; add one, or remove it")
		return
	}
	first := slices.IndexFunc(auths, func(a predixyAuth) bool { return a.val == "" })
	first = max(first, 0)
	usual := User{Name: defaultUser, Rules: auths[first].rules, NoPassword: auths[first].val == "", Line: auths[first].line}
	var others []User
	for _, a := range auths {
		switch {
		case a.rules == usual.Rules && usual.NoPassword: // any password does
		case a.rules == usual.Rules:
			usual.Passwords = append(usual.Passwords, Secret(a.val))
		default:
			u := User{Name: "auth" + strconv.Itoa(len(others)+1), Passwords: []Secret{Secret(a.val)}, Rules: a.rules, Line: a.line}
			if i := slices.IndexFunc(others, func(o User) bool { return o.Rules == u.Rules }); i >= 0 {
				others[i].Passwords = append(others[i].Passwords, u.Passwords...)
				u.Name = others[i].Name
			} else {
				others = append(others, u)
			}
			v.warnAt(a.predixyNode, "clients with this password have to say AUTH %s and the password: with the password alone they are the user default, who may do other things", u.Name)
		}
	}
	v.pool.Users = append([]User{usual}, others...)
}

// What predixy lets through, in the words of Redis' ACL. It serves none of the commands that concern everybody.
const (
	predixyReads  = "+@read +@connection +info +command +pubsub"
	predixyWrites = "+@all -@admin -@dangerous +info +sort +sort_ro +restore +ringway"
)

// rules are those of an Auth. Its prefixes for reading hold for commands that read, and those for writing for all others.
func (v *predixy) rules(n *predixyNode) string {
	mode := ""
	var keys, reads, writes []string
	for _, o := range n.sub {
		switch {
		case o.is("Mode"):
			mode = strings.ToLower(o.val)
			if mode != "read" && mode != "write" && mode != "admin" {
				v.failAt(o, "unknown Mode %s (known: read, write, admin)", quote(o.val))
			}
		case o.is("KeyPrefix"):
			keys = append(keys, v.prefixes(o)...)
		case o.is("ReadKeyPrefix"):
			reads = append(reads, v.prefixes(o)...)
		case o.is("WriteKeyPrefix"):
			writes = append(writes, v.prefixes(o)...)
		default:
			v.unknownKey(o, []string{"Mode", "KeyPrefix", "ReadKeyPrefix", "WriteKeyPrefix"})
		}
	}
	if mode == "" {
		v.failAt(n, "Auth has no Mode; expected read, write or admin")
	}
	if len(reads) == 0 {
		reads = keys
	}
	if len(writes) == 0 {
		writes = keys
	}
	patterns := func(sign string, prefixes []string) string {
		if len(prefixes) == 0 {
			return sign + "*"
		}
		var list []string
		for _, prefix := range prefixes {
			list = append(list, sign+globQuote(prefix)+"*")
		}
		return strings.Join(list, " ")
	}
	if mode == "admin" {
		v.warnAt(n, "Mode admin is like write here: CONFIG would be that of the servers, which predixy lets nobody see; RINGWAY CONFIG shows Ringway's own")
	}
	switch {
	case mode == "read":
		return patterns("~", reads) + " " + predixyReads
	case slices.Equal(reads, writes):
		return patterns("~", writes) + " " + patterns("&", writes) + " " + predixyWrites
	}
	return fmt.Sprintf("%s %s -@read -@write (%s %s -@read) (%s +@read)", patterns("&", writes), predixyWrites,
		patterns("~", writes), predixyWrites, patterns("%R~", reads))
}

// prefixes takes a list apart, which may not hold what can't stand in a rule.
func (v *predixy) prefixes(n *predixyNode) []string {
	v.spaces(n)
	list := strings.Fields(n.val)
	for _, prefix := range list {
		if strings.ContainsAny(prefix, "()") || strings.ContainsFunc(prefix, isControl) {
			v.failAt(n, "%s: %s can't stand in the rules of a user; write the user by hand", n.key, quote(prefix))
		}
	}
	return list
}

// globQuote makes a pattern that fits nothing but s.
func globQuote(s string) string {
	return strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`).Replace(s)
}
