package config

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"
)

const predixyAll = "+@all -@admin -@dangerous +info +sort +sort_ro +restore +ringway"

func TestPredixyConf(t *testing.T) {
	c := mustLoad(t, "testdata/predixy/predixy.conf")
	want := DefaultPool()
	want.Name, want.Line, want.Listen = "orders cache", 1, "127.0.0.1:7617"
	want.Distribution, want.Hash, want.HashTag = "list", "crc16", "{}"
	want.Timeout, want.ConnectTimeout = 500*time.Millisecond, 500*time.Millisecond
	want.MaxClients, want.IdleTimeout, want.TCPKeepAlive = 0, 5*time.Minute, true
	want.FailureLimit, want.RetryTimeout = 5, 2*time.Second
	want.Password = "secret"
	want.ReadPolicy, want.Zone = "nearest", "bj"
	want.Backends = []Backend{
		{Name: "shard2", Address: "10.1.0.1:6379", Weight: 1, Zone: "bj", Line: 17, Replicas: []Replica{{Address: "10.1.9.1:6379", Zone: "sh", Line: 18}}},
		{Name: "shard1", Address: "10.2.0.2:6379", Weight: 1, Zone: "sh", Identity: Identity{Password: "own"}, Line: 21},
		{Name: "a_third_one", Address: "unix:///run/redis.sock", Weight: 1, Line: 24},
	}
	want.Users = []User{
		{Name: "default", NoPassword: true, Rules: "~* +@read +@connection +info +command +pubsub", Line: 2},
		{Name: "auth1", Passwords: []Secret{"#a complex password#", "other"}, Rules: "~* &* " + predixyAll, Line: 5},
		{Name: "auth2", Passwords: []Secret{"writer"}, Line: 8,
			Rules: "&User* " + predixyAll + " -@read -@write (~User* " + predixyAll + " -@read) (%R~User* %R~Stats* +@read)"},
	}
	equals(t, "the pool", c.Pools[0], want)
	equals(t, "the rest", []int{c.Threads, c.MaxMemory, len(c.Pools)}, []int{4, 1 << 30, 1})
	equals(t, "warnings", strings.Join(c.Warnings, "\n"), strings.Join([]string{
		`testdata/predixy/auth.conf:5: Mode admin is like write here: CONFIG would be that of the servers, which predixy lets nobody see; RINGWAY CONFIG shows Ringway's own`,
		`testdata/predixy/auth.conf:5: clients with this password have to say AUTH auth1 and the password: with the password alone they are the user default, who may do other things`,
		`testdata/predixy/auth.conf:8: clients with this password have to say AUTH auth2 and the password: with the password alone they are the user default, who may do other things`,
		`testdata/predixy/auth.conf:13: Mode admin is like write here: CONFIG would be that of the servers, which predixy lets nobody see; RINGWAY CONFIG shows Ringway's own`,
		`testdata/predixy/auth.conf:13: clients with this password have to say AUTH auth1 and the password: with the password alone they are the user default, who may do other things`,
		`testdata/predixy/predixy.conf:7: BufSize has no effect: buffers grow and shrink with what they hold`,
		`testdata/predixy/predixy.conf:8: Log, LogRotate, LogInfoSample: the log goes to stderr, and log: {level: .., format: ..} says what is in it; errors are not sampled`,
		`testdata/predixy/predixy.conf:14: DataCenter is read_policy: nearest, which prefers servers of this zone and then those that answer soonest; ReadPolicy's priorities are not carried over`,
		`testdata/predixy/predixy.conf:32: CustomCommand hello.push is not carried over: commands of modules are not served here, unless docs/commands.md has it`,
		`testdata/predixy/predixy.conf:37: LatencyMonitor all is not carried over: how long requests took is told at the admin address, as histograms of all, at /metrics`,
		`testdata/predixy/sub/pool.conf:3: Databases 16 is not carried over: a client may SELECT what the servers have`,
		`testdata/predixy/sub/pool.conf:15: KeepAlive 120: tcpkeepalive is on, with the system's times (net.ipv4.tcp_keepalive_time); a server that is gone is found by health_check`,
	}, "\n"))
	writtenIsRead(t, c)
}

func writtenIsRead(t *testing.T, c *Config) {
	t.Helper()
	var b strings.Builder
	if err := WriteYAML(&b, c); err != nil {
		t.Fatal(err)
	}
	if d := Compare(c, mustParse(t, b.String())); !d.Empty() {
		t.Errorf("what was written is a change: %q\n%s", d.Lines(), b.String())
	}
	for _, w := range c.Warnings {
		if !strings.Contains(b.String(), "# "+w+"\n") {
			t.Errorf("the file does not say %q", w)
		}
	}
}

func TestPredixySentinels(t *testing.T) {
	c := mustLoad(t, "testdata/predixy/sentinel.conf")
	p := c.Pools[0]
	equals(t, "listen", p.Listen, "0.0.0.0:7617")
	equals(t, "threads", c.Threads, 1)
	equals(t, "placed by", []string{p.Distribution, p.Hash, p.HashTag}, []string{"list", "atol", ""})
	equals(t, "sentinel", *p.Sentinel, Sentinel{Addresses: []string{"10.2.2.2:7500", "10.2.2.3:7500"}, Identity: Identity{Password: "guard"}, Line: 1,
		Masters: []Master{{"users", 1, 12}, {"orders", 1, 14}}})
	equals(t, "password", p.Password, Secret("xyz"))
	equals(t, "reads", p.ReadPolicy, "replica")
	equals(t, "times", []time.Duration{p.Timeout, p.ConnectTimeout, p.RetryTimeout}, []time.Duration{0, 0, time.Second})
	equals(t, "users", p.Users, []User{{Name: "default", Passwords: []Secret{"one", "two"}, Line: 19, Rules: `~a\** ~b* &a\** &b* ` + predixyAll}})
	equals(t, "warnings", c.Warnings, []string(nil))
	writtenIsRead(t, c)

	ring, err := p.Ring()
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"0": "users", "17": "orders", "-3:x": "orders", "x": "users"} { // in the order of the file, not of names
		if got := ring.Node(ring.Find([]byte(key))).Name; got != want {
			t.Errorf("%s is at %s, want %s", key, got, want)
		}
	}
}

func TestPredixyCluster(t *testing.T) {
	c := mustLoad(t, "testdata/predixy/cluster.conf")
	p := c.Pools[0]
	equals(t, "listen", p.Listen, "unix:///run/predixy.sock")
	equals(t, "cluster", *p.Cluster, Cluster{Seeds: []string{"192.168.2.107:2211", "192.168.2.107:2212"}, Line: 2})
	equals(t, "reads", p.ReadPolicy, "any")
	equals(t, "users", p.Users, []User(nil))
	equals(t, "warnings", c.Warnings, []string(nil))
	writtenIsRead(t, c)
}

// predixyConf is a small file with lines at its top, and in its pool.
func predixyConf(top string, pool ...string) string {
	return top + "\nStandaloneServerPool {\n  RefreshMethod fixed\n  " + strings.Join(pool, "\n  ") + "\n  Group a {\n    + 10.0.0.1:1\n    + 10.0.0.2:1\n  }\n}\n"
}

func TestWhereReadsGoByPriorities(t *testing.T) {
	for _, c := range []struct{ lines, want, warning string }{
		{"", "primary", ""},
		{"StaticSlaveReadPriority 50", "any", ""},
		{"StaticSlaveReadPriority 51", "prefer-replica", ""},
		{"MasterReadPriority 0\nStaticSlaveReadPriority 1", "replica", ""},
		{"StaticSlaveReadPriority 49", "primary", "replicas are read in predixy while a primary is down"},
		{"DynamicSlaveReadPriority 60", "primary", ""}, // there are none
		{"MasterReadPriority 0", "primary", "predixy answers no reads"},
	} {
		got := mustParse(t, predixyConf("", c.lines))
		if p := got.Pools[0]; p.ReadPolicy != c.want || !strings.Contains(strings.Join(got.Warnings, "\n"), c.warning) || (c.warning == "") != (len(got.Warnings) == 0) {
			t.Errorf("%q: %s, %q", c.lines, p.ReadPolicy, got.Warnings)
		}
	}
}

func TestWhatIsWrongWithAPredixyConf(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"Name a\nBind 127.0.0.1:1\n", `f:1: no pool; expected one of ClusterServerPool, SentinelServerPool, StandaloneServerPool`},
		{predixyConf("Bnid 127.0.0.1:7617"), `f:1: unknown key "Bnid" (did you mean Bind?)`},
		{predixyConf("Bind 127.0.0.1"), `f:1: Bind "127.0.0.1" has no port; write host:port, [::1]:port or unix:///path`},
		{predixyConf("WorkerThreads 0"), `f:1: WorkerThreads "0" is not a number from 1 to 1024`},
		{predixyConf("MaxMemory 1T"), `f:1: MaxMemory "1T" is not a size; expected one like 100M or 1G`},
		{predixyConf("MaxMemory 999999999999G"), `f:1: MaxMemory "999999999999G" is not a size; expected one like 100M or 1G`},
		{predixyConf("Include other.conf"), `f:1: Include "other.conf" can't be followed, since this configuration is not in a file`},
		{predixyConf("Include x {\n}"), `f:1: Include takes the name of a file, and no scope`},
		{predixyConf("LocalDC bj\nDataCenter {\n  DC sh {\n  }\n}"), `f:2: LocalDC "bj" is not among the DCs of DataCenter`},
		{predixyConf("DataCenter {\n  DC sh {\n  }\n}"), `f:1: DataCenter without LocalDC; add that, or remove it`},
		{predixyConf("", "Hash md5"), `f:4: unknown Hash "md5" (known: atol, crc16)`},
		{predixyConf("", "HashTag {"), "f:2: the scope of StandaloneServerPool is not closed; expected a line with }"},
		{predixyConf("", `HashTag "{"`), `f:4: HashTag "{" is not two characters; expected them in quotes, like "{}"`},
		{predixyConf("", "Distribution ketama"), `f:4: unknown Distribution "ketama" (known: modula, random)`},
		{predixyConf("", "ServerTimeout 1h"), `f:4: ServerTimeout "1h" is not a duration; expected one like 1, 1s, 500ms or 500us`},
		{predixyConf("", "Servers {\n }"), `f:4: unknown key "Servers"`},
		{predixyConf("", "Group b {\n  }"), `f:2: StandaloneServerPool has several groups and no Hash; expected atol or crc16`},
		{predixyConf("", "Sentinels {\n    + 10.0.0.9:1\n  }"), `f:4: Sentinels beside RefreshMethod fixed; keep one`},
		{predixyConf("", "Group b {\n    + 10.0.0.1:1\n  }", "Hash atol", "Distribution random"), `f:10: backend address "10.0.0.1:1" is that of the backend on line 5`},
		{predixyConf("", "Group b {\n    + x@10.0.0.3:1\n    + y@10.0.0.4:1\n  }"), `f:6: the servers of Group have different passwords; here they have one`},
		{predixyConf("", "Group b {\n    + x@y@10.0.0.3:1\n  }"), `f:5: Group: a server with two @; a password can't have one in it`},
		{predixyConf("", "Group b {\n    - 10.0.0.3:1\n  }"), `f:5: "-" in Group; expected + and an address in each line`},
		{predixyConf("", "Group b {\n    + 10.0.0.3\n  }"), `f:5: Group: a server "10.0.0.3" has no port`},
		{predixyConf("", "RefreshMethod dns"), `f:4: unknown RefreshMethod "dns" (known: fixed, sentinel)`},
		{predixyConf("Authority {\n}"), `f:1: Authority has no Auth; add one, or remove it`},
		{predixyConf("Authority {\n  Auth a {\n  }\n}"), `f:2: Auth has no Mode; expected read, write or admin`},
		{predixyConf("Authority {\n  Auth a {\n    Mode any\n  }\n}"), `f:3: unknown Mode "any" (known: read, write, admin)`},
		{predixyConf("Authority {\n  Auth a {\n    Mode read\n    KeyPrefix (x\n  }\n}"), `f:4: KeyPrefix: "(x" can't stand in the rules of a user; write the user by hand`},
		{predixyConf("ClusterServerPool {\n}"), `f:3: StandaloneServerPool beside ClusterServerPool, f:1; keep one`},
		{"ClusterServerPool {\n}\n", `f:1: ClusterServerPool has no Servers; expected at least one, to ask for the others`},
		{"SentinelServerPool {\n  Group a {\n  }\n}\n", `f:1: SentinelServerPool has no Sentinels; expected at least one`},
		{"SentinelServerPool {\n  Sentinels {\n    + a:1\n  }\n  Group a {\n  }\n  Group a {\n  }\n  Hash atol\n  Distribution modula\n}\n", `f:7: Group "a" is on line 5 already; keep one`},
		{"StandaloneServerPool {\n}\n}\n", `f:3: } closes no scope; remove it`},
		{"StandaloneServerPool \"x\" y {\n}\nBind \"a\" b\nStandaloneServerPool {\n", `f:3: something follows the closing quote; expected a {, or nothing`},
		{"StandaloneServerPool {\n  Password \xff\n}\n", `f:2: bytes that are not UTF-8; expected text`},
		{"StandaloneServerPool {\n  Password \"x\n", `f:2: a quote that is never closed`},
	} {
		if _, err := Parse("f", []byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n%v\nwant %s", c.text, err, c.want)
		}
	}
}

func TestLinesOfAPredixyConf(t *testing.T) {
	type parsed struct {
		key, val string
		scope    bool
	}
	for line, want := range map[string]parsed{
		"":                              {},
		"  # Bind x":                    {},
		"Bind":                          {key: "Bind"},
		"\tBind  127.0.0.1:1 # x":       {"Bind", "127.0.0.1:1", false},
		"Bind 127.0.0.1:1\r\n":          {"Bind", "127.0.0.1:1", false},
		"}":                             {key: "}"},
		"} # end":                       {key: "}"},
		"Auth {":                        {"Auth", "", true},
		"Auth pass word { # x":          {"Auth", "pass word", true},
		`Auth "#{a}\"\\ b" {`:           {"Auth", `#{a}"\ b`, true},
		`HashTag "{}" # x`:              {"HashTag", "{}", false},
		"HashTag {}":                    {"HashTag", "{}", false},
		"+ secret@10.0.0.1:6379 master": {"+", "secret@10.0.0.1:6379 master", false},
	} {
		var got parsed
		var err error
		if got.key, got.val, got.scope, err = parsePredixyLine(line); err != nil || got != want {
			t.Errorf("%q: got %+v, %v; want %+v", line, got, err, want)
		}
	}
}

func TestPredixyConfIsToldApart(t *testing.T) {
	for text, want := range map[string]bool{
		"Name x\n":                         true,
		"# x\n\nINCLUDE a.conf\n":          true,
		"\ufeffBind x:1\n":                 true,
		"Typo 1\nclusterserverpool {\n":    true,
		"Name: x\n":                        false,
		"log : {}\n":                       false,
		"log:\n  level: info\n":            false,
		"pools:\n  - {name: bind}\n":       false,
		"alpha:\n  listen: 127.0.0.1:1\n":  false,
		"This file has been left empty.\n": false,
		"":                                 false,
	} {
		if got := isPredixy([]byte(text)); got != want {
			t.Errorf("%q: a predixy.conf is %v, want %v", text, got, want)
		}
	}
}

// What predixy itself does not take as it stands is warned of.
func TestSpacesWithoutQuotes(t *testing.T) {
	c := mustParse(t, predixyConf("Authority {\n  Auth {\n    Mode read\n    KeyPrefix User Stats\n  }\n}"))
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "test.yml:4: KeyPrefix: of a value with spaces in it") {
		t.Errorf("%q", c.Warnings)
	}
	equals(t, "rules", c.Pools[0].Users[0].Rules, "~User* ~Stats* "+predixyReads)
}

func TestIncludesEnd(t *testing.T) {
	files := map[string]string{
		"dir/a.conf": "Name x\nInclude b.conf\n",
		"dir/b.conf": "Include /dir/c.conf\n",
		"/dir/c.conf": `Include ../dir/c.conf
Include gone.conf
`,
	}
	r := &reader{file: "dir/a.conf", readFile: func(path string) ([]byte, error) {
		if text, ok := files[path]; ok {
			return []byte(text), nil
		}
		return nil, &fs.PathError{Op: "open", Path: path, Err: os.ErrNotExist}
	}}
	_, err := r.parse([]byte(files["dir/a.conf"]))
	const want = `/dir/c.conf:1: Include "../dir/c.conf" leads back to a file that is being read; remove one
/dir/c.conf:2: cannot read what Include names: open /dir/gone.conf: file does not exist`
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
	var problems Problems
	if !errors.As(err, &problems) {
		t.Errorf("%T", err)
	}
}
