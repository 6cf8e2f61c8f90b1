package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// twemproxyOption is one line that a pool of a nutcracker.yml can have, except servers. Numbers of time are in
// milliseconds there.
type twemproxyOption struct {
	name string
	set  func(p *Pool, text string) error
}

var twemproxyOptions = []twemproxyOption{
	{"listen", setTwemproxyListen},
	{"hash", func(p *Pool, s string) (err error) {
		p.Hash, err = parseChoice(s, "hash", twemproxyHashes)
		return err
	}},
	{"hash_tag", func(p *Pool, s string) (err error) {
		if p.HashTag, err = parseHashTag(s); err == nil && s == "" {
			err = errors.New(`is empty; write two characters, like "{}", or remove the line`)
		}
		return err
	}},
	{"distribution", func(p *Pool, s string) (err error) {
		p.Distribution, err = parseChoice(s, "distribution", twemproxyDistributions)
		return err
	}},
	{"timeout", func(p *Pool, s string) error {
		ms := 0
		var err error
		if s != "-1" { // the default, which twemproxy itself can't read
			ms, err = parseDigits(s, 0)
		}
		p.Timeout = time.Duration(ms) * time.Millisecond
		p.ConnectTimeout = p.Timeout
		return err
	}},
	{"backlog", func(p *Pool, s string) error {
		n, err := parseDigits(s, 0)
		p.Backlog = min(max(n, 1), 65535)
		return err
	}},
	{"preconnect", setTwemproxyFlag(func(p *Pool) *bool { return &p.Preconnect })},
	{"redis", func(p *Pool, s string) error {
		_, err := parseFlag(s)
		return err
	}},
	{"tcpkeepalive", setTwemproxyFlag(func(p *Pool) *bool { return &p.TCPKeepAlive })},
	{"reuseport", setTwemproxyFlag(func(p *Pool) *bool { return &p.ReusePort })},
	{"redis_auth", func(p *Pool, s string) error { // one password, for both sides
		p.Password, p.RequirePass = Secret(s), Secret(s)
		return nil
	}},
	{"redis_db", func(p *Pool, s string) (err error) {
		p.Database, err = parseDigits(s, 0)
		return err
	}},
	{"server_connections", func(p *Pool, s string) error {
		_, err := parseDigits(s, 1)
		return err
	}},
	{"client_connections", func(p *Pool, s string) error {
		_, err := parseDigits(s, 0)
		return err
	}},
	{"auto_eject_hosts", func(p *Pool, s string) error {
		eject, err := parseFlag(s)
		if eject {
			p.OnFailure, p.MaxEjected = "eject", 100 // it has no bound
		}
		return err
	}},
	{"server_retry_timeout", func(p *Pool, s string) error {
		ms, err := parseDigits(s, 0)
		p.RetryTimeout = time.Duration(max(ms, 1)) * time.Millisecond // 0 there: with the next request
		return err
	}},
	{"server_failure_limit", func(p *Pool, s string) error {
		n, err := parseDigits(s, 0)
		p.FailureLimit = max(n, 1) // 0 there: like 1
		return err
	}},
}

var twemproxyDistributions = []string{"ketama", "modula", "random"}

// twemproxyPool is a pool of a nutcracker.yml that says nothing.
func twemproxyPool() Pool {
	p := DefaultPool()
	p.Distribution, p.Hash, p.HashTag = "ketama", defaultHash("ketama"), ""
	p.Timeout, p.ConnectTimeout = 0, 0
	p.MaxClients = 0
	p.FailureLimit, p.RetryTimeout = 2, 30*time.Second
	return p
}

func twemproxyOptionNames() []string {
	var names []string
	for _, o := range twemproxyOptions {
		names = append(names, o.name)
	}
	return append(names, "servers")
}

// isTwemproxy tells a nutcracker.yml, a map of pools, from a proxy.yml. One map with servers in it is enough; without
// any, all that is there must be maps of twemproxy's options.
func isTwemproxy(root *yaml.Node) bool {
	known := twemproxyOptionNames()
	pools, others := 0, 0
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i].Value, follow(root.Content[i+1])
		if key == "pools" && value.Kind == yaml.SequenceNode {
			return false
		}
		options := 0
		if value.Kind == yaml.MappingNode {
			for j := 0; j+1 < len(value.Content); j += 2 {
				if value.Content[j].Value == "servers" {
					return true
				}
				if slices.Contains(known, value.Content[j].Value) {
					options++
				}
			}
		}
		if options > 0 && key != "admin" {
			pools++
		} else {
			others++
		}
	}
	return pools > 0 && others == 0
}

// twemproxy reads a nutcracker.yml.
func (r *reader) twemproxy(root *yaml.Node, c *Config) {
	used := &taken{}
	for _, e := range r.entries(root) {
		if _, err := parseName(e.name); err != nil {
			r.fail(e.key.Line, "the name of a pool %s", err)
			continue
		}
		r.within(fmt.Sprintf("pool %s: ", quote(e.name)), func() {
			if e.value.Kind != yaml.MappingNode {
				r.fail(e.key.Line, "found %s; expected a map with listen, redis: true and servers", describeNode(e.value))
				return
			}
			c.Pools = append(c.Pools, r.twemproxyPool(e, used))
		})
	}
	for _, p := range c.Pools {
		if p.Listen != "" && clash(p.Listen, c.Admin.Listen) {
			r.warn(p.Line, "pool %s listens on %s, which would be the address of the admin listener; there will be none",
				quote(p.Name), quote(p.Listen))
			c.Admin.Listen = ""
		}
	}
}

func (r *reader) twemproxyPool(pool entry, used *taken) Pool {
	before := len(r.problems)
	p := twemproxyPool()
	p.Name, p.Line = pool.name, pool.key.Line
	given := map[string]entry{}
	for _, e := range r.entries(pool.value) {
		given[e.name] = e
		if e.name == "servers" {
			r.twemproxyServers(e, &p)
			continue
		}
		i := slices.IndexFunc(twemproxyOptions, func(o twemproxyOption) bool { return o.name == e.name })
		if i < 0 {
			r.unknown(e, twemproxyOptionNames())
			continue
		}
		s, ok := r.scalar(e)
		if !ok {
			continue
		}
		if err := twemproxyOptions[i].set(&p, s); err != nil {
			if !strings.HasPrefix(err.Error(), "unknown ") {
				err = fmt.Errorf("%s %w", e.name, err)
			}
			r.fail(e.value.Line, "%s", err)
		}
	}
	for _, name := range []string{"listen", "servers"} {
		if _, ok := given[name]; !ok {
			r.fail(p.Line, "no %s; every pool needs listen and servers", name)
		}
	}
	r.speaksRedis(p.Line, given)
	r.meaningless(given)
	if p.Distribution == "random" {
		p.Hash = "" // accepted there, and never computed
	}
	r.ring(&p, given["servers"].line(), before)
	if p.Listen != "" {
		r.claimListen(used, p.Listen, given["listen"].line(), "pool "+quote(p.Name))
	}
	return p
}

// speaksRedis refuses a memcached pool: that is what twemproxy takes a pool for which says nothing.
func (r *reader) speaksRedis(line int, given map[string]entry) {
	e, ok := given["redis"]
	if !ok {
		r.fail(line, "a memcached pool, since there is no redis: true; only Redis is spoken here: add the line, or remove the pool")
	} else if e.value.Value == "false" {
		r.fail(e.value.Line, "redis is false, a memcached pool; only Redis is spoken here: write redis: true, or remove the pool")
	}
}

// meaningless warns of what is accepted and changes nothing.
func (r *reader) meaningless(given map[string]entry) {
	if e, ok := given["server_connections"]; ok && number(e) > 1 {
		r.warn(e.value.Line, "server_connections %s has no effect: one pipelined connection to each server and event loop"+
			" carries everything, and keeps the order of a client's commands", e.value.Value)
	}
	if e, ok := given["client_connections"]; ok && number(e) > 0 {
		r.warn(e.value.Line, "client_connections %s has no effect, as in twemproxy itself;"+
			" for a limit use a proxy.yml with max_clients: %s", e.value.Value, e.value.Value)
	}
}

func number(e entry) int {
	n, _ := parseDigits(e.value.Value, 0)
	return n
}

// parseDigits reads a number as twemproxy does: digits and nothing else.
func parseDigits(s string, least int) (int, error) {
	if n, err := strconv.ParseUint(s, 10, 31); err == nil && int(n) >= least {
		return int(n), nil
	}
	return 0, fmt.Errorf("%s is not a number from %d to %d", quote(s), least, math.MaxInt32)
}

func setTwemproxyFlag(field func(*Pool) *bool) func(*Pool, string) error {
	return func(p *Pool, s string) (err error) {
		*field(p), err = parseFlag(s)
		return err
	}
}

// setTwemproxyListen reads "name:port", "ip:port" or "/path", the last with the socket's mode behind it if wanted.
// The port is what follows the last colon, so that ::1:6380 is an address.
func setTwemproxyListen(p *Pool, s string) error {
	if strings.HasPrefix(s, "/") {
		path, mode, ok := cutLast(s, ' ')
		if ok {
			n, err := strconv.ParseUint(mode, 8, 32)
			if err != nil || n > 0o777 {
				return fmt.Errorf("%s does not end in a mode; write it in octal, like %s 0660", quote(s), path)
			}
			p.ListenMode = os.FileMode(n)
		} else {
			path = s
		}
		p.Listen = unixScheme + path
		return checkSocketPath(path)
	}
	host, port, ok := cutLast(s, ':')
	if !ok {
		return fmt.Errorf("%s is not an address; write host:port, or /path for a unix socket", quote(s))
	}
	n, err := parseDigits(port, 1)
	if err != nil || n > 65535 {
		return fmt.Errorf("%s has the port %s; a port is a number from 1 to 65535", quote(s), quote(port))
	}
	p.Listen, err = parseListen(net.JoinHostPort(host, strconv.Itoa(n)))
	return err
}

func (r *reader) twemproxyServers(e entry, p *Pool) {
	if e.value.Kind != yaml.SequenceNode || len(e.value.Content) == 0 {
		what := describeNode(e.value)
		if e.value.Kind == yaml.SequenceNode {
			what = "an empty list"
		}
		r.fail(e.key.Line, "servers is %s; expected a list with a host:port:weight name in each line", what)
		return
	}
	names, addresses := map[string]int{}, map[string]int{}
	for _, n := range e.value.Content {
		line := n.Line
		n = follow(n)
		if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
			r.fail(line, "a server is %s; expected host:port:weight name", describeNode(n))
			continue
		}
		b, err := parseTwemproxyServer(n.Value)
		b.Line = line
		if err != nil {
			r.fail(line, "server %s", err)
			continue
		}
		if first, ok := names[b.Name]; ok {
			r.fail(line, "server name %s is taken by the server on line %d; expected another", quote(b.Name), first)
			continue
		}
		if first, ok := addresses[sameAddress(b.Address)]; ok {
			r.warn(line, "server %s is the same as on line %d under another name; a proxy.yml has weights for this",
				quote(b.Address), first)
		}
		names[b.Name], addresses[sameAddress(b.Address)] = line, line
		p.Backends = append(p.Backends, b)
	}
}

// parseTwemproxyServer reads "host:port:weight [name]" or "/path:weight [name]", from its end as twemproxy does.
//
// The name decides where keys are, so a server without one must get exactly what twemproxy hashes: host:port as
// written, but the host alone with port 11211 (as libmemcached had it), and for a socket the path with its colon.
func parseTwemproxyServer(s string) (Backend, error) {
	malformed := func(why string) (Backend, error) {
		return Backend{}, fmt.Errorf("%s %s; write host:port:weight name, or /path:weight name", quote(s), why)
	}
	address, name, named := cutLast(s, ' ')
	if !named {
		address = s
	} else if name == "" {
		return malformed("has a space without a name behind it")
	}
	address, weightText, ok := cutLast(address, ':')
	if !ok {
		return malformed("is not a server")
	}
	weight, err := parseDigits(weightText, 1)
	if err != nil {
		return malformed(fmt.Sprintf("has the weight %s, which is not a number of at least 1", quote(weightText)))
	}
	b := Backend{Name: name, Weight: weight}
	if strings.HasPrefix(s, "/") {
		if !named {
			b.Name = address + ":"
		}
		b.Address, err = unixScheme+address, checkSocketPath(address)
	} else {
		host, port, ok := cutLast(address, ':')
		n, bad := parseDigits(port, 1)
		if !ok || bad != nil || n > 65535 {
			return malformed("has no port from 1 to 65535 before its weight")
		}
		if !named && n == 11211 {
			b.Name = host
		} else if !named {
			b.Name = address
		}
		b.Address, err = parseBackendAddress(net.JoinHostPort(host, strconv.Itoa(n)))
	}
	if err != nil {
		return Backend{}, err
	}
	if _, err := parseName(b.Name); err != nil {
		return malformed("has a name that can't be printed")
	}
	return b, nil
}

// cutLast is strings.Cut at the last separator.
func cutLast(s string, sep byte) (before, after string, found bool) {
	if i := strings.LastIndexByte(s, sep); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return "", "", false
}
