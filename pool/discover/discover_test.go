package discover

import (
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"ringway/internal/corpus"
	"ringway/internal/redistest"
)

// Replies as servers send them, for those who read them.
const (
	shardsReply = "*1\r\n*4\r\n$5\r\nslots\r\n*4\r\n:0\r\n:100\r\n:102\r\n:16383\r\n$5\r\nnodes\r\n*2\r\n" +
		"*14\r\n$2\r\nid\r\n$1\r\na\r\n$4\r\nport\r\n:7000\r\n$2\r\nip\r\n$9\r\n127.0.0.1\r\n$8\r\nendpoint\r\n$9\r\n127.0.0.1\r\n" +
		"$4\r\nrole\r\n$6\r\nmaster\r\n$18\r\nreplication-offset\r\n:0\r\n$6\r\nhealth\r\n$6\r\nonline\r\n" +
		"*14\r\n$2\r\nid\r\n$1\r\nb\r\n$4\r\nport\r\n:7001\r\n$2\r\nip\r\n$9\r\n127.0.0.1\r\n$8\r\nendpoint\r\n$9\r\n127.0.0.1\r\n" +
		"$4\r\nrole\r\n$7\r\nreplica\r\n$18\r\nreplication-offset\r\n:0\r\n$6\r\nhealth\r\n$6\r\nonline\r\n"
	slotsReply = "*2\r\n*4\r\n:0\r\n:100\r\n*4\r\n$-1\r\n:7000\r\n$1\r\na\r\n*2\r\n$2\r\nip\r\n$0\r\n\r\n" +
		"*4\r\n$1\r\n?\r\n:7001\r\n$1\r\nb\r\n*0\r\n*3\r\n:102\r\n:16383\r\n*4\r\n$0\r\n\r\n:7000\r\n$1\r\na\r\n*0\r\n"
	masterReply   = "*8\r\n$2\r\nip\r\n$9\r\n127.0.0.1\r\n$4\r\nport\r\n$4\r\n6379\r\n$12\r\nconfig-epoch\r\n$1\r\n7\r\n$19\r\nnum-other-sentinels\r\n$1\r\n2\r\n"
	addressReply  = "*2\r\n$9\r\n127.0.0.1\r\n$4\r\n6379\r\n"
	replicasReply = "*1\r\n*8\r\n$2\r\nip\r\n$9\r\n127.0.0.1\r\n$4\r\nport\r\n$4\r\n6380\r\n$5\r\nflags\r\n$5\r\nslave\r\n$18\r\nmaster-link-status\r\n$2\r\nok\r\n"
)

// readAll does with a reply whatever this package does with replies.
func readAll(text string) {
	v, err := read(text)
	if err != nil {
		return
	}
	v.err()
	readView(v, v, v)
	for _, e := range v.elems {
		place(e.fields())
	}
	if shards, err := readShards(v, "h:1", "a"); err == nil {
		assemble(shards)
	}
	if shards, err := readSlots(v, "h:1"); err == nil {
		assemble(shards)
	}
}

func TestMangledRepliesDoNoHarm(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, reply := range []string{shardsReply, slotsReply, masterReply, addressReply, replicasReply} {
		if _, err := read(reply); err != nil {
			t.Fatal(err)
		}
		readAll(reply)
		for i := range reply {
			if _, err := read(reply[:i]); err == nil {
				t.Errorf("%q is taken for a reply", reply[:i])
			}
			for _, c := range []byte("\x00\r\n*$:+-0129z") {
				readAll(reply[:i] + string(c) + reply[i+1:])
			}
			readAll(reply[:i] + reply[i+1:])
		}
		for range 4_000 {
			b := []byte(reply)
			for range 1 + random.IntN(4) {
				b[random.IntN(len(b))] = byte(random.IntN(256))
			}
			readAll(string(b))
		}
	}
}

func FuzzReply(f *testing.F) {
	corpus.Add(f)
	for _, reply := range []string{shardsReply, slotsReply, masterReply, addressReply, replicasReply} {
		f.Add(reply)
	}
	f.Fuzz(func(_ *testing.T, text string) { readAll(text) })
}

func TestNothingIsLeftBehind(t *testing.T) {
	primary := redistest.Server(t)
	s := redistest.StartSentinels(t, 2, redistest.Monitored{Name: "m", Primary: primary})
	c := redistest.StartCluster(t, 1, 0)
	opt, _ := options(t)
	before := runtime.NumGoroutine()
	for _, source := range []Source{
		NewSentinel(s.Addrs(), []string{"m"}, "", "", opt),
		NewCluster(c.Addrs(), opt),
		NewDNS([]DNSBackend{{Address: "dns://localhost:1"}}, nil, opt),
	} {
		f := follow(t, source)
		f.await("an update", func(u Update) bool { return len(u.Nodes) > 0 && u.Nodes[0].Address != "" })
		f.stop()
	}
	redistest.WaitFor(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
	for _, server := range []*redistest.Redis{s.Node(0), s.Node(1), c.Node(0)} {
		redistest.WaitFor(t, "the connections to be closed", func() bool {
			return !strings.Contains(server.Do("CLIENT", "LIST"), "cmd=cluster") && !strings.Contains(server.Do("CLIENT", "LIST"), "sub=11")
		})
	}
}
