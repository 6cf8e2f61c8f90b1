package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// The tables of what stands inside of a pool's options: backends, health_check and the like.

var (
	readPolicies   = []string{"primary", "prefer-replica", "replica", "any", "nearest"}
	migrationModes = []string{"off", "warm"}
	hotKeysModes   = []string{"auto", "near", "copies", "collapse", "off"}
)

var healthOptions = []option[Health]{
	duration("interval", func(h *Health) *time.Duration { return &h.Interval }, "asks never"),
	duration("timeout", func(h *Health) *time.Duration { return &h.Timeout }, ""),
	whole("failures", func(h *Health) *int { return &h.Failures }, 1, math.MaxInt32),
	whole("successes", func(h *Health) *int { return &h.Successes }, 1, math.MaxInt32),
}

var startOptions = []option[Start]{
	choice("require", func(s *Start) *string { return &s.Require }, []string{"none", "some", "all"}),
	duration("wait", func(s *Start) *time.Duration { return &s.Wait }, "asks them once"),
}

var shutdownOptions = []option[Shutdown]{
	duration("drain_delay", func(s *Shutdown) *time.Duration { return &s.DrainDelay }, "stops accepting at once"),
	duration("drain_timeout", func(s *Shutdown) *time.Duration { return &s.DrainTimeout }, "cuts everybody off at once"),
}

var tracingOptions = []option[Tracing]{
	checked("endpoint", parseEndpoint, printText, func(t *Tracing) *string { return &t.Endpoint }),
	choice("protocol", func(t *Tracing) *string { return &t.Protocol }, []string{"http", "grpc"}),
	checked("sample", parseSample, printFloat, func(t *Tracing) *float64 { return &t.Sample }),
	flag("keys", func(t *Tracing) *bool { return &t.Keys }),
}

var migrationOptions = []option[Migration]{
	choice("mode", func(m *Migration) *string { return &m.Mode }, migrationModes),
	duration("window", func(m *Migration) *time.Duration { return &m.Window }, ""),
	whole("mover_rate", func(m *Migration) *int { return &m.MoverRate }, 0, math.MaxInt32),
}

var hotKeysOptions = []option[HotKeys]{
	choice("mode", func(h *HotKeys) *string { return &h.Mode }, hotKeysModes),
	words("exclude", "pattern", parsePattern, func(h *HotKeys) *[]string { return &h.Exclude }),
	words("pin", "pattern", parsePattern, func(h *HotKeys) *[]string { return &h.Pin }),
	duration("max_staleness", func(h *HotKeys) *time.Duration { return &h.MaxStaleness }, "keeps nothing"),
	duration("max_age", func(h *HotKeys) *time.Duration { return &h.MaxAge }, ""),
	size("near_max_value", func(h *HotKeys) *int { return &h.NearMaxValue }, 0, 1<<20),
	size("near_memory", func(h *HotKeys) *int { return &h.NearMemory }, 0, 1<<40),
	size("copy_max_value", func(h *HotKeys) *int { return &h.CopyMaxValue }, 0, 8<<20),
	duration("copy_ttl", func(h *HotKeys) *time.Duration { return &h.CopyTTL }, ""),
	whole("copy_db", func(h *HotKeys) *int { return &h.CopyDatabase }, 0, math.MaxInt32),
	whole("min_reads_per_version", func(h *HotKeys) *int { return &h.MinReads }, 1, math.MaxInt32),
	whole("validations_per_key", func(h *HotKeys) *int { return &h.Validations }, 1, 1000),
}

var sentinelOptions = []option[Sentinel]{
	words("addresses", "host:port", parseServerAddress, func(s *Sentinel) *[]string { return &s.Addresses }),
	list("masters", masterKind, func(s *Sentinel) *[]Master { return &s.Masters }),
	text("username", func(s *Sentinel) *string { return &s.Username }),
	secret("password", func(s *Sentinel) *Secret { return &s.Password }),
	envName("password_env", func(s *Sentinel) *string { return &s.PasswordEnv }),
	file("password_file", func(s *Sentinel) *string { return &s.PasswordFile }),
}

var masterOptions = []option[Master]{
	checked("name", parseName, printText, func(m *Master) *string { return &m.Name }),
	checked("weight", parseWeight, strconv.Itoa, func(m *Master) *int { return &m.Weight }),
}

var clusterOptions = []option[Cluster]{
	words("seeds", "host:port", parseServerAddress, func(c *Cluster) *[]string { return &c.Seeds }),
}

var backendOptions = []option[Backend]{
	checked("name", parseName, printText, func(b *Backend) *string { return &b.Name }),
	checked("address", parseBackendAddress, printText, func(b *Backend) *string { return &b.Address }),
	flag("single", func(b *Backend) *bool { return &b.Single }),
	checked("weight", parseWeight, strconv.Itoa, func(b *Backend) *int { return &b.Weight }),
	zone(func(b *Backend) *string { return &b.Zone }),
	list("replicas", replicaKind, func(b *Backend) *[]Replica { return &b.Replicas }),
	text("username", func(b *Backend) *string { return &b.Username }),
	secret("password", func(b *Backend) *Secret { return &b.Password }),
	envName("password_env", func(b *Backend) *string { return &b.PasswordEnv }),
	file("password_file", func(b *Backend) *string { return &b.PasswordFile }),
}

var statsOptions = []option[StatsCompat]{
	checked("listen", parseStatsListen, printText, func(s *StatsCompat) *string { return &s.Listen }),
}

var tlsVersions = []string{"1.2", "1.3"}

var serverTLSOptions = []option[ServerTLS]{
	file("cert", func(t *ServerTLS) *string { return &t.Cert }),
	file("key", func(t *ServerTLS) *string { return &t.Key }),
	file("client_ca", func(t *ServerTLS) *string { return &t.ClientCA }),
	flag("require_client_cert", func(t *ServerTLS) *bool { return &t.RequireClientCert }),
	choice("user_from_cert", func(t *ServerTLS) *string { return &t.UserFromCert }, []string{"off", "cn"}),
	free(choice("min_version", func(t *ServerTLS) *string { return &t.MinVersion }, tlsVersions)),
	duration("handshake_timeout", func(t *ServerTLS) *time.Duration { return &t.HandshakeTimeout }, ""),
}

var clientTLSOptions = []option[ClientTLS]{
	file("ca", func(t *ClientTLS) *string { return &t.CA }),
	file("cert", func(t *ClientTLS) *string { return &t.Cert }),
	file("key", func(t *ClientTLS) *string { return &t.Key }),
	checked("server_name", parseName, printText, func(t *ClientTLS) *string { return &t.ServerName }),
	flag("insecure_skip_verify", func(t *ClientTLS) *bool { return &t.InsecureSkipVerify }),
	free(choice("min_version", func(t *ClientTLS) *string { return &t.MinVersion }, tlsVersions)),
}

var replicaOptions = []option[Replica]{
	checked("address", parseServerAddress, printText, func(r *Replica) *string { return &r.Address }),
	zone(func(r *Replica) *string { return &r.Zone }),
}

var routeOptions = []option[Route]{
	free(checked("prefix", parsePrefix, printText, func(r *Route) *string { return &r.Prefix })),
	checked("pool", parseName, printText, func(r *Route) *string { return &r.Pool }),
	flag("strip_prefix", func(r *Route) *bool { return &r.StripPrefix }),
}

var mirrorOptions = []option[Mirror]{
	checked("pool", parseName, printText, func(m *Mirror) *string { return &m.Pool }),
	fraction("percent", func(m *Mirror) *float64 { return &m.Percent }),
	flag("exclude_reads", func(m *Mirror) *bool { return &m.ExcludeReads }),
}

var faultOptions = []option[Fault]{
	fraction("percent", func(f *Fault) *float64 { return &f.Percent }),
	duration("delay", func(f *Fault) *time.Duration { return &f.Delay }, "delays nothing"),
	free(checked("error", parseErrorReply, printText, func(f *Fault) *string { return &f.Error })),
	words("commands", "command or \"@category\"", parseCommand, func(f *Fault) *[]string { return &f.Commands }),
}

var userOptions = []option[User]{
	free(checked("name", parseUserName, printText, func(u *User) *string { return &u.Name })),
	secrets("password", parsePassword, func(u *User) *[]Secret { return &u.Passwords }),
	secrets("password_sha256", parseDigest, func(u *User) *[]Secret { return &u.Digests }),
	flag("nopass", func(u *User) *bool { return &u.NoPassword }),
	free(checked("rules", parseRules, printText, func(u *User) *string { return &u.Rules })),
	whole("max_request_rate", func(u *User) *int { return &u.RequestRate }, 0, math.MaxInt32),
	whole("request_burst", func(u *User) *int { return &u.RequestBurst }, 0, math.MaxInt32),
}

var userLimitOptions = []option[UserLimit]{
	free(checked("user", parseUserName, printText, func(u *UserLimit) *string { return &u.User })),
	whole("max_request_rate", func(u *UserLimit) *int { return &u.RequestRate }, 1, math.MaxInt32),
	whole("request_burst", func(u *UserLimit) *int { return &u.RequestBurst }, 0, math.MaxInt32),
}

// aCommand is what an option about commands expects one of.
const aCommand = "command, \"container|subcommand\" or \"@category\""

var (
	userKind = kind[User]{what: "user", expected: `{name: .., password: .., rules: "~cache:* +@read"}`, options: userOptions,
		needs: []string{"name"}, line: func(u *User) *int { return &u.Line }, check: checkUser}
	userLimitKind = kind[UserLimit]{what: "user limit", expected: "{user: .., max_request_rate: ..}", options: userLimitOptions,
		needs: []string{"user", "max_request_rate"}, line: func(u *UserLimit) *int { return &u.Line }}
	serverTLSKind = kind[ServerTLS]{what: "tls", expected: "{cert: file, key: file}", options: serverTLSOptions,
		usual: ServerTLS{RequireClientCert: true, UserFromCert: "off", MinVersion: "1.2", HandshakeTimeout: 5 * time.Second}, needs: []string{"cert", "key"},
		line: func(t *ServerTLS) *int { return &t.Line }, check: checkServerTLS, words: []string{"off"}}
	statsKind = kind[StatsCompat]{what: "stats_compat", expected: "{listen: host:port}, or off", options: statsOptions,
		needs: []string{"listen"}, line: func(s *StatsCompat) *int { return &s.Line }, words: []string{"off"}}
	clientTLSKind = kind[ClientTLS]{what: "backend_tls", expected: "on, off or {ca: file}", options: clientTLSOptions,
		usual: ClientTLS{MinVersion: "1.2"}, line: func(t *ClientTLS) *int { return &t.Line }, check: checkClientTLS, words: []string{"on", "off"}}
	sentinelKind = kind[Sentinel]{what: "sentinel", expected: "{addresses: [host:port], masters: [name]}", options: sentinelOptions,
		needs: []string{"addresses", "masters"}, line: func(s *Sentinel) *int { return &s.Line }, check: checkSentinel}
	masterKind = kind[Master]{what: "master", expected: "name or {name: .., weight: 1}", options: masterOptions,
		usual: Master{Weight: 1}, needs: []string{"name"}, word: true, line: func(m *Master) *int { return &m.Line }}
	clusterKind = kind[Cluster]{what: "cluster", expected: "{seeds: [host:port]}", options: clusterOptions,
		needs: []string{"seeds"}, line: func(c *Cluster) *int { return &c.Line }}
	backendKind = kind[Backend]{what: "backend", expected: "{address: host:port}", options: backendOptions,
		usual: Backend{Weight: 1}, needs: []string{"address"}, shown: []string{"name", "weight"},
		line: func(b *Backend) *int { return &b.Line }, check: checkBackend}
	replicaKind = kind[Replica]{what: "replica", expected: "host:port or {address: host:port, zone: ..}", options: replicaOptions,
		needs: []string{"address"}, word: true, line: func(r *Replica) *int { return &r.Line }}
	routeKind = kind[Route]{what: "route", expected: `{prefix: "user:", pool: name}`, options: routeOptions,
		needs: []string{"prefix", "pool"}, line: func(r *Route) *int { return &r.Line }}
	mirrorKind = kind[Mirror]{what: "mirror", expected: "{pool: name}", options: mirrorOptions,
		usual: Mirror{Percent: 100}, needs: []string{"pool"}, line: func(m *Mirror) *int { return &m.Line }}
	faultKind = kind[Fault]{what: "fault", expected: "{percent: 1%, delay: 100ms}", options: faultOptions,
		needs: []string{"percent"}, line: func(f *Fault) *int { return &f.Line }, check: checkFault}
)

func shortHealth(h *Health, s string) error {
	if s != "off" {
		return fmt.Errorf("%s is neither a map nor off", quote(s))
	}
	h.Interval = 0
	return nil
}

func shortMigration(m *Migration, s string) (err error) {
	m.Mode, err = parseChoice(s, "mode", migrationModes)
	return err
}

func shortHotKeys(h *HotKeys, s string) (err error) {
	h.Mode, err = parseChoice(s, "mode", hotKeysModes)
	return err
}

func parseStatsListen(s string) (string, error) {
	if strings.HasPrefix(s, unixScheme) {
		return "", fmt.Errorf("%s is a unix socket; expected host:port", quote(s))
	}
	return parseListen(s)
}

func parsePattern(s string) (string, error) {
	if s == "" {
		return "", errors.New(`is empty; expected a pattern as KEYS takes it, such as "session:*"`)
	}
	return s, nil
}

// MostHitPrefixes bounds how many prefixes of keys a pool counts apart: each is two series, and is looked for in the key of each read.
const (
	MostHitPrefixes  = 16
	longestHitPrefix = 64
)

func parseHitPrefix(s string) (string, error) {
	if s == "" || len(s) > longestHitPrefix {
		return "", fmt.Errorf("%s is not 1 to %d bytes; expected what keys begin with, such as \"session:\"", quote(s), longestHitPrefix)
	}
	return s, nil
}

func checkServerTLS(r *reader, t *ServerTLS, given map[string]entry) {
	if e, ok := given["require_client_cert"]; ok && t.ClientCA == "" && t.RequireClientCert {
		r.fail(e.line(), "require_client_cert without client_ca; add the file of the authorities that sign clients' certificates")
	}
	if e, ok := given["user_from_cert"]; ok && t.ClientCA == "" && t.UserFromCert != "off" {
		r.fail(e.line(), "user_from_cert without client_ca; add the file of the authorities that sign clients' certificates")
	}
}

func checkClientTLS(r *reader, t *ClientTLS, given map[string]entry) {
	for _, pair := range [][2]string{{"cert", "key"}, {"key", "cert"}} {
		if e, ok := given[pair[0]]; ok {
			if _, both := given[pair[1]]; !both {
				r.fail(e.line(), "%s without %s; a certificate is of use with its key only", pair[0], pair[1])
			}
		}
	}
	if !t.InsecureSkipVerify {
		return
	}
	for _, name := range []string{"ca", "server_name"} {
		if e, ok := given[name]; ok && name == "ca" {
			r.fail(e.line(), "%s means nothing beside insecure_skip_verify: true; remove one of them", name)
		}
	}
}

// checkIdentity checks what is said where of a password.
func checkIdentity(r *reader, where string, id *Identity, given map[string]entry) {
	first := ""
	for _, name := range []string{"password", "password_env", "password_file"} {
		e, ok := given[name]
		switch {
		case !ok:
		case first == "":
			first = name
		default:
			r.fail(e.line(), "%s%s beside %s; keep one", where, name, first)
		}
	}
	if e, ok := given["username"]; ok && id.Username != "" && !id.Given() {
		r.fail(e.line(), "%susername is set without a password; Redis takes them together", where)
	}
}

func checkSentinel(r *reader, s *Sentinel, given map[string]entry) {
	checkIdentity(r, "", &s.Identity, given)
	var names map[string]int
	for _, m := range s.Masters {
		if first, ok := claim(&names, m.Name, m.Line); !ok {
			r.fail(m.Line, "master %s is on line %d already; keep one", quote(m.Name), first)
		}
	}
}

// checkBackend also gives the backend its name when it has none.
func checkBackend(r *reader, b *Backend, given map[string]entry) {
	if b.Name == "" {
		b.Name = b.Address
	}
	checkIdentity(r, "backend ", &b.Identity, given)
	looked := strings.HasPrefix(b.Address, dnsScheme)
	if b.Given() && looked {
		r.fail(b.Line, "a password beside %s, whose addresses change; give it to the pool", quote(b.Address))
	}
	if b.Single && !looked {
		r.fail(given["single"].line(), "single belongs to a backend at dns://name:port; remove it")
	}
	if len(b.Replicas) > 0 && looked && !b.Single {
		r.fail(given["replicas"].line(), "replicas beside %s, which is as many nodes as it has addresses; add single: true, or remove them",
			quote(b.Address))
	}
}

func checkUser(r *reader, u *User, given map[string]entry) {
	if u.RequestBurst > 0 && u.RequestRate == 0 {
		r.fail(given["request_burst"].line(), "user %s: request_burst without max_request_rate; add that, or remove it", quote(u.Name))
	}
	passwords := len(u.Passwords) + len(u.Digests)
	for _, rule := range strings.Fields(u.Rules) {
		switch strings.ToLower(rule) {
		case "nopass", "reset", "resetpass":
			r.fail(given["rules"].line(), "user %s: rules have %s in them; nopass: true is for that, or no password at all", quote(u.Name), rule)
			return
		case "off":
			return // whoever can't log in needs no password
		}
	}
	switch {
	case u.NoPassword && passwords > 0:
		r.fail(given["nopass"].line(), "user %s: nopass: true beside a password; keep one", quote(u.Name))
	case !u.NoPassword && passwords == 0:
		r.fail(u.Line, "user %s has no password; expected password, password_sha256 or nopass: true, or rules: off for who may not log in", quote(u.Name))
	}
}

func checkFault(r *reader, f *Fault, _ map[string]entry) {
	if f.Delay == 0 && f.Error == "" {
		r.fail(f.Line, "neither a delay nor an error; expected one of them, or both")
	}
}
