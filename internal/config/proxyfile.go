package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

var (
	topOptions    = []string{"threads", "max_memory", "admin", "stats_compat", "log", "reload", "start", "shutdown", "tracing", "pools"}
	adminOptions  = []string{"listen", "tls", "pprof"}
	logOptions    = []string{"level", "format"}
	reloadOptions = []string{"watch_file"}
	logLevels     = []string{"debug", "info", "warn", "error"}
	logFormats    = []string{"text", "json"}
)

const mostThreads = 1024

// proxy reads our own file.
func (r *reader) proxy(root *yaml.Node, c *Config) {
	used := &taken{}
	adminLine, pprofLine := 0, 0
	hasPools := false
	for _, e := range r.entries(root) {
		switch e.name {
		case "threads":
			if s, ok := r.scalar(e); ok {
				n, err := parseWhole(s, 0, mostThreads)
				r.check(e, err)
				c.Threads = n
			}
		case "max_memory":
			if s, ok := r.scalar(e); ok {
				n, err := parseMemory(s)
				r.check(e, err)
				c.MaxMemory = n
			}
		case "admin":
			for _, e := range r.section(e) {
				adminLine = e.key.Line
				if e.name == "pprof" {
					pprofLine = e.key.Line
				}
				r.admin(e, c)
			}
		case "stats_compat":
			statsKind.maybe(r, e, &c.Stats)
		case "log":
			for _, e := range r.section(e) {
				r.log(e, c)
			}
		case "reload":
			for _, e := range r.section(e) {
				r.reload(e, c)
			}
		case "start":
			lines := r.section(e)
			r.within("start: ", func() { readMap(r, lines, startOptions, "", "", &c.Start) })
		case "shutdown":
			lines := r.section(e)
			r.within("shutdown: ", func() { readMap(r, lines, shutdownOptions, "", "", &c.Shutdown) })
		case "tracing":
			lines := r.section(e)
			r.within("tracing: ", func() { readMap(r, lines, tracingOptions, "", "", &c.Tracing) })
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
	r.links(c, used.silent)
	if c.Admin.Listen != "" {
		r.within("admin: ", func() { r.claimListen(used, c.Admin.Listen, adminLine, "admin") })
		if c.Admin.Pprof && !c.Admin.guarded() {
			r.fail(pprofLine, "admin: pprof is true, and everybody can reach %s; expected an address of the loopback, or tls with client_ca", quote(c.Admin.Listen))
		}
	}
	if c.Stats != nil {
		r.within("stats_compat: ", func() { r.claimListen(used, c.Stats.Listen, c.Stats.Line, "stats_compat") })
	}
}

// guarded reports whether only this machine, or only who has a certificate, gets in.
func (a *Admin) guarded() bool {
	if a.TLS != nil && a.TLS.ClientCA != "" && a.TLS.RequireClientCert {
		return true
	}
	host, _, err := net.SplitHostPort(a.Listen)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
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
	switch e.name {
	case "listen":
		r.adminListen(e, c)
	case "tls":
		r.within("admin: ", func() { serverTLSKind.maybe(r, e, &c.Admin.TLS) })
	case "pprof":
		if s, ok := r.scalar(e); ok {
			pprof, err := parseFlag(s)
			r.within("admin: ", func() { r.check(e, err) })
			c.Admin.Pprof = pprof
		}
	default:
		r.within("admin: ", func() { r.unknown(e, adminOptions) })
	}
}

func (r *reader) adminListen(e entry, c *Config) {
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

func (r *reader) reload(e entry, c *Config) {
	if e.name != "watch_file" {
		r.within("reload: ", func() { r.unknown(e, reloadOptions) })
		return
	}
	if s, ok := r.scalar(e); ok {
		watch, err := parseFlag(s)
		r.within("reload: ", func() { r.check(e, err) })
		c.Reload.Watch = watch
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
			p, listens := r.pool(line, n, used)
			if !listens {
				used.silent = append(used.silent, len(c.Pools))
			}
			c.Pools = append(c.Pools, p)
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
			return poolName(name.Value, i)
		}
	}
	return poolName("", i)
}

func poolName(name string, i int) string {
	if name == "" {
		return fmt.Sprintf("pool %d of the list: ", i+1)
	}
	return fmt.Sprintf("pool %s: ", quote(name))
}

func (r *reader) pool(line int, n *yaml.Node, used *taken) (p Pool, listens bool) {
	before := len(r.problems)
	es := r.entries(n)
	whole := len(r.problems) == before
	p = DefaultPool()
	p.Line = line
	given := readMap(r, es, poolOptions, "", "", &p)
	source := r.source(line, given, whole)
	if _, ok := given["name"]; !ok && whole {
		r.fail(line, "no name; every pool needs name, listen and backends")
	}
	servers := &taken{}
	for _, b := range p.Backends {
		r.claimBackend(servers, b)
	}
	r.together(&p, given)
	r.ring(&p, source.line(), before)
	if p.Name != "" {
		r.claimName(used, p.Name, given["name"].line())
	}
	if p.Listen != "" {
		r.claimListen(used, p.Listen, given["listen"].line(), "pool "+quote(p.Name))
	}
	_, listens = given["listen"]
	return p, listens || !whole
}

// sources are the options that say where a pool's servers come from.
var sources = []string{"backends", "sentinel", "cluster", "routes"}

// source gives the one of them that a pool has, and refuses a second.
func (r *reader) source(line int, given map[string]entry, whole bool) (source entry) {
	for _, name := range sources {
		e, ok := given[name]
		switch {
		case !ok:
		case source.value == nil:
			source = e
		default:
			r.fail(e.key.Line, "%s beside %s on line %d; a pool has one of %s", name, source.name, source.key.Line, join(sources))
		}
	}
	if source.value == nil && whole {
		r.fail(line, "no backends; every pool needs one of %s", join(sources))
	}
	return source
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
	if p.Distribution != "ring_hash" {
		refuse("ring_size", "belongs to distribution ring_hash, not %s; remove the line", p.Distribution)
		refuse("max_ring_size", "belongs to distribution ring_hash, not %s; remove the line", p.Distribution)
	}
	if p.Distribution != "maglev" {
		refuse("table_size", "belongs to distribution maglev, not %s; remove the line", p.Distribution)
	}
	if p.Distribution != "ketama" && p.Distribution != "modula" {
		refuse("unsigned_char", "belongs to distributions ketama and modula, not %s; remove the line", p.Distribution)
	}
	if !strings.HasPrefix(p.Listen, unixScheme) {
		refuse("listen_mode", "belongs to a pool that listens on unix:///path; remove the line")
	}
	checkIdentity(r, "", &p.Identity, given)
	if p.RequestRate == 0 {
		refuse("request_burst", "belongs to max_request_rate; add that, or remove the line")
	}
	if strings.HasPrefix(p.Listen, unixScheme) && p.TLS != nil {
		r.fail(p.TLS.Line, "tls does not go with listen %s, which nobody else can listen to; remove it", quote(p.Listen))
	}
	if _, listens := given["listen"]; !listens && p.TLS != nil {
		r.fail(p.TLS.Line, "tls belongs to a pool that has listen; add that, or remove it")
	}
	if n := len(p.HitPrefixes); n > MostHitPrefixes {
		refuse("hit_prefixes", "has %d of them; a pool has %d at most, each of them two time series", n, MostHitPrefixes)
	}
	if p.NodeInfo > 0 && p.NodeInfo < time.Second {
		refuse("node_info", "%s is too often; expected 1s or more, or 0 for never", printDuration(p.NodeInfo))
	}
	r.usersTogether(p, given, refuse)
	r.togetherWithSource(p, given, refuse)
	r.failureTogether(p, given, refuse)
	r.readsTogether(p, given)
}

// usersTogether checks who may log in, and that there is no doubt about what the user default is.
func (r *reader) usersTogether(p *Pool, given map[string]entry, refuse func(name, format string, args ...any)) {
	if len(p.Users) > 0 {
		refuse("users_file", "beside users; a pool has them in one place")
	}
	if len(p.DenyCommands) == 0 && p.Dangerous == "allow" {
		refuse("allow_commands", "says what deny_commands does not mean, and there is none; add that, or remove the line")
	}
	if p.Passthrough {
		const why = "does not go with passthrough, where the servers say who may do what; remove one of them"
		refuse("users", why)
		refuse("users_file", why)
		refuse("requirepass", why)
		refuse("mirror", "does not go with passthrough, whose clients are strangers to other servers; remove one of them")
		if p.Migration.Mode == "warm" {
			refuse("migration", "%s does not go with passthrough: Ringway would move keys in its own name; remove one of them", p.Migration.Mode)
		}
		if p.HotKeys.Mode != "off" && p.HotKeys.Mode != DefaultPool().HotKeys.Mode {
			refuse("hot_keys", "%s does not go with passthrough: replies are for one user only; say off, or remove it", p.HotKeys.Mode)
		}
		if p.TLS != nil && p.TLS.UserFromCert != "off" {
			r.fail(p.TLS.Line, "user_from_cert does not go with passthrough: the servers want a password; remove one of them")
		}
	}
	var names map[string]int
	for _, u := range p.Users {
		if first, ok := claim(&names, u.Name, u.Line); !ok {
			r.fail(u.Line, "user %s is on line %d already; keep one", quote(u.Name), first)
		}
	}
	r.userLimits(p)
	line, has := names[defaultUser]
	switch {
	case has && p.RequirePass != "":
		r.fail(line, "user default beside requirepass, which is its password; keep one")
	case !has && len(p.Users) > 0 && p.RequirePass == "":
		r.warn(given["users"].key.Line, "who does not log in is the user default, who may do everything; for an end to that add {name: default, rules: off}, or requirepass")
	}
}

// userLimits checks whose limits they are. Whom a file or the servers have is not known here.
func (r *reader) userLimits(p *Pool) {
	var limits map[string]int
	known := []string{defaultUser}
	for _, u := range p.Users {
		if u.Name != defaultUser {
			known = append(known, u.Name)
		}
		if u.RequestRate > 0 {
			claim(&limits, u.Name, u.Line)
		}
	}
	for _, l := range p.UserLimits {
		if first, ok := claim(&limits, l.User, l.Line); !ok {
			r.fail(l.Line, "user %s has a limit on line %d already; keep one", quote(l.User), first)
		} else if !slices.Contains(known, l.User) && p.UsersFile == "" && !p.Passthrough {
			r.fail(l.Line, "user_limits: there is no user %s (known: %s)", quote(l.User), join(known))
		}
	}
}

// defaultUser is who a client is before it logs in.
const defaultUser = "default"

// placing are the options that place keys.
var placing = map[string]bool{
	"distribution": true, "hash": true, "hash_tag": true, "virtual_nodes": true, "load_bound": true, "ring_size": true, "max_ring_size": true, "table_size": true, "unsigned_char": true,
}

// ofClients are the options of a pool that leads to others; all the rest is about servers, which it doesn't have.
var ofClients = []string{
	"name", "listen", "listen_mode", "tls", "requirepass", "users", "users_file", "user_limits", "deny_commands", "allow_commands", "dangerous_commands", "database", "cluster_mode", "max_clients",
	"max_clients_per_address", "max_connection_rate", "login_timeout", "client_idle_timeout", "max_request_rate", "request_burst", "pipeline_window",
	"max_request_size", "client_input_limit", "max_arguments", "max_key_length", "client_output_limit", "client_stall_timeout", "backlog", "tcpkeepalive", "reuseport", "hot_keys", "mirror", "fault", "routes",
	"hit_prefixes", "request_phases", "slowlog_threshold", "slowlog_length",
}

// togetherWithSource checks what does not go with servers that a cluster names, or with none.
func (r *reader) togetherWithSource(p *Pool, given map[string]entry, refuse func(name, format string, args ...any)) {
	switch {
	case p.Cluster != nil:
		for _, o := range poolOptions {
			if placing[o.name] {
				refuse(o.name, "does not go with cluster, whose slots place the keys; remove the line")
			}
		}
		refuse("on_failure", "%s does not go with cluster, which has its own failover; remove the line", p.OnFailure)
		refuse("migration", "does not go with cluster, which moves its keys itself; remove the line")
		refuse("database", "%d does not go with cluster, which has database 0 only; remove the line", p.Database)
	case len(p.Routes) > 0:
		for _, o := range poolOptions {
			if !slices.Contains(ofClients, o.name) && !slices.Contains(sources, o.name) {
				refuse(o.name, "belongs to the pools that the routes lead to; write it there")
			}
		}
		var prefixes map[string]int
		for _, route := range p.Routes {
			if first, ok := claim(&prefixes, route.Prefix, route.Line); !ok {
				r.fail(route.Line, "route prefix %s is that of the route on line %d; expected another", quote(route.Prefix), first)
			}
		}
	}
}

func (r *reader) failureTogether(p *Pool, given map[string]entry, refuse func(name, format string, args ...any)) {
	if p.OnFailure != "eject" && p.Cluster == nil {
		refuse("flush_on_return", "belongs to on_failure: eject; remove the line")
		refuse("slow_start", "belongs to on_failure: eject; remove the line")
	}
	if p.Migration.Mode != "warm" || p.Cluster != nil {
		return
	}
	if p.OnFailure == "eject" {
		refuse("migration", "warm does not go with on_failure eject: what is moved while a node is away would be lost with its return")
	}
	if p.Distribution == "random" {
		refuse("migration", "warm does not go with distribution random, in which no key has a place")
	}
	if p.Distribution == "list" {
		refuse("migration", "warm does not go with distribution list, whose order Ringways can't agree on; remove it, or write distribution: consistent")
	}
}

func (r *reader) readsTogether(p *Pool, given map[string]entry) {
	e, ok := given["read_policy"]
	if !ok || p.ReadPolicy == "primary" || e.value.Value != p.ReadPolicy {
		return
	}
	replicas := func(b Backend) bool { return len(b.Replicas) > 0 }
	if len(p.Backends) > 0 && !slices.ContainsFunc(p.Backends, replicas) {
		r.fail(e.value.Line, "read_policy %s, but no backend has replicas; add them, or remove the line", p.ReadPolicy)
	}
}

// links checks what pools say about each other: that routes and mirrors lead somewhere, and that every pool is reached
// by somebody. Silent are those that don't listen.
func (r *reader) links(c *Config, silent []int) {
	reached := map[string]bool{}
	find := func(line int, what, name string) *Pool {
		var names []string
		for i := range c.Pools {
			if c.Pools[i].Name == name {
				return &c.Pools[i]
			}
			names = append(names, c.Pools[i].Name)
		}
		hint := "(known: " + join(names) + ")"
		if near := nearest(name, names); near != "" {
			hint = "(did you mean " + near + "?)"
		}
		r.fail(line, "%s leads to pool %s, which is not in this file %s", what, quote(name), hint)
		return nil
	}
	leads := map[string][]string{}
	link := func(p *Pool, line int, what, name string) {
		to := find(line, what, name)
		switch {
		case to == nil:
		case to == p:
			r.fail(line, "%s leads back to its own pool; expected another", what)
		case len(to.Routes) > 0:
			r.fail(line, "%s leads to pool %s, which has routes itself; expected a pool with servers", what, quote(name))
		case to.Passthrough:
			r.fail(line, "%s leads to pool %s, which has passthrough; its clients have to come to it directly for that", what, quote(name))
		case to.Migration.Mode == "warm":
			r.fail(line, "%s leads to pool %s, which has migration: warm; its clients have to come to it directly for that", what, quote(name))
		default:
			leads[p.Name] = append(leads[p.Name], name)
		}
	}
	for i := range c.Pools {
		p := &c.Pools[i]
		r.within("pool "+quote(p.Name)+": ", func() {
			for _, route := range p.Routes {
				link(p, route.Line, "route "+quote(route.Prefix), route.Pool)
			}
			if p.Mirror != nil {
				link(p, p.Mirror.Line, "mirror", p.Mirror.Pool)
			}
		})
	}
	var reach func(name string)
	reach = func(name string) {
		if !reached[name] {
			reached[name] = true
			for _, next := range leads[name] {
				reach(next)
			}
		}
	}
	for i, p := range c.Pools {
		if !slices.Contains(silent, i) {
			reach(p.Name)
		}
	}
	for i, p := range c.Pools {
		if slices.Contains(silent, i) && !reached[p.Name] {
			r.within(poolName(p.Name, i), func() {
				r.fail(p.Line, "no listen; every pool needs one, unless a route or a mirror leads to it")
			})
		}
	}
}

func (r *reader) check(e entry, err error) {
	if err != nil {
		r.fail(e.value.Line, "%s %s", e.name, err)
	}
}

func parseWeight(s string) (int, error) {
	n, err := parseWhole(s, 1, math.MaxInt32)
	if err != nil && s == "0" {
		err = errors.New("0 would give it no keys; the least is 1, or remove it")
	}
	return n, err
}

func findOption(name string) *option[Pool] {
	for i := range poolOptions {
		if poolOptions[i].name == name {
			return &poolOptions[i]
		}
	}
	return nil
}

func poolOptionNames() []string { return optionNames(poolOptions) }

func join(words []string) string { return strings.Join(words, ", ") }
