package metrics

import (
	"runtime"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"ringway/internal/command"
)

// family is a row of the table: all that there is to know of the metrics of one name. What is scraped and what
// docs/metrics.md says of it both come from here. Exactly one of the functions is set; it puts the family's values,
// and the labels pool and node come before those that it puts itself.
type family struct {
	name   string
	help   string
	kind   prometheus.ValueType
	labels []string // after pool and node
	values []value  // what the last label can say, if that is a short list

	pool    func(p *Pool, put put)
	node    func(n *Node, put put)
	info    func(n *NodeInfo, put put)
	total   func(l *Loop, put put) // all loops together
	loop    func(l *Loop, put put) // each loop, with the label loop first
	process func(c *collector, put put)
	latency func(p *Pool) *Histogram
	spread  func(p *Pool, put putSpread) // a histogram for each of its labels
	phases  func(n *Node, put putSpread) // likewise, of each node
}

// put hands over a value and its labels.
type put func(v float64, labels ...string)

// putSpread hands over a histogram and its labels: its bounds, how many there are in the bucket of each and, at the end, beyond all.
type putSpread func(bounds []float64, counts []uint64, sum float64, labels ...string)

type value struct{ name, meaning string }

// section is a heading of docs/metrics.md and what stands under it.
type section struct {
	title    string
	families []family
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

var table = []section{
	{"Clients and requests", []family{
		{
			name: "ringway_clients", kind: gauge,
			help: "Clients connected now.",
			pool: func(p *Pool, put put) { put(float64(p.Clients)) },
		},
		{
			name: "ringway_clients_accepted_total", kind: counter,
			help: "Clients accepted. Those turned away at max_clients are errors instead, of kind too_many_clients.",
			pool: func(p *Pool, put put) { put(float64(p.Accepted)) },
		},
		{
			name: "ringway_requests_total", kind: counter, labels: []string{"command"},
			help: "Requests read from clients, by command. A command appears with its first request; unknown ones count as unknown.",
			pool: putRequests,
		},
		{
			name:    "ringway_request_duration_seconds",
			help:    "From the turn in which a request was read to the turn that had its whole reply. Requests that Ringway answers itself are not in it.",
			latency: func(p *Pool) *Histogram { return &p.Latency },
		},
		{
			name: "ringway_slow_requests_total", kind: counter,
			help: "Requests that took `slowlog_threshold` or longer: SLOWLOG GET has the latest. What blocks is not among them.",
			pool: func(p *Pool, put put) { put(float64(p.Slow)) },
		},
		{
			name: "ringway_phase_duration_seconds", labels: []string{"phase"}, values: phaseValues,
			help:   "How long the parts of a request's time took, of requests and parts of requests for nodes. Blocking commands count for none but write.",
			spread: putPhases,
		},
		{
			name: "ringway_lookups_total", kind: counter, labels: []string{"result"}, values: lookupValues,
			help: "Keys that were read by GET, GETEX, GETDEL, MGET, HGETALL and SMEMBERS, and fields by HGET and HMGET, by whether they were there, as clients were told. " +
				"Replies over 1 MiB are not looked at, nor are those in transactions and scripts.",
			pool: func(p *Pool, put put) { p.Lookups.put(put) },
		},
		{
			name: "ringway_prefix_lookups_total", kind: counter, labels: []string{"prefix", "result"},
			help: "The same for keys that begin with one of the pool's `hit_prefixes`.",
			pool: putPrefixes,
		},
		{
			name: "ringway_errors_total", kind: counter, labels: []string{"kind"}, values: kindValues,
			help: "Error replies sent and clients let go, by kind.",
			pool: func(p *Pool, put put) {
				for k, n := range p.Errors {
					put(float64(n), Kind(k).String())
				}
			},
		},
		{
			name: "ringway_denials_total", kind: counter, labels: []string{"reason"}, values: denialValues,
			help: "Logins that were refused, and requests that the user may not send, by reason. ACL LOG tells of them.",
			pool: func(p *Pool, put put) {
				for d, n := range p.Denials {
					put(float64(n), Denial(d).String())
				}
			},
		},
		{
			name: "ringway_client_stalls_total", kind: counter, labels: []string{"reason"}, values: stallValues,
			help: "Times Ringway stopped reading requests from a client for a while, by reason.",
			pool: func(p *Pool, put put) {
				for s, n := range p.Stalls {
					put(float64(n), Stall(s).String())
				}
			},
		},
		{
			name: "ringway_retries_total", kind: counter, labels: []string{"reason"}, values: retryValues,
			help: "Requests and parts of requests that were sent a second time, by reason. What may have been a write that was carried out is not.",
			pool: func(p *Pool, put put) {
				for r, n := range p.Retries {
					put(float64(n), Retry(r).String())
				}
			},
		},
		{
			name: "ringway_client_bytes_total", kind: counter, labels: []string{"direction"},
			values: []value{{"in", "read from clients"}, {"out", "written to clients"}},
			help:   "Bytes read from clients (in) and written to them (out).",
			pool: func(p *Pool, put put) {
				put(float64(p.BytesIn), "in")
				put(float64(p.BytesOut), "out")
			},
		},
		{
			name: "ringway_pool_memory_bytes", kind: gauge, labels: []string{"kind"},
			values: []value{
				{"clients", "Clients, with their requests and replies."},
				{"lanes", "Connections to nodes, with what waits to be sent there and who waits for replies."},
				{"kept", "Replies of hot keys that are kept."},
				{"sketches", "What tells which keys are hot."},
			},
			help: "Memory that the pool takes, by what it is for; objects only, without what is garbage or kept for reuse.",
			pool: func(p *Pool, put put) {
				put(float64(p.ClientMemory), "clients")
				put(float64(p.LaneMemory), "lanes")
				put(float64(p.NearBytes), "kept")
				put(float64(p.SketchMemory), "sketches")
			},
		},
		{
			name: "ringway_fanout_parts_total", kind: counter,
			help: "Parts made from requests that go to several nodes: each node's share is one.",
			pool: func(p *Pool, put put) { put(float64(p.Parts)) },
		},
		{
			name:   "ringway_fanout_width",
			help:   "Requests that go to several nodes, by how many parts they have.",
			spread: func(p *Pool, put putSpread) { put(widthBounds, p.Widths.Buckets[:], float64(p.Widths.Sum)) },
		},
	}},
	{"TLS", []family{
		{
			name: "ringway_tls_handshakes_total", kind: counter, labels: []string{"result"}, values: handshakeValues,
			help: "TLS handshakes of clients, by result. Those with nodes are connections to them, which fail or don't.",
			pool: func(p *Pool, put put) {
				for h, n := range p.Handshakes {
					put(float64(n), Handshake(h).String())
				}
			},
		},
		{
			name: "ringway_tls_certificate_expiry_timestamp_seconds", kind: gauge, labels: []string{"pool", "side"},
			values: []value{{"clients", "shown to clients"}, {"backends", "shown to nodes"}, {"admin", "shown at the admin address, which is of no pool"}},
			help:   "When a certificate of ours expires, in seconds since 1970, by whom it is shown to.",
			process: func(c *collector, put put) {
				list, _ := c.src.Certificates()
				for _, of := range list {
					put(float64(of.NotAfter.Unix()), valid(of.Pool), of.Side)
				}
			},
		},
		{
			name: "ringway_tls_last_reload_successful", kind: gauge,
			help: "1 if the certificates and passwords in use are those in the files; 0 if those could not be taken over when they changed.",
			process: func(c *collector, put put) {
				_, current := c.src.Certificates()
				put(one(current))
			},
		},
	}},
	{"Hot keys", []family{
		{
			name: "ringway_hot_keys", kind: gauge,
			help: "Keys that have far more than their share of the requests now. HOTKEYS says which.",
			pool: func(p *Pool, put put) { put(float64(p.HotKeys)) },
		},
		{
			name: "ringway_hot_key_share", kind: gauge,
			help: "The share that the hottest of them has of the requests with one key, 0 while there is none.",
			pool: func(p *Pool, put put) { put(p.HotShare) },
		},
		{
			name: "ringway_hot_key_promotions_total", kind: counter,
			help: "Times a key became hot.",
			pool: func(p *Pool, put put) { put(float64(p.Promotions)) },
		},
		{
			name: "ringway_hot_key_demotions_total", kind: counter,
			help: "Times a key was hot no more.",
			pool: func(p *Pool, put put) { put(float64(p.Demotions)) },
		},
		{
			name: "ringway_collapsed_reads_total", kind: counter,
			help: "Reads of hot keys that the node was spared, because they were answered with the reply to the same read of another client.",
			pool: func(p *Pool, put put) { put(float64(p.Collapsed)) },
		},
		{
			name: "ringway_near_reads_total", kind: counter,
			help: "Reads of hot keys that were answered with a reply which the router keeps.",
			pool: func(p *Pool, put put) { put(float64(p.Near)) },
		},
		{
			name: "ringway_near_bytes", kind: gauge,
			help: "Memory of the replies that are kept.",
			pool: func(p *Pool, put put) { put(float64(p.NearBytes)) },
		},
		{
			name: "ringway_copy_reads_total", kind: counter,
			help: "Reads of hot keys that were sent to a copy on one of the nodes.",
			pool: func(p *Pool, put put) { put(float64(p.CopyReads)) },
		},
		{
			name: "ringway_copy_misses_total", kind: counter,
			help: "Reads of hot keys that found no copy, or could not tell, and were answered in another way.",
			pool: func(p *Pool, put put) { put(float64(p.CopyMisses)) },
		},
		{
			name: "ringway_copies_sent_total", kind: counter,
			help: "Copies of hot keys that were sent to nodes.",
			pool: func(p *Pool, put put) { put(float64(p.Populates)) },
		},
		{
			name: "ringway_copy_errors_total", kind: counter,
			help: "Copies of hot keys that a node did not take.",
			pool: func(p *Pool, put put) { put(float64(p.PopulateErrors)) },
		},
		{
			name: "ringway_hot_key_validations_total", kind: counter,
			help: "Times a node was asked to tell of changes of a hot key.",
			pool: func(p *Pool, put put) { put(float64(p.Validations)) },
		},
		{
			name: "ringway_hot_key_invalidations_total", kind: counter,
			help: "Times a node told that a hot key has changed.",
			pool: func(p *Pool, put put) { put(float64(p.Invalidations)) },
		},
		{
			name: "ringway_tracking_connections", kind: gauge,
			help: "Connections on which nodes tell of changes of hot keys. There are none while nothing is hot.",
			pool: func(p *Pool, put put) { put(float64(p.Trackers)) },
		},
		{
			name: "ringway_hot_key_lease_age_seconds", kind: gauge,
			help: "How long ago nodes have answered on such connections, on average, while something is kept: beyond max_staleness nothing of it is told.",
			pool: func(p *Pool, put put) { put(float64(p.LeaseAge) / 1e9 / float64(max(p.Trackers, 1))) },
		},
	}},
	{"Copies and faults", []family{
		{
			name: "ringway_mirrored_total", kind: counter,
			help: "Requests of which a copy was sent to the pool's mirror.",
			pool: func(p *Pool, put put) { put(float64(p.Mirrored)) },
		},
		{
			name: "ringway_mirror_dropped_total", kind: counter,
			help: "Copies that were not sent, because a node of the mirror was down or behind, or because it has the keys on different nodes.",
			pool: func(p *Pool, put put) { put(float64(p.MirrorDropped)) },
		},
		{
			name: "ringway_mirror_errors_total", kind: counter,
			help: "Copies that the mirror answered with an error, or not at all; of one that was split each part counts.",
			pool: func(p *Pool, put put) { put(float64(p.MirrorErrors)) },
		},
		{
			name: "ringway_traces_total", kind: counter, labels: []string{"result"},
			values: []value{{"taken", "it was handed to the exporter"}, {"dropped", "there was no room, for the collector is slow or away"}},
			help:   "Requests that were picked to be told to the collector of `tracing`.",
			pool: func(p *Pool, put put) {
				put(float64(p.Traces[0]), "taken")
				put(float64(p.Traces[1]), "dropped")
			},
		},
		{
			name: "ringway_faults_injected_total", kind: counter, labels: []string{"kind"},
			values: []value{{"delay", "a request was held back"}, {"error", "a request was answered with the error, not sent"}},
			help:   "What the pool's `fault` did to requests. One that is held back and then gets the error counts as both.",
			pool: func(p *Pool, put put) {
				for k, n := range p.Faults {
					put(float64(n), Fault(k).String())
				}
			},
		},
	}},
	{"Nodes", []family{
		{
			name: "ringway_node_up", kind: gauge,
			help: "1 unless the node was found to be down, by a lost connection or by health checks; 0 if its keys fail at once.",
			node: func(n *Node, put put) { put(one(n.Up)) },
		},
		{
			name: "ringway_node_ejected", kind: gauge,
			help: "1 while the node is off the ring and its keys belong to the others (on_failure: eject).",
			node: func(n *Node, put put) { put(one(n.Ejected)) },
		},
		{
			name: "ringway_node_ejections_total", kind: counter, labels: []string{"reason"}, values: ejectionValues,
			help: "Times the node was taken off the ring, by reason.",
			node: func(n *Node, put put) {
				for i, v := range ejectionValues {
					put(float64(n.Ejections[i]), v.name)
				}
			},
		},
		{
			name: "ringway_node_checks_failed_total", kind: counter,
			help: "Health checks that failed. One alone means nothing; failures in a row take the node down.",
			node: func(n *Node, put put) { put(float64(n.FailedChecks)) },
		},
		{
			name: "ringway_node_lanes", kind: gauge,
			help: "Open connections to the node: one for each event loop, database and RESP version in use.",
			node: func(n *Node, put put) { put(float64(n.Lanes)) },
		},
		{
			name: "ringway_node_in_flight", kind: gauge,
			help: "Requests that wait for the node's reply, on all its lanes.",
			node: func(n *Node, put put) { put(float64(n.Depth)) },
		},
		{
			name: "ringway_node_unsent_bytes", kind: gauge,
			help: "Bytes of requests that the node has not taken yet. Clients wait for a lane beyond backend_output_limit.",
			node: func(n *Node, put put) { put(float64(n.Unsent)) },
		},
		{
			name: "ringway_node_requests_total", kind: counter,
			help: "Requests for the node, those that fail because it is down included; each part of a split request is one.",
			node: func(n *Node, put put) { put(float64(n.Requests)) },
		},
		{
			name: "ringway_node_phase_duration_seconds", labels: []string{"phase"}, values: phaseValues,
			help:   "The same for the node's requests. Replies that are put together of several nodes' are written by none.",
			phases: func(n *Node, put putSpread) { n.Phases.put(put) },
		},
		{
			name: "ringway_node_bytes_total", kind: counter, labels: []string{"direction"},
			values: []value{{"in", "read from the node"}, {"out", "written to the node"}},
			help:   "Bytes read from the node (in) and written to it (out).",
			node: func(n *Node, put put) {
				put(float64(n.BytesIn), "in")
				put(float64(n.BytesOut), "out")
			},
		},
		{
			name: "ringway_node_connects_total", kind: counter,
			help: "Connections to the node that were established.",
			node: func(n *Node, put put) { put(float64(n.Connects)) },
		},
		{
			name: "ringway_node_connect_errors_total", kind: counter,
			help: "Attempts to connect to the node that failed.",
			node: func(n *Node, put put) { put(float64(n.ConnectErrors)) },
		},
		{
			name: "ringway_node_losses_total", kind: counter,
			help: "Connections that broke or were given up, with all the requests that waited on them.",
			node: func(n *Node, put put) { put(float64(n.Losses)) },
		},
		{
			name: "ringway_node_timeouts_total", kind: counter,
			help: "Connections given up because the node was silent for the pool's timeout while a reply was due.",
			node: func(n *Node, put put) { put(float64(n.Timeouts)) },
		},
		{
			name: "ringway_node_garbage_total", kind: counter,
			help: "Replies that were not RESP, that no request had asked for, or over max_reply_size.",
			node: func(n *Node, put put) { put(float64(n.Garbage)) },
		},
		{
			name: "ringway_node_sheds_total", kind: counter,
			help: "Requests refused because the node had max_node_requests or max_node_bytes in flight.",
			node: func(n *Node, put put) { put(float64(n.Sheds)) },
		},
	}},
	{"What nodes say of themselves", nodeInfoFamilies},
	{"Warm scaling", []family{
		{
			name: "ringway_migration_mode", kind: gauge,
			help: "For pools with migration: warm. 0 none (nothing is served: it waits for the others), 1 plain, 2 hold, 3 warm, 4 drain.",
			pool: putMigration(func(m *Migration) float64 { return float64(m.Mode) }),
		},
		{
			name: "ringway_migration_members", kind: gauge,
			help: "Ringways of the pool that are alive, as far as this one knows.",
			pool: putMigration(func(m *Migration) float64 { return float64(m.Members) }),
		},
		{
			name: "ringway_migration_lapses_total", kind: counter,
			help: "Times this Ringway lost its lease, for none of the pool's nodes had answered it for too long, and began anew.",
			pool: putMigration(func(m *Migration) float64 { return float64(m.Lapses) }),
		},
		{
			name: "ringway_migration_hold_seconds_total", kind: counter,
			help: "Time for which requests for keys that move were held while the Ringways changed over.",
			pool: putMigration(func(m *Migration) float64 { return float64(m.Held) / 1e9 }),
		},
		{
			name: "ringway_migration_moves_total", kind: counter, labels: []string{"result"}, values: moveValues,
			help: "Attempts to bring a key from its old node because a client wanted it, by result.",
			pool: func(p *Pool, put put) {
				if p.Migration.On {
					for m, n := range p.Moves {
						put(float64(n), Move(m).String())
					}
				}
			},
		},
		{
			name: "ringway_migration_voids_total", kind: counter,
			help: "Keys that were removed from their old node ahead of a write.",
			pool: func(p *Pool, put put) {
				if p.Migration.On {
					put(float64(p.Voids))
				}
			},
		},
		{
			name: "ringway_migration_walked_keys", kind: gauge,
			help: "Keys of an old node that the background mover of this process has gone through, in its present or last pass.",
			node: func(n *Node, put put) {
				if n.Walk > 0 {
					put(float64(n.Walked))
				}
			},
		},
		{
			name: "ringway_migration_keys", kind: gauge,
			help: "Keys that the node had when that pass began.",
			node: func(n *Node, put put) {
				if n.Walk > 0 {
					put(float64(n.Walk))
				}
			},
		},
	}},
	{"The process", []family{
		{
			name: "ringway_build_info", kind: gauge, labels: []string{"version", "goversion"},
			help:    "Always 1; the labels say what is running.",
			process: func(c *collector, put put) { put(1, c.version, runtime.Version()) },
		},
		{
			name: "ringway_start_time_seconds", kind: gauge,
			help:    "When Ringway started, in seconds since 1970.",
			process: func(c *collector, put put) { put(float64(c.started.UnixMilli()) / 1000) },
		},
		{
			name: "ringway_config_last_reload_successful", kind: gauge,
			help:    "1 if the running configuration is the one that was last read; 0 if that could not be taken over.",
			process: func(c *collector, put put) { put(one(!c.src.Reloads().OutOfDate)) },
		},
		{
			name: "ringway_config_last_reload_success_timestamp_seconds", kind: gauge,
			help:    "When the running configuration was taken over, in seconds since 1970.",
			process: func(c *collector, put put) { put(float64(c.src.Reloads().Last.UnixMilli()) / 1000) },
		},
		{
			name: "ringway_config_reloads_total", kind: counter, labels: []string{"result"},
			values: []value{{"done", "another configuration was taken over"}, {"failed", "it could not be read or taken over"}},
			help:   "Attempts to exchange the configuration while running, by result.",
			process: func(c *collector, put put) {
				put(float64(c.src.Reloads().Done), "done")
				put(float64(c.src.Reloads().Failed), "failed")
			},
		},
		{
			name: "ringway_loop_turns_total", kind: counter,
			help: "Turns of each event loop.",
			loop: func(l *Loop, put put) { put(float64(l.Turns)) },
		},
		{
			name: "ringway_panics_total", kind: counter,
			help:  "Panics that an event loop survived. Each is a bug: please report it with the log.",
			total: func(l *Loop, put put) { put(float64(l.Panics)) },
		},
		{
			name: "ringway_memory_held_bytes", kind: gauge,
			help:    "Memory that is in use, or was and has not been cleaned up yet: what `max_memory` bounds.",
			process: func(c *collector, put put) { put(float64(c.src.Memory().Held)) },
		},
		{
			name: "ringway_go_memory_bytes", kind: gauge, labels: []string{"kind"},
			values: []value{
				{"heap", "Objects, and those that are garbage and not cleaned up yet: all that is in ringway_pool_memory_bytes, and the rest."},
				{"free", "Ready for objects, and not given back to the system yet."},
				{"stacks", "Stacks of goroutines and threads."},
				{"runtime", "The runtime's own."},
			},
			help: "Memory that Go's runtime has of the system, by what it is for.",
			process: func(c *collector, put put) {
				m := c.src.Memory()
				put(float64(m.Heap), "heap")
				put(float64(m.Free), "free")
				put(float64(m.Stacks), "stacks")
				put(float64(m.Runtime), "runtime")
			},
		},
		{
			name: "ringway_memory_limit_bytes", kind: gauge,
			help:    "`max_memory`, 0 for no limit.",
			process: func(c *collector, put put) { put(float64(c.src.Memory().Limit)) },
		},
		{
			name: "ringway_memory_short", kind: gauge,
			help:    "1 while new clients and long requests are refused because of `max_memory`.",
			process: func(c *collector, put put) { put(one(c.src.Memory().Short)) },
		},
		{
			name: "ringway_accept_failures_total", kind: counter,
			help:  "Times no client could be accepted because file descriptors or memory had run out.",
			total: func(l *Loop, put put) { put(float64(l.AcceptFailures)) },
		},
	}},
}

var kindValues = []value{
	NodeError:          {"node_error", "The node's own error, such as `-WRONGTYPE`, passed on as it came."},
	NodeDown:           {"node_down", "The node can't be reached, broke the connection or did not answer in time. Each part of a split request counts."},
	CrossSlot:          {"cross_slot", "Keys on different nodes, for a command that can't be split."},
	BadCommand:         {"bad_command", "Unknown, refused, or wrong arguments."},
	Unauthorized:       {"unauthorized", "No password, or a wrong one."},
	Protocol:           {"protocol", "The client sent something that is not RESP, and was closed."},
	TooManyClients:     {"too_many_clients", "Turned away: the pool had `max_clients`."},
	Stalled:            {"client_stalled", "Closed: the client read none of its replies for `client_stall_timeout`."},
	Merge:              {"merge", "The nodes' answers to the parts of a request don't fit together."},
	Denied:             {"denied", "The client's user may not do it, or `deny_commands` has it for the pool."},
	Injected:           {"injected", "The error of the pool's `fault`."},
	NoRoute:            {"no_route", "A key that none of the pool's `routes` is for."},
	TooManyFromAddress: {"too_many_from_address", "Turned away: its address had `max_clients_per_address`."},
	ConnectionRate:     {"connection_rate", "Turned away: there were more than `max_connection_rate` in a second."},
	LoginTimeout:       {"login_timeout", "Closed: the client had to log in and had not, `login_timeout` after it connected."},
	Idle:               {"idle", "Closed: the client asked nothing for `client_idle_timeout`."},
	RequestTooBig:      {"request_too_big", "The request, or one of its arguments, was beyond `client_input_limit` or `max_request_size`, and the client was closed."},
	TooManyArguments:   {"too_many_arguments", "The request had more than `max_arguments`, and the client was closed."},
	KeyTooLong:         {"key_too_long", "A key of the request was longer than `max_key_length`. Nothing of it was sent."},
	RateLimited:        {"rate_limited", "Beyond the `max_request_rate` of the user or the pool. Nothing of the request was sent."},
	OutOfMemory:        {"out_of_memory", "The process held `max_memory`: a client was turned away, a request refused, or a client closed."},
	Shed:               {"shed", "The node had `max_node_requests` or `max_node_bytes` in flight. Nothing of the request was sent."},
}

var lookupValues = []value{
	{"hit", "It was there."},
	{"miss", "It was not: the reply was nil, or empty."},
}

var denialValues = []value{
	DeniedLogin:   {"auth", "A wrong name or password."},
	DeniedCommand: {"command", "The user may not send the command, or nobody in the pool."},
	DeniedKey:     {"key", "The user may not use one of the keys."},
	DeniedChannel: {"channel", "The user may not use one of the channels."},
}

var handshakeValues = []value{
	HandshakeDone:          {"done", "It went well."},
	HandshakeResumed:       {"resumed", "It went well, and took the short way of a session that was begun before."},
	HandshakePlain:         {"not_tls", "The client does not speak TLS."},
	HandshakeVersion:       {"version", "The client offers no version from `min_version` on."},
	HandshakeNoCertificate: {"no_certificate", "The client has no certificate, and `require_client_cert` asks for one."},
	HandshakeCertificate:   {"bad_certificate", "The client's certificate has expired, or is not signed by `client_ca`."},
	HandshakeRefused:       {"refused", "The client refuses, most often because it does not trust our certificate."},
	HandshakeTimeout:       {"timeout", "It was not done after `handshake_timeout`."},
	HandshakeCrowded:       {"crowded", "The client was silent for a second while a thousand others were at it and more were waiting."},
	HandshakeClosed:        {"closed", "The client went away."},
	HandshakeOther:         {"other", "Something else, which the log has."},
	HandshakeToPlain:       {"to_plain", "A client that speaks TLS came to an address without it."},
}

// ejectionValues are in the order of pool.EjectionReason.
var ejectionValues = []value{
	{"failures", "`failure_limit` connections in a row were refused, lost or timed out."},
	{"health_check", "Health checks found it down."},
}

var stallValues = []value{
	StallWindow:  {"window", "`pipeline_window` requests are in flight. Normal for clients with long pipelines."},
	StallOutput:  {"output", "`client_output_limit` bytes of replies wait because the client does not read them."},
	StallNode:    {"node", "A node does not take its requests: `backend_output_limit` bytes wait for it."},
	StallBarrier: {"barrier", "SELECT, HELLO or RESET waits for the requests before it."},
	StallFault:   {"fault", "The pool's `fault` delays the client's next request."},

	StallMigration: {"migration", "The key moves, and the Ringways of the pool are changing over; or this one waits for the others."},
	StallPieces:    {"pieces", "Its requests come in very small pieces: it is read again a little later, when there is more."},
}

var moveValues = []value{
	MoveMoved:   {"moved", "It was brought."},
	MoveAbsent:  {"absent", "The old node does not have it."},
	MoveThere:   {"there", "The new node has it already."},
	MoveAborted: {"aborted", "A write came between: what was taken is older, and dropped."},
	MoveLost:    {"lost", "The new node did not take it, or a connection broke: the value is lost."},
}

// putMigration puts a value of pools with warm scaling.
func putMigration(f func(m *Migration) float64) func(p *Pool, put put) {
	return func(p *Pool, put put) {
		if p.Migration.On {
			put(f(&p.Migration))
		}
	}
}

var retryValues = []value{
	RetryMoved: {"moved", "The Redis Cluster has the key on another node (MOVED)."},
	RetryAsk:   {"ask", "The Redis Cluster is moving the key to another node (ASK)."},
	RetryWait:  {"not_ready", "A node was not ready for it (TRYAGAIN, CLUSTERDOWN, LOADING, READONLY), or was down before it was sent."},
	RetryLost:  {"lost", "A read whose node was lost: `read_retry`."},
}

// labelsOf returns all labels of a family, in order.
func (f *family) labelsOf() []string {
	switch {
	case f.pool != nil, f.latency != nil, f.spread != nil:
		return slices.Concat([]string{"pool"}, f.labels)
	case f.node != nil, f.phases != nil, f.info != nil:
		return slices.Concat([]string{"pool", "node"}, f.labels)
	case f.loop != nil:
		return slices.Concat([]string{"loop"}, f.labels)
	}
	return f.labels
}

// typeName is the type as Prometheus calls it.
func (f *family) typeName() string {
	switch {
	case f.histogram():
		return "histogram"
	case f.kind == counter:
		return "counter"
	}
	return "gauge"
}

func (f *family) histogram() bool { return f.latency != nil || f.spread != nil || f.phases != nil }

var phaseValues = []value{
	{"queued", "From the turn that read the request until it was written to the node: Ringway was busy, a connection was being made, or the node did not take it."},
	{"node", "Until the whole reply had come: the way there, the node, the way back."},
	{"write", "Until the client's system had taken the reply: Ringway was busy, replies of other nodes come before it, or the client does not read."},
}

func (p *Phases) put(put putSpread) {
	for i, of := range []*Phase{&p.Queued, &p.AtNode, &p.Write} {
		put(phaseBounds, of.Buckets[:], float64(of.Sum)/1e9, phaseValues[i].name)
	}
}

// putPhases adds up the nodes, also those that are not of interest any more.
func putPhases(p *Pool, put putSpread) {
	all := Phases{Write: p.Write}
	for i := range p.Nodes {
		all.add(&p.Nodes[i].Phases)
	}
	all.put(put)
}

func putRequests(p *Pool, put put) {
	for _, c := range command.All() {
		if n := p.Requests[c.ID]; n > 0 {
			put(float64(n), c.Name)
		}
	}
	if p.Unknown > 0 {
		put(float64(p.Unknown), "unknown")
	}
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
