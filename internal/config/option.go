package config

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"ringway/hashring"
)

// option is one line that an O can have: a pool, a backend, or a map inside of these. Reading, writing, describing and
// comparing all go by tables of options, so that they can't drift apart.
type option[O any] struct {
	name   string
	set    func(o *O, text string) error // the error begins with the option's name
	text   func(o *O) string             // what set would take; of a list or map, all of it in one line
	free   bool                          // any text, which is written in quotes
	secret bool

	read func(r *reader, e entry, o *O) // of a list or map, instead of set
	node func(o *O) *yaml.Node          // of a list or map: what read would take, or nil if there is none

	inner func() []string      // the names of the options inside; nil: none
	parts func(o *O) []setting // those options, to be compared one by one; nil: by text
}

// poolOptions is in the order in which WriteYAML writes.
var poolOptions = []option[Pool]{
	checked("name", parseName, printText, func(p *Pool) *string { return &p.Name }),
	checked("listen", parseListen, printText, func(p *Pool) *string { return &p.Listen }),
	checked("listen_mode", parseMode, printMode, func(p *Pool) *os.FileMode { return &p.ListenMode }),

	choice("distribution", func(p *Pool) *string { return &p.Distribution }, hashring.Distributions()),
	choice("hash", func(p *Pool) *string { return &p.Hash }, allHashes),
	free(checked("hash_tag", parseHashTag, printText, func(p *Pool) *string { return &p.HashTag })),
	whole("virtual_nodes", func(p *Pool) *int { return &p.VirtualNodes }, 2, 1000),
	whole("ring_size", func(p *Pool) *int { return &p.RingSize }, 1, hashring.MostRingSize),
	whole("max_ring_size", func(p *Pool) *int { return &p.MaxRingSize }, 1, hashring.MostRingSize),
	whole("table_size", func(p *Pool) *int { return &p.TableSize }, 3, hashring.MostTableSize),
	checked("load_bound", parseLoadBound, printFloat, func(p *Pool) *float64 { return &p.LoadBound }),
	flag("unsigned_char", func(p *Pool) *bool { return &p.UnsignedChar }),

	duration("timeout", func(p *Pool) *time.Duration { return &p.Timeout }, "waits for ever"),
	orTimeout("read_timeout", func(p *Pool) *time.Duration { return &p.ReadTimeout }),
	orTimeout("write_timeout", func(p *Pool) *time.Duration { return &p.WriteTimeout }),
	orTimeout("script_timeout", func(p *Pool) *time.Duration { return &p.ScriptTimeout }),
	duration("connect_timeout", func(p *Pool) *time.Duration { return &p.ConnectTimeout }, "waits for ever"),
	flag("preconnect", func(p *Pool) *bool { return &p.Preconnect }),
	choice("on_failure", func(p *Pool) *string { return &p.OnFailure }, []string{"fail", "eject"}),
	whole("failure_limit", func(p *Pool) *int { return &p.FailureLimit }, 1, math.MaxInt32),
	duration("retry_timeout", func(p *Pool) *time.Duration { return &p.RetryTimeout }, ""),
	percent("max_ejected", func(p *Pool) *int { return &p.MaxEjected }),
	flag("flush_on_return", func(p *Pool) *bool { return &p.FlushOnReturn }),
	duration("slow_start", func(p *Pool) *time.Duration { return &p.SlowStart }, "gives all of it back at once"),
	duration("failover_wait", func(p *Pool) *time.Duration { return &p.FailoverWait }, "waits for none"),
	checked("read_retry", parseReadRetry, printReadRetry, func(p *Pool) *int { return &p.ReadRetries }),

	choice("read_policy", func(p *Pool) *string { return &p.ReadPolicy }, readPolicies),
	duration("max_lag", func(p *Pool) *time.Duration { return &p.MaxLag }, "sets no bound"),
	duration("read_own_writes", func(p *Pool) *time.Duration { return &p.ReadOwnWrites }, "does without"),
	zone(func(p *Pool) *string { return &p.Zone }),
	duration("dns_interval", func(p *Pool) *time.Duration { return &p.DNSInterval }, ""),

	group("health_check", healthOptions, shortHealth, func(p *Pool) *Health { return &p.Health }),
	group("hot_keys", hotKeysOptions, shortHotKeys, func(p *Pool) *HotKeys { return &p.HotKeys }),
	group("migration", migrationOptions, shortMigration, func(p *Pool) *Migration { return &p.Migration }),

	text("username", func(p *Pool) *string { return &p.Username }),
	secret("password", func(p *Pool) *Secret { return &p.Password }),
	envName("password_env", func(p *Pool) *string { return &p.PasswordEnv }),
	file("password_file", func(p *Pool) *string { return &p.PasswordFile }),
	secret("requirepass", func(p *Pool) *Secret { return &p.RequirePass }),
	list("users", userKind, func(p *Pool) *[]User { return &p.Users }),
	checked("users_file", parseFileName, printText, func(p *Pool) *string { return &p.UsersFile }),
	list("user_limits", userLimitKind, func(p *Pool) *[]UserLimit { return &p.UserLimits }),
	words("deny_commands", aCommand, parseAnyCommand, func(p *Pool) *[]string { return &p.DenyCommands }),
	words("allow_commands", aCommand, parseAnyCommand, func(p *Pool) *[]string { return &p.AllowCommands }),
	choice("dangerous_commands", func(p *Pool) *string { return &p.Dangerous }, []string{"local", "allow", "deny"}),
	whole("database", func(p *Pool) *int { return &p.Database }, 0, math.MaxInt32),

	part("tls", serverTLSKind, func(p *Pool) **ServerTLS { return &p.TLS }),
	part("backend_tls", clientTLSKind, func(p *Pool) **ClientTLS { return &p.BackendTLS }),

	flag("passthrough", func(p *Pool) *bool { return &p.Passthrough }),
	flag("cluster_mode", func(p *Pool) *bool { return &p.ClusterMode }),

	whole("max_clients", func(p *Pool) *int { return &p.MaxClients }, 0, math.MaxInt32),
	whole("max_clients_per_address", func(p *Pool) *int { return &p.MaxPerAddress }, 0, math.MaxInt32),
	whole("max_connection_rate", func(p *Pool) *int { return &p.ConnectionRate }, 0, math.MaxInt32),
	duration("login_timeout", func(p *Pool) *time.Duration { return &p.LoginTimeout }, "waits for ever"),
	duration("client_idle_timeout", func(p *Pool) *time.Duration { return &p.IdleTimeout }, "never closes it"),
	whole("max_request_rate", func(p *Pool) *int { return &p.RequestRate }, 0, math.MaxInt32),
	whole("request_burst", func(p *Pool) *int { return &p.RequestBurst }, 0, math.MaxInt32),
	whole("pipeline_window", func(p *Pool) *int { return &p.Window }, 1, 1<<20),
	size("max_request_size", func(p *Pool) *int { return &p.MaxRequestSize }, 1<<10, 1<<30),
	size("client_input_limit", func(p *Pool) *int { return &p.ClientInputLimit }, 1<<10, 1<<30),
	whole("max_arguments", func(p *Pool) *int { return &p.MaxArguments }, 16, math.MaxInt32),
	size("max_key_length", func(p *Pool) *int { return &p.MaxKeyLength }, 0, 1<<30),
	size("client_output_limit", func(p *Pool) *int { return &p.ClientOutputLimit }, 1<<10, 1<<30),
	duration("client_stall_timeout", func(p *Pool) *time.Duration { return &p.ClientStall }, "never closes it"),
	size("backend_output_limit", func(p *Pool) *int { return &p.NodeOutputLimit }, 1<<10, 1<<30),
	whole("max_node_requests", func(p *Pool) *int { return &p.NodeRequests }, 0, math.MaxInt32),
	size("max_node_bytes", func(p *Pool) *int { return &p.NodeBytes }, 0, 1<<30),
	size("max_reply_size", func(p *Pool) *int { return &p.MaxReplySize }, 0, 1<<40),
	whole("max_private_connections", func(p *Pool) *int { return &p.PrivateLanes }, 1, math.MaxInt32),
	words("hit_prefixes", "prefix", parseHitPrefix, func(p *Pool) *[]string { return &p.HitPrefixes }),
	flag("request_phases", func(p *Pool) *bool { return &p.RequestPhases }),
	checked("slowlog_threshold", parseSlow, printSlow, func(p *Pool) *time.Duration { return &p.SlowThreshold }),
	whole("slowlog_length", func(p *Pool) *int { return &p.SlowLength }, 1, 100000),
	duration("node_info", func(p *Pool) *time.Duration { return &p.NodeInfo }, "asks never"),
	whole("backlog", func(p *Pool) *int { return &p.Backlog }, 1, 65535),
	flag("tcpkeepalive", func(p *Pool) *bool { return &p.TCPKeepAlive }),
	flag("reuseport", func(p *Pool) *bool { return &p.ReusePort }),

	part("mirror", mirrorKind, func(p *Pool) **Mirror { return &p.Mirror }),
	part("fault", faultKind, func(p *Pool) **Fault { return &p.Fault }),
	part("sentinel", sentinelKind, func(p *Pool) **Sentinel { return &p.Sentinel }),
	part("cluster", clusterKind, func(p *Pool) **Cluster { return &p.Cluster }),
	list("routes", routeKind, func(p *Pool) *[]Route { return &p.Routes }),
	list("backends", backendKind, func(p *Pool) *[]Backend { return &p.Backends }),
}

// checked makes an option of a parser, a printer and the field.
func checked[O, T any](name string, parse func(string) (T, error), print func(T) string, field func(*O) *T) option[O] {
	return option[O]{
		name: name,
		set: func(o *O, text string) error {
			v, err := parse(text)
			if err != nil {
				return fmt.Errorf("%s %w", name, err)
			}
			*field(o) = v
			return nil
		},
		text: func(o *O) string { return print(*field(o)) },
	}
}

func text[O any](name string, field func(*O) *string) option[O] {
	return free(checked(name, func(s string) (string, error) { return s, nil }, printText, field))
}

func free[O any](o option[O]) option[O] {
	o.free = true
	return o
}

// zone is where a server, or this Ringway, stands.
func zone[O any](field func(*O) *string) option[O] {
	return checked("zone", parseName, printText, field)
}

// secret never has an error, since an error would show what it is about.
func secret[O any](name string, field func(*O) *Secret) option[O] {
	o := free(checked(name, func(s string) (Secret, error) { return Secret(s), nil }, Secret.Reveal, field))
	o.secret = true
	return o
}

// secrets is one password or several.
func secrets[O any](name string, parse func(string) (Secret, error), field func(*O) *[]Secret) option[O] {
	return option[O]{
		name:   name,
		secret: true,
		read: func(r *reader, e entry, o *O) {
			list := []*yaml.Node{e.value}
			if e.value.Kind == yaml.SequenceNode {
				list = r.items(e, "text")
			}
			for _, n := range list {
				text, ok := r.scalar(entry{e.name, e.key, follow(n)})
				if !ok {
					continue
				}
				s, err := parse(text)
				if err != nil {
					r.fail(n.Line, "%s %s", e.name, err)
				} else if !slices.Contains(*field(o), s) {
					*field(o) = append(*field(o), s)
				}
			}
		},
		text: func(o *O) string {
			var all []string
			for _, s := range *field(o) {
				all = append(all, s.Reveal())
			}
			return strings.Join(all, "\n")
		},
		node: func(o *O) *yaml.Node {
			n := &yaml.Node{Kind: yaml.SequenceNode}
			for _, s := range *field(o) {
				n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: s.Reveal(), Style: yaml.DoubleQuotedStyle})
			}
			return n
		},
	}
}

// file is the name of one. Whether it is there, and what is in it, is not looked at here.
func file[O any](name string, field func(*O) *string) option[O] {
	return checked(name, parseFile, printText, field)
}

func envName[O any](name string, field func(*O) *string) option[O] {
	return checked(name, parseEnv, printText, field)
}

func whole[O any](name string, field func(*O) *int, least, most int) option[O] {
	return checked(name, func(s string) (int, error) { return parseWhole(s, least, most) }, strconv.Itoa, field)
}

func size[O any](name string, field func(*O) *int, least, most int) option[O] {
	return checked(name, func(s string) (int, error) { return parseSize(s, least, most) }, printSize, field)
}

func flag[O any](name string, field func(*O) *bool) option[O] {
	return checked(name, parseFlag, strconv.FormatBool, field)
}

func duration[O any](name string, field func(*O) *time.Duration, zero string) option[O] {
	return checked(name, func(s string) (time.Duration, error) { return parseDuration(s, zero) }, printDuration, field)
}

// orTimeout is a duration that is another word for the pool's timeout, unless it is given.
func orTimeout[O any](name string, field func(*O) *time.Duration) option[O] {
	parse := func(s string) (time.Duration, error) {
		if s == asTimeout {
			return AsTimeout, nil
		}
		return parseDuration(s, "waits for ever")
	}
	print := func(d time.Duration) string {
		if d == AsTimeout {
			return asTimeout
		}
		return printDuration(d)
	}
	return checked(name, parse, print, field)
}

const asTimeout = "timeout"

// parseSlow takes a duration, however short, or off.
func parseSlow(s string) (time.Duration, error) {
	if s == "off" {
		return NoSlowlog, nil
	}
	if strings.HasPrefix(s, "-") {
		return 0, fmt.Errorf("%s is negative; off has no slow log, 0 every request in it", quote(s))
	}
	if d, err := time.ParseDuration(s); err == nil && d > 0 && d < time.Millisecond {
		return d, nil
	}
	return parseDuration(s, "has every request in the slow log, off none")
}

func printSlow(d time.Duration) string {
	switch {
	case d < 0:
		return "off"
	case d > 0 && d < time.Millisecond:
		return d.String()
	}
	return printDuration(d)
}

func percent[O any](name string, field func(*O) *int) option[O] {
	return checked(name, parsePercent, func(n int) string { return strconv.Itoa(n) + "%" }, field)
}

// parseReadRetry takes a percentage or auto.
func parseReadRetry(s string) (int, error) {
	if s == "auto" {
		return AutoRetries, nil
	}
	return parsePercent(s)
}

func printReadRetry(n int) string {
	if n == AutoRetries {
		return "auto"
	}
	return strconv.Itoa(n) + "%"
}

func fraction[O any](name string, field func(*O) *float64) option[O] {
	return checked(name, parseFraction, printFraction, field)
}

func choice[O any](name string, field func(*O) *string, choices []string) option[O] {
	return option[O]{
		name: name,
		set: func(o *O, text string) error {
			v, err := parseChoice(text, name, choices)
			if err == nil {
				*field(o) = v
			}
			return err
		},
		text: func(o *O) string { return *field(o) },
	}
}

func printText(s string) string { return s }

func printFloat(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

// setting is one option as Diff compares it.
type setting struct {
	name, value string
	secret      bool
}

func settings[O any](prefix string, options []option[O], of *O) []setting {
	var all []setting
	for _, o := range options {
		all = append(all, setting{prefix + "." + o.name, o.text(of), o.secret})
	}
	return all
}
