package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A kind is a program that can stand between the clients and the servers, or the lack of one.
type kind struct {
	name    string
	binary  string // looked up in PATH
	install string // what to type when it is not there
	shards  bool   // places each key on one of the servers
	threads bool   // can run several
	version []string

	// configure writes what the program needs to dir and gives its command line without the program. It listens
	// on ports[0]; ports[1] is there for whatever else it insists on listening on.
	configure func(p place) ([]string, error)

	// beside, where set, prepares another program that takes part in the work, and whose cost is added. It runs first.
	beside func(p *place) (program string, args []string, err error)
}

// A place is where a contender is set up.
type place struct {
	dir     string
	ports   [2]int
	servers []int
	threads int

	side   string // with TLS: down, up or both
	secure *secure
}

var kinds = []kind{
	{name: "ringway", shards: true, threads: true, version: []string{"version"}, configure: configureRingway,
		install: "make build"},
	{name: "twemproxy", shards: true, binary: "nutcracker", version: []string{"--version"}, configure: configureTwemproxy,
		install: "apt-get install nutcracker"},
	{name: "envoy", shards: true, threads: true, version: []string{"--version"}, configure: configureEnvoy},
	{name: "predixy", shards: true, threads: true, version: []string{"--version"}, configure: configurePredixy,
		install: "name its binary in the environment variable PREDIXY"},
	{name: "haproxy", binary: "haproxy", threads: true, version: []string{"-v"}, configure: configureHAProxy,
		install: "apt-get install haproxy"},
	{name: "direct"},
}

func kindNames() []string { return namesOf(kinds) }

func namesOf(kinds []kind) []string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return names
}

// A contender is a kind with the binary to run.
type contender struct {
	name string
	kind kind
	path string // empty for direct
}

// tlsKinds can speak TLS with their clients, with the servers and with both.
var tlsKinds = []kind{
	kinds[0],
	{name: "haproxy+twemproxy", shards: true, binary: "nutcracker", version: []string{"--version"}, configure: configureTwemproxy, beside: besideTwemproxy,
		install: "apt-get install nutcracker haproxy"},
}

// chooseContenders reads the list of -contenders, or makes the usual one of all that can be had. The notes say what
// was left out.
func chooseContenders(kinds []kind, list, ringway, predixy string) (chosen []*contender, notes []string, err error) {
	if list == "" {
		for _, k := range kinds {
			if k.name == "predixy" && predixy == "" {
				notes = append(notes, "predixy was not measured: the environment variable PREDIXY did not name its binary.")
				continue
			}
			chosen = append(chosen, &contender{name: k.name, kind: k})
		}
	}
	for word := range strings.SplitSeq(list, ",") {
		if word = strings.TrimSpace(word); word == "" {
			continue
		}
		name, path, _ := strings.Cut(word, "=")
		base, rest, dashed := strings.Cut(name, "-")
		if base == "nutcracker" { // the program's name; the project's is in all tables
			base, name = "twemproxy", strings.Replace(name, "nutcracker", "twemproxy", 1)
		}
		i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == base })
		if i < 0 || dashed && rest == "" {
			return nil, nil, fmt.Errorf("-contenders: unknown contender %q (known: %s, each also as NAME=BINARY or NAME-WORD=BINARY)",
				word, strings.Join(namesOf(kinds), ", "))
		}
		if slices.ContainsFunc(chosen, func(c *contender) bool { return c.name == name }) {
			return nil, nil, fmt.Errorf("-contenders: %q is named twice; name the second one %s-WORD", name, base)
		}
		chosen = append(chosen, &contender{name: name, kind: kinds[i], path: path})
	}
	for _, c := range chosen {
		switch {
		case c.path != "":
		case c.kind.name == "ringway":
			c.path = ringway
		case c.kind.name == "predixy":
			c.path = predixy
		}
	}
	if len(chosen) == 0 {
		return nil, nil, errors.New("-contenders names nobody")
	}
	return chosen, notes, nil
}

// locate finds everybody's binary, installs Envoy, and says of everything that is missing at once how to get it.
func locate(ctx context.Context, list []*contender, progress io.Writer) error {
	var missing []string
	for _, tool := range []string{"redis-server", "redis-benchmark"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, tool+" is missing: apt-get install redis-server redis-tools")
		}
	}
	for _, c := range list {
		path := c.path
		if path == "" {
			path = c.kind.binary
		}
		switch {
		case c.kind.name == "direct":
			continue
		case path == "" && c.kind.name == "envoy":
			found, err := installEnvoy(ctx, progress)
			if err != nil {
				missing = append(missing, err.Error())
			}
			c.path = found
			continue
		case path == "":
			missing = append(missing, fmt.Sprintf("%s is missing: %s", c.name, c.kind.install))
			continue
		}
		if strings.ContainsRune(path, '/') {
			path, _ = filepath.Abs(path) // each contender runs in a folder of its own
		}
		found, err := exec.LookPath(path)
		if err != nil {
			found, err = exec.LookPath(filepath.Join("/usr/sbin", path))
		}
		if err != nil {
			missing = append(missing, fmt.Sprintf("%s is missing (no program %q): %s", c.name, path, c.kind.install))
			continue
		}
		c.path = found
	}
	if len(missing) > 0 {
		return errors.New(strings.Join(missing, "\n       ") + "\n       (or measure only some: -contenders, see -help)")
	}
	return nil
}

// write puts a configuration where the program will be told to look for it.
func write(dir, name, text string) (string, error) {
	path := filepath.Join(dir, name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

func configureRingway(p place) ([]string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "threads: %d\nadmin:\n  listen: 127.0.0.1:%d\nlog: {level: warn, format: text}\n", p.threads, p.ports[1])
	fmt.Fprintf(&b, "pools:\n  - name: bench\n    listen: 127.0.0.1:%d\n    distribution: consistent\n    hash: xxhash64\n"+
		"    hash_tag: \"{}\"\n%s    backends:\n", p.ports[0], ringwayTLS(p))
	for i, port := range p.upstream() {
		fmt.Fprintf(&b, "      - {name: redis-%d, address: 127.0.0.1:%d, weight: 1}\n", i, port)
	}
	path, err := write(p.dir, "proxy.yml", b.String())
	return []string{"-c", path}, err
}

func configureTwemproxy(p place) ([]string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "bench:\n  listen: 127.0.0.1:%d\n  redis: true\n  hash: fnv1a_64\n  hash_tag: \"{}\"\n"+
		"  distribution: ketama\n  auto_eject_hosts: false\n  backlog: 1024\n  servers:\n", p.ports[0])
	for i, port := range p.servers {
		fmt.Fprintf(&b, "   - 127.0.0.1:%d:1 redis-%d\n", port, i)
	}
	path, err := write(p.dir, "nutcracker.yml", b.String())
	return []string{"-c", path, "-a", "127.0.0.1", "-s", strconv.Itoa(p.ports[1])}, err
}

func configureEnvoy(p place) ([]string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, `static_resources:
  listeners:
  - name: redis
    address: {socket_address: {address: 127.0.0.1, port_value: %d}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.redis_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProxy
          stat_prefix: bench
          settings: {op_timeout: 5s, enable_hashtagging: true}
          prefix_routes: {catch_all_route: {cluster: redis}}
  clusters:
  - name: redis
    type: STATIC
    connect_timeout: 1s
    lb_policy: RING_HASH
    load_assignment:
      cluster_name: redis
      endpoints:
      - lb_endpoints:
`, p.ports[0])
	for _, port := range p.servers {
		fmt.Fprintf(&b, "        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}\n", port)
	}
	path, err := write(p.dir, "envoy.yaml", b.String())
	return []string{"-c", path, "--concurrency", strconv.Itoa(p.threads), "--disable-hot-restart", "--log-level", "error"}, err
}

func configurePredixy(p place) ([]string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "Name bench\nBind 127.0.0.1:%d\nWorkerThreads %d\nClientTimeout 0\n", p.ports[0], p.threads)
	b.WriteString("LogVerbSample 0\nLogDebugSample 0\nLogInfoSample 0\n")
	b.WriteString("Authority {\n  Auth {\n    Mode write\n  }\n}\n")
	b.WriteString("StandaloneServerPool {\n  Databases 16\n  Hash crc16\n  HashTag \"{}\"\n  Distribution modula\n" +
		"  MasterReadPriority 60\n  StaticSlaveReadPriority 50\n  DynamicSlaveReadPriority 50\n  RefreshMethod fixed\n" +
		"  ServerTimeout 5\n  ServerFailureLimit 10\n  ServerRetryTimeout 1\n  KeepAlive 120\n")
	for i, port := range p.servers {
		fmt.Fprintf(&b, "  Group redis%d {\n    + 127.0.0.1:%d\n  }\n", i, port)
	}
	b.WriteString("}\n")
	path, err := write(p.dir, "predixy.conf", b.String())
	return []string{path}, err
}

func configureHAProxy(p place) ([]string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "global\n  nbthread %d\n  maxconn 4096\n\ndefaults\n  mode tcp\n  option splice-auto\n"+
		"  timeout connect 5s\n  timeout client 1m\n  timeout server 1m\n\nlisten redis\n  bind 127.0.0.1:%d\n  balance roundrobin\n",
		p.threads, p.ports[0])
	for i, port := range p.servers {
		fmt.Fprintf(&b, "  server redis-%d 127.0.0.1:%d\n", i, port)
	}
	path, err := write(p.dir, "haproxy.cfg", b.String())
	return []string{"-db", "-f", path}, err
}
