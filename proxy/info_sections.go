package proxy

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ringway/internal/command"
	"ringway/internal/loop"
	"ringway/internal/metrics"
	"ringway/internal/release"
	"ringway/resp"
)

// What each section of INFO says.

func (r *infoReport) server() {
	w, cfg := r.session.worker, r.session.pool.shared.cfg
	up := time.Since(w.server.started)
	_, port := splitAddress(loop.LocalAddr(r.session.conn.FD()))
	r.add("redis_version", redisVersion)
	r.add("redis_git_sha1", "00000000")
	r.add("redis_git_dirty", 0)
	r.add("redis_mode", "standalone")
	r.add("os", osName())
	r.add("arch_bits", strconv.IntSize)
	r.add("monotonic_clock", "POSIX clock_gettime")
	r.add("multiplexing_api", "epoll")
	r.add("process_id", os.Getpid())
	r.add("process_supervised", "no")
	r.add("run_id", hexOf(fmt.Sprint("run ", os.Getpid(), w.server.started.UnixNano())))
	r.add("tcp_port", port)
	r.add("server_time_usec", time.Now().UnixMicro())
	r.add("uptime_in_seconds", int64(up.Seconds()))
	r.add("uptime_in_days", int64(up.Hours())/24)
	r.add("hz", 10)
	executable, _ := os.Executable()
	r.add("executable", executable)
	r.add("config_file", w.server.Config().File)
	r.add("io_threads_active", 0)
	r.add("ringway_version", release.Version())
	r.add("ringway_pool", cfg.Name)
}

func (r *infoReport) clients() {
	total := 0
	for i := range r.shards {
		total += r.shards[i].Clients
	}
	r.add("connected_clients", total)
	r.add("cluster_connections", 0)
	r.add("maxclients", r.session.pool.shared.cfg.MaxClients)
	r.add("blocked_clients", r.blocked)
	r.add("tracking_clients", r.tracked)
	r.add("pubsub_clients", r.subscribers)
	r.add("watching_clients", r.watching)
	r.add("clients_in_timeout_table", 0)
}

func (r *infoReport) memory() {
	used, rss, peak := memoryUse()
	r.addBytes("used_memory", used)
	r.addBytes("used_memory_rss", rss)
	r.addBytes("used_memory_peak", peak)
	r.addBytes("total_system_memory", systemMemory())
	limit := r.sum("maxmemory")
	for _, f := range r.figures {
		if f["maxmemory"] == "0" { // one without a limit, and the whole has none
			limit = 0
		}
	}
	r.addBytes("maxmemory", limit)
	r.add("maxmemory_policy", r.oneOf("maxmemory_policy", "noeviction"))
	ratio := 0.0
	if used > 0 {
		ratio = float64(rss) / float64(used)
	}
	r.add("mem_fragmentation_ratio", fmt.Sprintf("%.2f", ratio))
	r.add("mem_allocator", runtime.Version())
	for _, name := range []string{"number_of_cached_scripts", "number_of_functions", "number_of_libraries"} { // each node has them
		r.add(name, r.most(name))
	}
	r.add("active_defrag_running", r.most("active_defrag_running"))
	r.addSums("used_memory_lua", "used_memory_scripts", "used_memory_functions", "lazyfree_pending_objects", "lazyfreed_objects")
	r.addBytes("nodes_used_memory", r.sum("used_memory"))
	r.addBytes("nodes_used_memory_rss", r.sum("used_memory_rss"))
	r.addBytes("nodes_used_memory_peak", r.sum("used_memory_peak"))
}

func (r *infoReport) persistence() {
	for _, name := range []string{"loading", "async_loading"} {
		r.add(name, r.most(name))
	}
	r.addSums("rdb_changes_since_last_save", "rdb_saves", "aof_rewrites", "rdb_last_cow_size", "aof_last_cow_size", "rdb_last_load_keys_loaded", "rdb_last_load_keys_expired")
	for _, name := range []string{"rdb_last_bgsave_time_sec", "rdb_current_bgsave_time_sec", "aof_last_rewrite_time_sec", "aof_current_rewrite_time_sec", "module_fork_in_progress"} {
		r.add(name, r.most(name))
	}
	r.add("rdb_bgsave_in_progress", r.most("rdb_bgsave_in_progress"))
	r.add("rdb_last_save_time", r.most("rdb_last_save_time"))
	r.add("rdb_last_bgsave_status", r.oneOf("rdb_last_bgsave_status", "ok"))
	r.add("aof_enabled", r.most("aof_enabled"))
	r.add("aof_rewrite_in_progress", r.most("aof_rewrite_in_progress"))
	r.add("aof_rewrite_scheduled", r.most("aof_rewrite_scheduled"))
	r.add("aof_last_bgrewrite_status", r.oneOf("aof_last_bgrewrite_status", "ok"))
	r.add("aof_last_write_status", r.oneOf("aof_last_write_status", "ok"))
}

func (r *infoReport) stats() {
	t := r.totals()
	rate := r.session.rates(t)
	if before := r.session.pool.shared.forgotten.Load(); before != nil {
		t = t.since(before)
	}
	r.add("total_connections_received", t.accepted)
	r.add("total_commands_processed", t.commands)
	r.add("instantaneous_ops_per_sec", int64(rate.commands))
	r.add("total_net_input_bytes", t.in)
	r.add("total_net_output_bytes", t.out)
	r.add("instantaneous_input_kbps", fmt.Sprintf("%.2f", rate.in/1024))
	r.add("instantaneous_output_kbps", fmt.Sprintf("%.2f", rate.out/1024))
	r.add("rejected_connections", t.errors[metrics.TooManyClients]+t.errors[metrics.TooManyFromAddress]+t.errors[metrics.ConnectionRate])
	r.addSums("expired_keys", "evicted_keys", "keyspace_hits", "keyspace_misses", "pubsub_channels")
	r.add("pubsub_patterns", r.most("pubsub_patterns"))
	r.addSums("pubsubshard_channels")
	r.add("latest_fork_usec", r.most("latest_fork_usec"))
	r.addSums("total_forks", "migrate_cached_sockets", "total_error_replies", "unexpected_error_replies", "dump_payload_sanitizations", "evicted_clients",
		"expired_time_cap_reached_count", "expire_cycle_cpu_milliseconds", "sync_full", "sync_partial_ok", "sync_partial_err", "slave_expires_tracked_keys",
		"active_defrag_hits", "active_defrag_misses", "active_defrag_key_hits", "active_defrag_key_misses", "total_reads_processed", "total_writes_processed")
	for d, name := range [metrics.Denials]string{"auth", "cmd", "key", "channel"} {
		r.add("acl_access_denied_"+name, t.denials[d])
	}
	r.add("nodes_total_commands_processed", r.sum("total_commands_processed"))
	r.add("nodes_total_connections_received", r.sum("total_connections_received"))
}

// totals are the counters of a pool over all loops.
type totals struct {
	accepted, commands, in, out uint64
	errors                      [metrics.Kinds]uint64
	denials                     [metrics.Denials]uint64
	latencies                   []*metrics.Histogram // by command; only of what is forgotten
}

func (r *infoReport) totals() (t totals) {
	for i := range r.shards {
		sh := &r.shards[i]
		t.accepted += sh.Accepted
		t.commands += sh.Unknown
		for _, n := range sh.Requests {
			t.commands += n
		}
		t.in += sh.BytesIn
		t.out += sh.BytesOut
		for k, n := range sh.Errors {
			t.errors[k] += n
		}
		for d, n := range sh.Denials {
			t.denials[d] += n
		}
	}
	return t
}

// since is what has been counted after an earlier moment.
func (t totals) since(before *totals) totals {
	t.accepted -= before.accepted
	t.commands -= before.commands
	t.in -= before.in
	t.out -= before.out
	for k, n := range before.errors {
		t.errors[k] -= n
	}
	for d, n := range before.denials {
		t.denials[d] -= n
	}
	return t
}

// resetStats is CONFIG RESETSTAT: the nodes begin to count anew, and INFO does not tell any more of what Ringway has counted until now. Its
// metrics go on.
func (s *Session) resetStats(c *command.Command, a *resp.Args) (taken bool) {
	r := &infoReport{session: s, pool: s.pool.shared.index}
	return s.surveyAnd(c, s.requestOf(a), r.loop, func(answers []nodeAnswer) []byte {
		if e := refusal(answers, true); e != nil {
			return e
		}
		t := r.totals()
		t.latencies = make([]*metrics.Histogram, command.Count())
		for i := range r.shards {
			metrics.AddHistograms(t.latencies, r.shards[i].Commands)
		}
		s.pool.shared.forgotten.Store(&t)
		return answers[0].reply
	})
}

// sample is what the counters of a pool were when INFO was last asked for on a loop.
type sample struct {
	at   int64
	then totals
	rate rates
}

// rates are per second.
type rates struct{ commands, in, out float64 }

// shortestSample is how old a sample must be to measure a rate by.
const shortestSample = int64(100 * time.Millisecond)

// since measures the rates between the sample and now, which becomes the sample. The first time that is since the start.
func (sa *sample) since(now int64, t totals) rates {
	if now-sa.at < shortestSample {
		return sa.rate
	}
	seconds := float64(now-sa.at) / 1e9
	sa.rate = rates{
		commands: float64(t.commands-sa.then.commands) / seconds,
		in:       float64(t.in-sa.then.in) / seconds,
		out:      float64(t.out-sa.then.out) / seconds,
	}
	sa.at, sa.then = now, t
	return sa.rate
}

func (r *infoReport) replication() {
	zero := strings.Repeat("0", 40)
	r.add("role", "master")
	r.add("connected_slaves", 0)
	r.add("master_failover_state", "no-failover")
	r.add("master_replid", zero)
	r.add("master_replid2", zero)
	r.add("master_repl_offset", 0)
	r.add("second_repl_offset", -1)
	r.add("repl_backlog_active", 0)
	r.add("repl_backlog_size", 0)
	r.add("repl_backlog_first_byte_offset", 0)
	r.add("repl_backlog_histlen", 0)
}

func (r *infoReport) cpu() {
	var own, children unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &own)
	unix.Getrusage(unix.RUSAGE_CHILDREN, &children)
	seconds := func(t unix.Timeval) string { return fmt.Sprintf("%d.%06d", t.Sec, t.Usec) }
	r.add("used_cpu_sys", seconds(own.Stime))
	r.add("used_cpu_user", seconds(own.Utime))
	r.add("used_cpu_sys_children", seconds(children.Stime))
	r.add("used_cpu_user_children", seconds(children.Utime))
}

// modules lists a module that several nodes have once.
func (r *infoReport) modules() {
	seen := map[string]bool{}
	for _, line := range r.lines {
		if strings.HasPrefix(line, "module:") && !seen[line] {
			seen[line] = true
			r.out.WriteString(line + "\r\n")
		}
	}
}

// merged adds up the lines whose names begin with prefix, and whose values are lists of name=number.
func (r *infoReport) merged(prefix string) (names []string, sums map[string]map[string]float64) {
	sums = map[string]map[string]float64{}
	for _, line := range r.lines {
		name, value, _ := strings.Cut(line, ":")
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		if sums[name] == nil {
			sums[name] = map[string]float64{}
			names = append(names, name)
		}
		for _, pair := range strings.Split(value, ",") {
			k, v, _ := strings.Cut(pair, "=")
			n, _ := strconv.ParseFloat(v, 64)
			sums[name][k] += n
			if k == "avg_ttl" { // weighed by the keys that have one
				sums[name]["ttl"] += n * fieldOf(value, "expires")
			}
		}
	}
	sort.Strings(names)
	return names, sums
}

func fieldOf(pairs, name string) float64 {
	for _, pair := range strings.Split(pairs, ",") {
		if k, v, _ := strings.Cut(pair, "="); k == name {
			n, _ := strconv.ParseFloat(v, 64)
			return n
		}
	}
	return 0
}

func (r *infoReport) commandstats() {
	names, sums := r.merged("cmdstat_")
	for _, name := range names {
		c := sums[name]
		each := 0.0
		if c["calls"] > 0 {
			each = c["usec"] / c["calls"]
		}
		r.add(name, fmt.Sprintf("calls=%.0f,usec=%.0f,usec_per_call=%.2f,rejected_calls=%.0f,failed_calls=%.0f",
			c["calls"], c["usec"], each, c["rejected_calls"], c["failed_calls"]))
	}
}

func (r *infoReport) errorstats() {
	names, sums := r.merged("errorstat_")
	for _, name := range names {
		r.add(name, fmt.Sprintf("count=%.0f", sums[name]["count"]))
	}
}

func (r *infoReport) keyspace() {
	names, sums := r.merged("db")
	sort.Slice(names, func(i, j int) bool {
		return len(names[i]) < len(names[j]) || len(names[i]) == len(names[j]) && names[i] < names[j]
	})
	for _, name := range names {
		if _, err := strconv.Atoi(name[2:]); err != nil {
			continue
		}
		db := sums[name]
		ttl := 0.0
		if db["expires"] > 0 {
			ttl = db["ttl"] / db["expires"]
		}
		r.add(name, fmt.Sprintf("keys=%.0f,expires=%.0f,avg_ttl=%.0f", db["keys"], db["expires"], ttl))
	}
}

// ringway is what only a router can tell: the nodes behind it, and how it fares with them.
func (r *infoReport) ringway() {
	s := r.session
	cfg := s.pool.shared.cfg
	r.add("ringway_version", release.Version())
	r.add("pool", cfg.Name)
	r.add("pools", len(s.worker.server.open()))
	r.add("threads", r.loops)
	distribution := cfg.Distribution
	if s.pool.topo.routes != nil {
		distribution = "routes"
	}
	r.add("distribution", distribution)
	r.add("nodes", s.pool.topo.count())
	t := r.totals()
	for k, n := range t.errors {
		r.add("errors_"+metrics.Kind(k).String(), n)
	}
	var parts uint64
	var stalls [metrics.Stalls]uint64
	for i := range r.shards {
		parts += r.shards[i].Parts
		for k, n := range r.shards[i].Stalls {
			stalls[k] += n
		}
	}
	r.add("split_parts", parts)
	for k, n := range stalls {
		r.add("stalls_"+metrics.Stall(k).String(), n)
	}
	for i, node := range s.pool.topo.nodes {
		if !s.pool.topo.used[i] {
			continue
		}
		var n metrics.Node
		for j := range r.shards {
			if i >= len(r.shards[j].Nodes) {
				continue // a loop that has not heard of it yet
			}
			of := &r.shards[j].Nodes[i]
			n.Lanes += of.Lanes
			n.Depth += of.Depth
			n.Requests += of.Requests
			n.Losses += of.Losses
			n.Timeouts += of.Timeouts
		}
		state, version := "down", ""
		for j := range r.answers {
			if a := &r.answers[j]; a.node == i && a.down == "" {
				state, version = "up", r.figures[j]["redis_version"]
			}
		}
		if !s.pool.onRing(i) {
			state = "ejected"
		}
		r.add("node"+strconv.Itoa(i), fmt.Sprintf("name=%s,address=%s,state=%s,version=%s,lanes=%d,in_flight=%d,requests=%d,losses=%d,timeouts=%d",
			s.pool.topo.name(i), node.Address(), state, version, n.Lanes, n.Depth, n.Requests, n.Losses, n.Timeouts))
	}
}

// onRing reports whether a node is on the ring now.
func (ps *poolState) onRing(node int) bool {
	for i := range ps.size() {
		if ps.nth(i) == node {
			return true
		}
	}
	return false
}
