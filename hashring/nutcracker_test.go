package hashring

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// keysPerPool is how many keys are looked for on each side of each pool.
const keysPerPool = 20_000

// nutPool is a pool of the real twemproxy, and the ring that must agree with it.
type nutPool struct {
	name    string
	opt     Options
	servers []nutServer
}

// nutServer is a line of its configuration, and the ring's node for it.
type nutServer struct {
	line  string // "127.0.0.1:6379:1 name"
	node  Node
	redis *redisServer
}

// TestEveryKeyIsWhereTwemproxyPutsIt writes through a real nutcracker and reads from the server the ring names, and
// the other way round, for every hash in ketama and modula.
func TestEveryKeyIsWhereTwemproxyPutsIt(t *testing.T) {
	dir := socketDir(t)
	redis := make([]*redisServer, 4)
	for i := range redis {
		redis[i] = startRedis(t, dir, i)
	}
	pools := nutPools(redis)
	startNutcracker(t, dir, pools)
	keys := wildKeys(keysPerPool)
	for _, p := range pools {
		t.Run(p.name, func(t *testing.T) {
			var nodes []Node
			for _, s := range p.servers {
				nodes = append(nodes, s.node)
			}
			ring := mustNew(t, nodes, p.opt)
			byRedis := make(map[*redisServer][][]byte)
			for _, key := range keys {
				r := p.servers[ring.Find(key)].redis
				byRedis[r] = append(byRedis[r], key)
			}
			proxy := dial(t, filepath.Join(dir, p.name+".sock"))
			direct := make(map[*redisServer]*wire)
			for _, r := range redis {
				direct[r] = dial(t, r.sock)
			}

			flush(t, direct)
			proxy.write(t, keys, "through nutcracker "+p.name)
			for r, c := range direct {
				c.check(t, byRedis[r], "through nutcracker "+p.name)
			}

			flush(t, direct)
			for r, c := range direct {
				c.write(t, byRedis[r], "where the ring says "+p.name)
			}
			proxy.check(t, keys, "where the ring says "+p.name)
		})
	}
}

func nutPools(redis []*redisServer) []nutPool {
	named := func(r *redisServer, weight int, name string) nutServer {
		return nutServer{fmt.Sprintf("%s:%d %s", r.addr, weight, name), Node{name, weight}, r}
	}
	// Weighted, named, unnamed and on a socket, not in the order of the ring. An unnamed server has its address
	// for a name, one on a socket with a colon at the end.
	mixed := []nutServer{
		named(redis[0], 2, "a-name-that-sorts-late"),
		named(redis[1], 1, "server1"),
		{redis[2].addr + ":1", Node{redis[2].addr, 1}, redis[2]},
		{redis[3].sock + ":3", Node{redis[3].sock + ":", 3}, redis[3]},
	}
	plain := make([]nutServer, 4)
	for i, r := range redis {
		plain[3-i] = named(r, 1, fmt.Sprint("node-", i))
	}
	// 25 servers have 156 points each instead of 160; four processes play them.
	var many, weighted []nutServer
	for i := range 25 {
		many = append(many, named(redis[i%4], 1, fmt.Sprint("shard-", i)))
		weighted = append(weighted, named(redis[i%4], 1+i*i%17, fmt.Sprint("s", i)))
	}

	var pools []nutPool
	for _, h := range Hashes() {
		if h == "xxhash64" {
			continue
		}
		for _, d := range []string{"ketama", "modula"} {
			pools = append(pools, nutPool{d + "-" + h, Options{Distribution: d, Hash: h, HashTag: "{}"}, mixed})
		}
	}
	for _, d := range []string{"ketama", "modula"} {
		pools = append(pools,
			nutPool{d + "-untagged", Options{Distribution: d}, plain},
			nutPool{d + "-dollars", Options{Distribution: d, HashTag: "$$"}, plain},
			nutPool{d + "-25", Options{Distribution: d, Hash: "md5"}, many},
			nutPool{d + "-25-weighted", Options{Distribution: d, Hash: "murmur"}, weighted},
			nutPool{d + "-one", Options{Distribution: d}, plain[:1]})
	}
	return pools
}

// wildKeys returns n different keys, the same ones each time: empty, short and long, text and any bytes, with hash
// tags whole, empty, doubled and unclosed.
func wildKeys(n int) [][]byte {
	rnd := rand.New(rand.NewPCG(2, 1))
	binary := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		return b
	}
	tags := []string{"{", "}", "{}", "$", "$$", "{user:7}", "$user:7$", "}{", "{\xff}", "{{x}}"}
	seen := map[string]bool{"": true}
	keys := [][]byte{{}}
	for i := 0; len(keys) < n; i++ {
		var key []byte
		switch i % 8 {
		case 0:
			key = fmt.Appendf(nil, "user:%d", i)
		case 1:
			key = binary(1 + rnd.IntN(24))
		case 2:
			key = fmt.Appendf(nil, "{user:%d}:cart", i)
		case 3:
			key = fmt.Appendf(nil, "é%dä", i)
		case 4:
			key = slices.Concat(binary(rnd.IntN(9)), []byte("{"), binary(rnd.IntN(9)), []byte("}"), binary(rnd.IntN(9)))
		case 5:
			key = slices.Concat(binary(rnd.IntN(9)), []byte("$"), binary(rnd.IntN(9)), []byte("$"), binary(rnd.IntN(9)))
		case 6:
			key = slices.Concat(binary(rnd.IntN(4)), []byte(tags[rnd.IntN(len(tags))]), binary(rnd.IntN(4)), []byte(tags[rnd.IntN(len(tags))]))
		case 7:
			key = fmt.Appendf(nil, "%d", i)
			if i%256 == 7 {
				key = binary(64 + rnd.IntN(4000))
			}
		}
		if !seen[string(key)] {
			seen[string(key)] = true
			keys = append(keys, key)
		}
	}
	return keys
}

// Keys go in batches: one turn on the wire each, a quarter of them in one MSET or MGET.
const batch = 256

// write sets every key to its number in the list and what.
func (c *wire) write(t *testing.T, keys [][]byte, what string) {
	t.Helper()
	for part := range slices.Chunk(keys, batch) {
		many, single := part[:len(part)/4], part[len(part)/4:]
		for _, key := range single {
			c.send([]byte("SET"), key, value(key, what))
		}
		if len(many) > 0 {
			mset := [][]byte{[]byte("MSET")}
			for _, key := range many {
				mset = append(mset, key, value(key, what))
			}
			c.send(mset...)
		}
		for _, key := range single {
			c.want(t, []byte("OK"), "SET", key)
		}
		if len(many) > 0 {
			c.want(t, []byte("OK"), "MSET", many[0])
		}
	}
}

// check gets every key and compares it with what write has set.
func (c *wire) check(t *testing.T, keys [][]byte, what string) {
	t.Helper()
	for part := range slices.Chunk(keys, batch) {
		many, single := part[:len(part)/4], part[len(part)/4:]
		for _, key := range single {
			c.send([]byte("GET"), key)
		}
		if len(many) > 0 {
			c.send(append([][]byte{[]byte("MGET")}, many...)...)
		}
		for _, key := range single {
			c.want(t, value(key, what), "GET", key)
		}
		if len(many) > 0 {
			c.wantArray(t, len(many))
			for _, key := range many {
				c.want(t, value(key, what), "MGET", key)
			}
		}
	}
}

// value ties a value to its key without being as long.
func value(key []byte, what string) []byte {
	return fmt.Appendf(nil, "%d %x %s", len(key), key[:min(len(key), 24)], what)
}

func flush(t *testing.T, direct map[*redisServer]*wire) {
	t.Helper()
	for _, c := range direct {
		c.send([]byte("FLUSHALL"))
		c.want(t, []byte("OK"), "FLUSHALL", nil)
	}
}

func startNutcracker(t *testing.T, dir string, pools []nutPool) {
	t.Helper()
	var conf strings.Builder
	for _, p := range pools {
		hash := p.opt.Hash
		if hash == "" {
			hash = "fnv1a_64"
		}
		fmt.Fprintf(&conf, "%s:\n  listen: %s 0600\n  redis: true\n  distribution: %s\n  hash: %s\n",
			p.name, filepath.Join(dir, p.name+".sock"), p.opt.Distribution, hash)
		if p.opt.HashTag != "" {
			fmt.Fprintf(&conf, "  hash_tag: %q\n", p.opt.HashTag)
		}
		conf.WriteString("  servers:\n")
		for _, s := range p.servers {
			fmt.Fprintf(&conf, "    - %s\n", s.line)
		}
	}
	file := filepath.Join(dir, "nutcracker.yml")
	if err := os.WriteFile(file, []byte(conf.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, process{
		program: "nutcracker",
		install: "apt-get install nutcracker",
		args: func() []string {
			return []string{"-c", file, "-o", filepath.Join(dir, "nutcracker.log"), "-p", filepath.Join(dir, "nutcracker.pid"),
				"-a", "127.0.0.1", "-s", freePort(t)}
		},
		ready: func() error {
			for _, p := range pools {
				if err := ping(filepath.Join(dir, p.name+".sock")); err != nil {
					return err
				}
			}
			return nil
		},
	})
}

// want reads one reply and compares.
func (c *wire) want(t *testing.T, want []byte, command string, key []byte) {
	t.Helper()
	got, err := c.reply()
	switch {
	case errors.Is(err, errReply):
		t.Fatalf("%s: %s %q: %v, want %q", c.name, command, key, err, want)
	case err != nil:
		t.Fatalf("%s: %s %q: cannot read the reply: %v", c.name, command, key, err)
	case !bytes.Equal(got, want):
		t.Fatalf("%s: %s %q: got %q, want %q", c.name, command, key, got, want)
	}
}
