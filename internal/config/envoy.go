package config

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// An Envoy bootstrap file: each listener with a redis_proxy filter becomes a pool, or a pool of routes with a pool for each
// cluster that they lead to. What has no equal here is a warning, but where keys would be placed otherwise it is a mistake.

// envoy is what has been found of a file so far.
type envoy struct {
	*reader
	c        *Config
	used     *taken
	clusters map[string]*yaml.Node
}

func isEnvoy(root *yaml.Node) bool { return pick(root, "static_resources") != nil }

// pick follows names from map to map, and gives nil where there is no such thing.
func pick(n *yaml.Node, names ...string) *yaml.Node {
	for _, name := range names {
		if n = followed(n); n == nil || n.Kind != yaml.MappingNode {
			return nil
		}
		at := -1
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == name {
				at = i + 1
			}
		}
		if at < 0 {
			return nil
		}
		n = n.Content[at]
	}
	return followed(n)
}

func followed(n *yaml.Node) *yaml.Node {
	if n == nil {
		return nil
	}
	return follow(n)
}

func textAt(n *yaml.Node, names ...string) string {
	if n = pick(n, names...); n == nil || n.Kind != yaml.ScalarNode {
		return ""
	}
	return n.Value
}

// itemsAt gives what is in a list, or nothing.
func itemsAt(n *yaml.Node, names ...string) []*yaml.Node {
	if n = pick(n, names...); n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	list := make([]*yaml.Node, len(n.Content))
	for i, item := range n.Content {
		list[i] = follow(item)
	}
	return list
}

// leftOut warns of everything in a map that nobody has asked for.
func (v *envoy) leftOut(n *yaml.Node, where string, known ...string) {
	if n = followed(n); n == nil || n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if name := n.Content[i].Value; !slices.Contains(known, name) {
			v.warn(n.Content[i].Line, "%s%s is not carried over", where, name)
		}
	}
}

func (v *envoy) duration(n *yaml.Node, to *time.Duration, names ...string) {
	at := pick(n, names...)
	if at == nil {
		return
	}
	d, err := time.ParseDuration(at.Value)
	if err != nil || d < 0 {
		v.fail(at.Line, "%s %s is not a duration such as 0.5s", names[len(names)-1], quote(at.Value))
		return
	}
	*to = d
}

func (v *envoy) whole(n *yaml.Node, to *int, least, most int, names ...string) {
	at := pick(n, names...)
	if at == nil {
		return
	}
	x, err := strconv.Atoi(at.Value)
	if err != nil || x < least || x > most {
		v.fail(at.Line, "%s %s is not a number from %d to %d", names[len(names)-1], quote(at.Value), least, most)
		return
	}
	*to = x
}

// envoy reads a bootstrap file.
func (r *reader) envoy(root *yaml.Node, c *Config) {
	v := &envoy{reader: r, c: c, used: &taken{}, clusters: map[string]*yaml.Node{}}
	v.leftOut(root, "", "static_resources", "node")
	c.Admin.Listen = ""
	resources := pick(root, "static_resources")
	v.leftOut(resources, "static_resources: ", "listeners", "clusters")
	for _, n := range itemsAt(resources, "clusters") {
		v.clusters[textAt(n, "name")] = n
	}
	for _, listener := range itemsAt(resources, "listeners") {
		where := "listener " + quote(textAt(listener, "name")) + ": "
		found := false
		for _, chain := range itemsAt(listener, "filter_chains") {
			for _, filter := range itemsAt(chain, "filters") {
				cfg := pick(filter, "typed_config")
				if !strings.HasSuffix(textAt(cfg, "@type"), ".RedisProxy") {
					continue
				}
				found = true
				r.within(where, func() { v.listener(listener, cfg) })
				if socket := pick(chain, "transport_socket"); socket != nil {
					v.warn(socket.Line, "%stransport_socket is not carried over: give the pool tls", where)
				}
			}
		}
		if !found {
			v.warn(listener.Line, "%sno redis_proxy is among its filters; it is left out", where)
		}
	}
	if len(c.Pools) == 0 && len(r.problems) == 0 {
		r.fail(resources.Line, "no listener has the filter envoy.filters.network.redis_proxy; there is nothing to import")
	}
}

// listener makes the pools of one redis_proxy.
func (v *envoy) listener(listener, cfg *yaml.Node) {
	v.leftOut(cfg, "redis_proxy: ", "@type", "stat_prefix", "settings", "prefix_routes", "latency_in_micros", "downstream_auth_password",
		"downstream_auth_passwords", "downstream_auth_username", "faults")
	routes := pick(cfg, "prefix_routes")
	v.leftOut(routes, "prefix_routes: ", "routes", "catch_all_route")
	all := itemsAt(routes, "routes")
	rest := pick(routes, "catch_all_route")
	if insensitive := pick(routes, "case_insensitive"); insensitive != nil && insensitive.Value == "true" {
		v.fail(insensitive.Line, "case_insensitive prefixes are not known here: keys with another case would go elsewhere")
	}
	name := textAt(listener, "name")
	if name == "" {
		name = "redis"
	}
	if len(all) == 0 && rest != nil {
		p := v.cluster(cfg, rest, name)
		v.front(&p, listener, cfg, rest)
		v.add(p)
		return
	}
	if rest == nil && len(all) == 0 {
		v.fail(cfg.Line, "prefix_routes has no route; expected routes or catch_all_route")
		return
	}
	front := DefaultPool()
	front.Name, front.Line = name, listener.Line
	if rest != nil {
		all = append(all, rest)
	}
	for _, route := range all {
		cluster := textAt(route, "cluster")
		pool := name + "-" + cluster
		if !slices.ContainsFunc(v.c.Pools, func(p Pool) bool { return p.Name == pool }) {
			v.add(v.cluster(cfg, route, pool))
		}
		if mirror := pick(route, "request_mirror_policy"); mirror != nil {
			v.warn(mirror.Line, "request_mirror_policy is carried over only from a catch_all_route that is alone; see mirror in proxy.yml")
		}
		front.Routes = append(front.Routes, Route{Prefix: textAt(route, "prefix"), Pool: pool, StripPrefix: textAt(route, "remove_prefix") == "true", Line: route.Line})
	}
	v.front(&front, listener, cfg, nil)
	v.add(front)
}

func (v *envoy) add(p Pool) { v.c.Pools = append(v.c.Pools, p) }

// front gives p what clients see: the address, passwords, faults and the mirror.
func (v *envoy) front(p *Pool, listener, cfg, route *yaml.Node) {
	p.MaxClients = 0
	address := pick(listener, "address")
	if path := textAt(address, "pipe", "path"); path != "" {
		p.Listen = unixScheme + path
	} else {
		p.Listen = net.JoinHostPort(textAt(address, "socket_address", "address"), textAt(address, "socket_address", "port_value"))
	}
	if listen, err := parseListen(p.Listen); err != nil {
		v.fail(listener.Line, "address %s", err)
	} else {
		p.Listen = listen
		v.claimListen(v.used, p.Listen, listener.Line, "pool "+quote(p.Name))
	}
	v.passwords(p, cfg)
	for i, fault := range itemsAt(cfg, "faults") {
		if i > 0 {
			v.warn(fault.Line, "a pool has one fault; this one is not carried over")
			continue
		}
		f := &Fault{Percent: percentOf(pick(fault, "fault_enabled")), Line: fault.Line}
		v.duration(fault, &f.Delay, "delay")
		if textAt(fault, "fault_type") == "ERROR" {
			f.Error = "Fault Injected: Error"
		}
		for _, command := range itemsAt(fault, "commands") {
			f.Commands = append(f.Commands, strings.ToLower(command.Value))
		}
		if f.Percent > 0 {
			p.Fault = f
		}
	}
	for i, mirror := range itemsAt(route, "request_mirror_policy") {
		if i > 0 {
			v.warn(mirror.Line, "a pool has one mirror; this request_mirror_policy is not carried over")
			continue
		}
		pool := p.Name + "-mirror"
		m := &Mirror{Pool: pool, Percent: percentOf(pick(mirror, "runtime_fraction")), ExcludeReads: textAt(mirror, "exclude_read_commands") == "true", Line: mirror.Line}
		if m.Percent > 0 {
			p.Mirror = m
			v.add(v.cluster(cfg, mirror, pool))
		}
	}
}

// percentOf reads a RuntimeFractionalPercent; without one, all.
func percentOf(n *yaml.Node) float64 {
	if n == nil {
		return 100
	}
	value, _ := strconv.ParseFloat(textAt(n, "default_value", "numerator"), 64)
	switch textAt(n, "default_value", "denominator") {
	case "TEN_THOUSAND":
		value /= 100
	case "MILLION":
		value /= 10000
	}
	return min(value, 100)
}

func (v *envoy) passwords(p *Pool, cfg *yaml.Node) {
	sources := itemsAt(cfg, "downstream_auth_passwords")
	if one := pick(cfg, "downstream_auth_password"); one != nil {
		sources = append([]*yaml.Node{one}, sources...)
	}
	var passwords []Secret
	for _, source := range sources {
		if text := textAt(source, "inline_string"); text != "" {
			passwords = append(passwords, Secret(text))
		} else {
			v.fail(source.Line, "a password of clients is not an inline_string; write it into the pool's requirepass or users_file once imported, and take it out here")
		}
	}
	name := pick(cfg, "downstream_auth_username")
	user := textAt(name, "inline_string")
	switch {
	case len(passwords) == 0:
	case len(passwords) == 1 && (user == "" || user == "default"):
		p.RequirePass = passwords[0]
	default:
		if user == "" {
			user = "default"
		}
		p.Users = []User{{Name: user, Passwords: passwords, Rules: "~* &* +@all", Line: cfg.Line}}
	}
}

// cluster makes the pool of the cluster that a route leads to, without an address.
func (v *envoy) cluster(cfg, route *yaml.Node, pool string) Pool {
	before := len(v.problems)
	p := DefaultPool()
	p.Name, p.Line, p.HashTag, p.ConnectTimeout = pool, route.Line, "", 5*time.Second
	if _, err := parseName(pool); err != nil {
		v.fail(route.Line, "the name of the pool %s", err)
	}
	settings := pick(cfg, "settings")
	v.leftOut(settings, "settings: ", "op_timeout", "enable_hashtagging", "read_policy", "enable_redirection", "enable_command_stats",
		"max_buffer_size_before_flush", "buffer_flush_timeout")
	v.duration(settings, &p.Timeout, "op_timeout")
	if textAt(settings, "enable_hashtagging") == "true" {
		p.HashTag = "{}"
	}
	v.leftOut(route, "route: ", "prefix", "remove_prefix", "cluster", "request_mirror_policy", "runtime_fraction", "exclude_read_commands")
	n := v.clusters[textAt(route, "cluster")]
	if n == nil {
		v.fail(route.Line, "cluster %s is not among static_resources: clusters", quote(textAt(route, "cluster")))
		return p
	}
	p.Line = n.Line
	v.within("cluster "+quote(textAt(n, "name"))+": ", func() {
		v.leftOut(n, "", "name", "type", "cluster_type", "connect_timeout", "lb_policy", "ring_hash_lb_config", "maglev_lb_config", "load_balancing_policy",
			"common_lb_config", "load_assignment", "health_checks", "outlier_detection", "typed_extension_protocol_options", "alt_stat_name",
			"dns_lookup_family", "dns_refresh_rate")
		v.duration(n, &p.ConnectTimeout, "connect_timeout")
		v.duration(n, &p.DNSInterval, "dns_refresh_rate")
		v.identity(n, &p)
		v.health(n, &p)
		if textAt(n, "cluster_type", "name") == "envoy.clusters.redis" {
			v.redisCluster(n, settings, &p)
			return
		}
		v.policy(n, &p)
		v.endpoints(n, &p)
		v.ring(&p, n.Line, before)
	})
	return p
}

func (v *envoy) identity(n *yaml.Node, p *Pool) {
	options := pick(n, "typed_extension_protocol_options", "envoy.filters.network.redis_proxy")
	p.Username = textAt(options, "auth_username", "inline_string")
	password := pick(options, "auth_password")
	p.Password = Secret(textAt(password, "inline_string"))
	p.PasswordEnv = textAt(password, "environment_variable")
	p.PasswordFile = textAt(password, "filename")
}

// health: a server that Envoy finds down is off its ring, and its keys are others'.
func (v *envoy) health(n *yaml.Node, p *Pool) {
	if checks := itemsAt(n, "health_checks"); len(checks) > 0 {
		check := checks[0]
		p.OnFailure, p.MaxEjected = "eject", 100
		v.duration(check, &p.Health.Interval, "interval")
		v.duration(check, &p.Health.Timeout, "timeout")
		v.whole(check, &p.Health.Failures, 1, 1<<20, "unhealthy_threshold")
		v.whole(check, &p.Health.Successes, 1, 1<<20, "healthy_threshold")
	}
	outlier := pick(n, "outlier_detection")
	if outlier == nil {
		return
	}
	if p.OnFailure != "eject" {
		p.OnFailure, p.MaxEjected = "eject", 10
	}
	p.FailureLimit, p.RetryTimeout = 5, 30*time.Second
	v.whole(outlier, &p.FailureLimit, 1, 1<<20, "consecutive_5xx")
	v.duration(outlier, &p.RetryTimeout, "base_ejection_time")
	v.whole(outlier, &p.MaxEjected, 0, 100, "max_ejection_percent")
	v.leftOut(outlier, "outlier_detection: ", "consecutive_5xx", "base_ejection_time", "max_ejection_percent")
}

func (v *envoy) redisCluster(n, settings *yaml.Node, p *Pool) {
	p.Cluster, p.HashTag = &Cluster{Line: n.Line}, DefaultPool().HashTag
	for _, e := range v.lbEndpoints(n) {
		if address, _ := v.address(e); address != "" {
			p.Cluster.Seeds = append(p.Cluster.Seeds, address)
		}
	}
	if len(p.Cluster.Seeds) == 0 {
		v.fail(n.Line, "load_assignment has no endpoint; expected at least one, to ask for the others")
	}
	policy := pick(settings, "read_policy")
	switch textAt(settings, "read_policy") {
	case "", "MASTER":
	case "PREFER_MASTER":
		v.warn(policy.Line, "read_policy PREFER_MASTER is not known here; reads go to primaries alone")
	case "REPLICA":
		p.ReadPolicy = "replica"
	case "PREFER_REPLICA":
		p.ReadPolicy = "prefer-replica"
	case "ANY":
		p.ReadPolicy = "any"
	default:
		v.warn(policy.Line, "read_policy %s is not known here; reads go to primaries alone, see read_policy: nearest", policy.Value)
	}
}

// policy says how keys are placed.
func (v *envoy) policy(n *yaml.Node, p *Pool) {
	name, sizes := textAt(n, "lb_policy"), pick(n, "ring_hash_lb_config")
	if name == "MAGLEV" {
		sizes = pick(n, "maglev_lb_config")
	}
	consistent := pick(n, "common_lb_config", "consistent_hashing_lb_config")
	if policies := itemsAt(n, "load_balancing_policy", "policies"); len(policies) > 0 {
		sizes = pick(policies[0], "typed_extension_config", "typed_config")
		consistent = pick(sizes, "consistent_hashing_lb_config")
		switch kind := textAt(sizes, "@type"); {
		case strings.HasSuffix(kind, ".RingHash"):
			name = "RING_HASH"
		case strings.HasSuffix(kind, ".Maglev"):
			name = "MAGLEV"
		default:
			name = kind[strings.LastIndexByte(kind, '.')+1:]
		}
	}
	if factor := pick(consistent, "hash_balance_factor"); factor != nil && factor.Value != "0" {
		v.fail(factor.Line, "hash_balance_factor moves keys by load, which is not done here; without it, keys are placed as the ring says")
	}
	for _, at := range []*yaml.Node{pick(n, "common_lb_config", "locality_weighted_lb_config"), pick(sizes, "locality_weighted_lb_config")} {
		if at != nil {
			v.fail(at.Line, "locality_weighted_lb_config is not known here: keys would be placed otherwise")
		}
	}
	switch name {
	case "RING_HASH":
		p.Distribution, p.Hash = "ring_hash", ownHash
		if textAt(sizes, "hash_function") == "MURMUR_HASH_2" {
			p.Hash = envoyHash
		}
		v.whole(sizes, &p.RingSize, 1, DefaultPool().MaxRingSize, "minimum_ring_size")
		v.whole(sizes, &p.MaxRingSize, 1, DefaultPool().MaxRingSize, "maximum_ring_size")
	case "MAGLEV":
		p.Distribution, p.Hash = "maglev", ""
		v.whole(sizes, &p.TableSize, 3, 5000011, "table_size")
	default:
		if len(v.lbEndpoints(n)) > 1 {
			v.warn(n.Line, "lb_policy %s places no key twice in the same place: the pool has distribution random", quote(name))
			p.Distribution, p.Hash = "random", ""
		}
	}
}

// lbEndpoints are those of the first priority, in Envoy's order.
func (v *envoy) lbEndpoints(n *yaml.Node) (list []*yaml.Node) {
	for _, locality := range itemsAt(n, "load_assignment", "endpoints") {
		if priority := textAt(locality, "priority"); priority == "" || priority == "0" {
			list = append(list, itemsAt(locality, "lb_endpoints")...)
		}
	}
	return list
}

// address is that of an endpoint, and what Envoy makes of it.
func (v *envoy) address(e *yaml.Node) (address, printed string) {
	at := pick(e, "endpoint", "address")
	if path := textAt(at, "pipe", "path"); path != "" {
		return unixScheme + path, path
	}
	printed = net.JoinHostPort(textAt(at, "socket_address", "address"), textAt(at, "socket_address", "port_value"))
	address, err := parseBackendAddress(printed)
	if err != nil {
		v.fail(e.Line, "endpoint address %s", err)
	}
	return address, printed
}

func (v *envoy) endpoints(n *yaml.Node, p *Pool) {
	for _, locality := range itemsAt(n, "load_assignment", "endpoints") {
		if at := pick(locality, "priority"); at != nil && at.Value != "0" {
			v.warn(at.Line, "endpoints of priority %s are left out: there are no servers in reserve here", at.Value)
		}
	}
	kind := textAt(n, "type")
	byHostname := textAt(n, "common_lb_config", "consistent_hashing_lb_config", "use_hostname_for_hashing") == "true"
	if policies := itemsAt(n, "load_balancing_policy", "policies"); len(policies) > 0 {
		byHostname = textAt(policies[0], "typed_extension_config", "typed_config", "consistent_hashing_lb_config", "use_hostname_for_hashing") == "true"
	}
	names := map[string]int{}
	for _, e := range v.lbEndpoints(n) {
		b := Backend{Weight: 1, Line: e.Line}
		b.Address, b.Name = v.address(e)
		host := textAt(e, "endpoint", "address", "socket_address", "address")
		dns := kind != "" && kind != "STATIC" && host != "" && net.ParseIP(host) == nil
		if byHostname {
			b.Name = textAt(e, "endpoint", "hostname")
			if b.Name == "" {
				b.Name = host
			}
		}
		if key := textAt(e, "metadata", "filter_metadata", "envoy.lb", "hash_key"); key != "" {
			b.Name = key
		} else if dns && !byHostname && p.Distribution != "random" {
			v.fail(e.Line, "endpoint %s is a name, and Envoy places keys by the addresses that it finds for it: write these here, or use_hostname_for_hashing", quote(host))
			continue
		}
		v.whole(e, &b.Weight, 1, 1<<31-1, "load_balancing_weight")
		if _, err := parseName(b.Name); err != nil {
			v.fail(e.Line, "the name of the server %s", err)
			continue
		}
		if first, ok := claim(&names, b.Name, e.Line); !ok {
			v.fail(e.Line, "endpoint %s is the same as on line %d; keep one", quote(b.Name), first)
			continue
		}
		p.Backends = append(p.Backends, b)
	}
	if len(p.Backends) == 0 {
		v.fail(n.Line, "%s", fmt.Sprintf("load_assignment has no endpoint of priority 0 (type %s); its servers must stand in the file", quote(kind)))
	}
}
