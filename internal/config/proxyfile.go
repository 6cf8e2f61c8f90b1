package config

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

var (
	topOptions     = []string{"threads", "admin", "log", "pools"}
	adminOptions   = []string{"listen"}
	logOptions     = []string{"level", "format"}
	backendOptions = []string{"name", "address", "weight"}
	logLevels      = []string{"debug", "info", "warn", "error"}
	logFormats     = []string{"text", "json"}
)

const mostThreads = 1024

// proxy reads our own file.
func (r *reader) proxy(root *yaml.Node, c *Config) {
	used := &taken{}
	adminLine := 0
	hasPools := false
	for _, e := range r.entries(root) {
		switch e.name {
		case "threads":
			if s, ok := r.scalar(e); ok {
				n, err := parseWhole(s, 0, mostThreads)
				r.check(e, err)
				c.Threads = n
			}
		case "admin":
			for _, e := range r.section(e) {
				adminLine = e.key.Line
				r.admin(e, c)
			}
		case "log":
			for _, e := range r.section(e) {
				r.log(e, c)
			}
		case "pools":
			hasPools = true
			r.pools(e, c, used)
		default:
			r.unknown(e, topOptions)
		}
	}
	if !hasPools {
		r.fail(root.Line, "no pools; expected pools: with at least one, each with name, listen and backends")
	}
	if c.Admin.Listen != "" {
		r.within("admin: ", func() { r.claimListen(used, c.Admin.Listen, adminLine, "admin") })
	}
}

// section gives the lines of a map inside of the top map.
func (r *reader) section(e entry) []entry {
	if e.value.Kind != yaml.MappingNode {
		r.fail(e.key.Line, "%s is %s; expected a map", e.name, describeNode(e.value))
		return nil
	}
	return r.entries(e.value)
}

func (r *reader) admin(e entry, c *Config) {
	if e.name != "listen" {
		r.within("admin: ", func() { r.unknown(e, adminOptions) })
		return
	}
	s, ok := r.scalar(e)
	switch {
	case !ok:
	case s == "" || s == "off":
		c.Admin.Listen = ""
	case strings.HasPrefix(s, unixScheme):
		r.fail(e.value.Line, "admin listen %s is a unix socket; expected host:port, or off", quote(s))
	default:
		addr, err := parseListen(s)
		if err != nil {
			r.fail(e.value.Line, "admin listen %s", err)
		}
		c.Admin.Listen = addr
	}
}

func (r *reader) log(e entry, c *Config) {
	var err error
	s, ok := "", true
	switch e.name {
	case "level":
		if s, ok = r.scalar(e); ok {
			c.Log.Level, err = parseChoice(s, "log level", logLevels)
		}
	case "format":
		if s, ok = r.scalar(e); ok {
			c.Log.Format, err = parseChoice(s, "log format", logFormats)
		}
	default:
		r.within("log: ", func() { r.unknown(e, logOptions) })
	}
	if err != nil {
		r.fail(e.value.Line, "%s", err)
	}
}

func (r *reader) pools(e entry, c *Config, used *taken) {
	if e.value.Kind != yaml.SequenceNode {
		r.fail(e.key.Line, "pools is %s; expected a list, each pool beginning with - name:", describeNode(e.value))
		return
	}
	if len(e.value.Content) == 0 {
		r.fail(e.key.Line, "pools is an empty list; expected at least one pool")
	}
	for i, n := range e.value.Content {
		line := n.Line
		n = follow(n)
		if n.Kind != yaml.MappingNode {
			r.fail(line, "pool %d of the list is %s; expected a map with name, listen and backends", i+1, describeNode(n))
			continue
		}
		r.within(poolPrefix(n, i), func() {
			c.Pools = append(c.Pools, r.pool(line, n, used))
		})
	}
}

// within puts where a problem is in front of it.
func (r *reader) within(where string, read func()) {
	before := r.where
	r.where = before + where
	read()
	r.where = before
}

func poolPrefix(n *yaml.Node, i int) string {
	for j := 0; j+1 < len(n.Content); j += 2 {
		if name := follow(n.Content[j+1]); n.Content[j].Value == "name" && name.Kind == yaml.ScalarNode && name.Value != "" {
			return fmt.Sprintf("pool %s: ", quote(name.Value))
		}
	}
	return fmt.Sprintf("pool %d of the list: ", i+1)
}

func (r *reader) pool(line int, n *yaml.Node, used *taken) Pool {
	before := len(r.problems)
	es := r.entries(n)
	whole := len(r.problems) == before
	p := DefaultPool()
	p.Line = line
	given := map[string]entry{}
	for _, e := range es {
		given[e.name] = e
		if e.name == "backends" {
			r.backends(e, &p)
			continue
		}
		o := findOption(e.name)
		if o == nil {
			r.unknown(e, poolOptionNames())
			continue
		}
		if s, ok := r.scalar(e); ok {
			if err := o.set(&p, s); err != nil {
				r.fail(e.value.Line, "%s", err)
			}
		}
	}
	for _, name := range []string{"name", "listen", "backends"} {
		if _, ok := given[name]; !ok && whole {
			r.fail(line, "no %s; every pool needs name, listen and backends", name)
		}
	}
	r.together(&p, given)
	r.ring(&p, given["backends"].line(), before)
	if p.Name != "" {
		r.claimName(used, p.Name, given["name"].line())
	}
	if p.Listen != "" {
		r.claimListen(used, p.Listen, given["listen"].line(), "pool "+quote(p.Name))
	}
	return p
}

func (e entry) line() int {
	if e.value == nil {
		return 0
	}
	return e.value.Line
}

// together checks options that only make sense, or none, beside others.
func (r *reader) together(p *Pool, given map[string]entry) {
	usual := DefaultPool()
	refuse := func(name, format string, args ...any) { // but a default that is written out does no harm
		o := findOption(name)
		if e, ok := given[name]; ok && o.text(p) != o.text(&usual) {
			r.fail(e.key.Line, "%s %s", name, fmt.Sprintf(format, args...))
		}
	}
	if e, ok := given["distribution"]; ok && e.value.Value != p.Distribution {
		return // refused already; what goes with it can't be told
	}
	if e, ok := given["hash"]; !ok {
		p.Hash = defaultHash(p.Distribution)
	} else if err := checkHash(p.Distribution, p.Hash); err != nil {
		r.fail(e.value.Line, "hash %s", err)
	}
	if p.Distribution != "consistent" {
		refuse("virtual_nodes", "belongs to distribution consistent, not %s; remove the line", p.Distribution)
		refuse("load_bound", "belongs to distribution consistent, not %s; remove the line", p.Distribution)
	}
	if p.Distribution != "ketama" && p.Distribution != "modula" {
		refuse("unsigned_char", "belongs to distributions ketama and modula, not %s; remove the line", p.Distribution)
	}
	if !strings.HasPrefix(p.Listen, unixScheme) {
		refuse("listen_mode", "belongs to a pool that listens on unix:///path; remove the line")
	}
	if p.Username != "" && p.Password == "" {
		refuse("username", "is set without a password; Redis takes them together")
	}
}

// backends reads the list of servers of a pool.
func (r *reader) backends(e entry, p *Pool) {
	if e.value.Kind != yaml.SequenceNode {
		r.fail(e.key.Line, "backends is %s; expected a list of {address: host:port}", describeNode(e.value))
		return
	}
	if len(e.value.Content) == 0 {
		r.fail(e.key.Line, "backends is an empty list; expected at least one {address: host:port}")
	}
	used := &taken{}
	for _, n := range e.value.Content {
		line := n.Line
		n = follow(n)
		if n.Kind != yaml.MappingNode {
			r.fail(line, "a backend is %s; expected {address: host:port}", describeNode(n))
			continue
		}
		if b, ok := r.backend(line, n); ok {
			r.claimBackend(used, b)
			p.Backends = append(p.Backends, b)
		}
	}
}

func (r *reader) backend(line int, n *yaml.Node) (b Backend, ok bool) {
	b = Backend{Weight: 1, Line: line}
	before := len(r.problems)
	for _, e := range r.entries(n) {
		if !slices.Contains(backendOptions, e.name) {
			r.within("backends: ", func() { r.unknown(e, backendOptions) })
			continue
		}
		s, ok := r.scalar(e)
		if !ok {
			continue
		}
		var err error
		switch e.name {
		case "name":
			b.Name, err = parseName(s)
		case "address":
			b.Address, err = parseBackendAddress(s)
		case "weight":
			b.Weight, err = parseWeight(s)
		}
		if err != nil {
			r.fail(e.value.Line, "backend %s %s", e.name, err)
		}
	}
	if b.Address == "" && len(r.problems) == before {
		r.fail(line, "a backend without an address; expected {address: host:port}")
	}
	if b.Name == "" {
		b.Name = b.Address
	}
	return b, len(r.problems) == before
}

func (r *reader) check(e entry, err error) {
	if err != nil {
		r.fail(e.value.Line, "%s %s", e.name, err)
	}
}

func parseWeight(s string) (int, error) {
	n, err := parseWhole(s, 1, math.MaxInt32)
	if err != nil && s == "0" {
		err = errors.New("0 would give the backend no keys; the least is 1, or remove the backend")
	}
	return n, err
}

func findOption(name string) *option {
	for i := range poolOptions {
		if poolOptions[i].name == name {
			return &poolOptions[i]
		}
	}
	return nil
}

func poolOptionNames() []string {
	var names []string
	for _, o := range poolOptions {
		names = append(names, o.name)
	}
	return append(names, "backends")
}

func join(words []string) string { return strings.Join(words, ", ") }
