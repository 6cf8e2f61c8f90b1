package config

import (
	"math"
	"net"
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

// What predixy lets through, in the words of Redis' ACL. It serves none of the commands that concern everybody.
const (
	predixyReads  = "+@read +@connection +info +command +pubsub"
	predixyWrites = "+@all -@admin -@dangerous +info +sort +sort_ro +restore +ringway"
)
