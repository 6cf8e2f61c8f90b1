package proxy

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ringway/internal/config"
	"ringway/internal/corpus"
	"ringway/internal/metrics"
	"ringway/internal/redistest"
	"ringway/resp"
)

// possessed is a server that is all right until something speaks through it: then, in the place of its next bytes, it sends that and hangs up.
type possessed struct {
	*redistest.Redis
	addr  string
	words atomic.Pointer[words]
}

type words struct {
	before, after bool // of what the server itself has to say
	text          []byte
	cut           int // where its second piece begins
}

func newPossessed(t testing.TB) *possessed {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	p := &possessed{Redis: redistest.Server(t), addr: ln.Addr().String()}
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			own, err := net.Dial("tcp", p.Redis.Addr())
			if err != nil {
				nc.Close()
				continue
			}
			go func() { io.Copy(own, nc); own.Close() }()
			go p.speak(nc, own)
		}
	}()
	return p
}

func (p *possessed) speak(nc, own net.Conn) {
	defer nc.Close()
	defer own.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := own.Read(b)
		if err != nil {
			return
		}
		w := p.words.Swap(nil)
		if w == nil {
			nc.Write(b[:n])
			continue
		}
		if w.after {
			nc.Write(b[:n])
		}
		nc.Write(w.text[:w.cut])
		nc.Write(w.text[w.cut:])
		if w.before {
			nc.Write(b[:n])
		}
		return
	}
}

// readAll reads so many replies, or as many as there are before the end of the connection.
func readAll(c *redistest.Conn, n int) (replies []string, open bool, err error) {
	var scan resp.ReplyScanner
	var in []byte
	b := make([]byte, 64<<10)
	for from, at := 0, 0; len(replies) < n; {
		took, done, err := scan.Scan(in[at:])
		if err != nil {
			return replies, true, fmt.Errorf("%q is no reply: %w", in[from:], err)
		}
		if at += took; done {
			replies = append(replies, string(in[from:at]))
			from = at
			continue
		}
		c.SetReadDeadline(time.Now().Add(redistest.Patience))
		took, err = c.Conn.Read(b)
		in = append(in, b[:took]...)
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			return replies, true, fmt.Errorf("nothing comes behind %q", in[from:])
		} else if took == 0 && err != nil {
			return replies, false, nil
		}
	}
	return replies, true, nil
}

// hostileWords are what no server says, or not there.
var hostileWords = []string{
	"", "rubbish", "HTTP/1.1 400 Bad Request\r\n\r\n", "\x15\x03\x01\x00\x02\x02\x28", "+", "+a", "+a\r", "+a\n", "-\r\n", "-ERR", "$", "$5\r\nab", "$3\r\nabcdef\r\n", "$-2\r\n", "$007\r\n",
	"$4294967296\r\n", "$99999999999999999999\r\n", "$?\r\n;3\r\nabc\r\n;0\r\n", "*?\r\n", "*1000000000\r\n", "*9999999999\r\n", "*-1\r\n", "*0\r\n", "*2\r\n+a\r\n", "*3\r\n$-1\r\n*-1\r\n_\r\n",
	"%1\r\n+a\r\n", "~1\r\n:1\r\n", "(12345678901234567890\r\n", "#x\r\n", ",inf\r\n", "=3\r\nabc\r\n", "!3\r\nERR\r\n", "|1\r\n+a\r\n+b\r\n", "|1\r\n+a\r\n+b\r\n+mine\r\n", "|1\r\n+a\r\n+b\r\n>1\r\n+x\r\n",
	"*2\r\n|1\r\n+a\r\n+b\r\n+mine\r\n+more\r\n", "*1\r\n>1\r\n+x\r\n", ">2\r\n+invalidate\r\n*1\r\n+a\r\n", ">0\r\n", ">3\r\n+message\r\n+news\r\n+false\r\n", "|1000000000\r\n",
	"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n", "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nfalse\r\n", "+PONG\r\n+PONG\r\n", "+OK\r\n+QUEUED\r\n", "*1\r\n*2\r\n+a\r\n:1\r\n", "*2\r\n$1\r\n0\r\n*1\r\n+k\r\n",
	"-MOVED 1 127.0.0.1:1\r\n", "-ASK 1 127.0.0.1:1\r\n", "-MOVED\r\n", "-LOADING\r\n", "-NOAUTH\r\n", "-READONLY\r\n", "|1\r\n+a\r\n+b\r\n-ERR no\r\n", "|1\r\n+a\r\n+b\r\n-MOVED 1 127.0.0.1:1\r\n", "|1\r\n+a\r\n+b\r\n*-1\r\n", "!6\r\nERR no\r\n", "-NOSCRIPT\r\n", ":9223372036854775808\r\n", ":x\r\n", ":\r\n",
	"+a\r\n+b\r\n+c\r\n+d\r\n", strings.Repeat("*1\r\n", 100_000), strings.Repeat("%1\r\n+a\r\n", 50_000), strings.Repeat("|1\r\n+a\r\n+b\r\n", 20_000), "$200000\r\n" + strings.Repeat("x", 100_000), "*2\r\n" + strings.Repeat("x", 100_000),
}

// hostileTo are requests for the server that is possessed, each with what the client says first. <K> is one of its keys, <L> a list of it, <O> a key of the other.
var hostileTo = []string{
	"GET <K>", "HELLO 3\nGET <K>", "MGET <O> <K>", "MGET <K> <O> <K>", "HELLO 3\nMGET <K> <O>", "MSET <K> x <O> y", "DEL <K> <O>", "SUNION <K> <O>", "ZUNION 2 <K> <O>", "SORT <L> BY <O>* GET <O>", "KEYS *", "SCAN 0", "DBSIZE", "INFO", "CONFIG GET maxmemory",
	"SLOWLOG GET", "CLIENT LIST\nDBSIZE", "BLPOP <L> 1", "MULTI\nGET <K>\nEXEC", "WATCH <K>\nGET <K>", "SUBSCRIBE news", "HELLO 3\nSUBSCRIBE news", "PUBLISH news x", "EVAL return_1 1 <K>", "EVALSHA ffffffffffffffffffffffffffffffffffffffff 1 <K>",
	"XREAD STREAMS <K> <O> 0 0", "WAIT 0 1", "SELECT 1\nGET <K>", "RANDOMKEY", "SCRIPT EXISTS ffffffffffffffffffffffffffffffffffffffff", "LCS <K> <O>", "PFCOUNT <K> <O>",
}

// FuzzHostileNode has a server send what it should not. Whoever asks others gets their values and no others, a client gets a reply for each request or the
// end of its connection, nothing of what was sent turns up later, and Ringway lives.
func FuzzHostileNode(f *testing.F) {
	corpus.Add(f)
	bad := newPossessed(f)
	srv, log := serveLogged(f, onPool(func(p *config.Pool) {
		p.ReadRetries, p.HotKeys.Mode = 0, "off"
		p.MaxReplySize = 4 << 20
	}), redistest.Server(f).Addr(), bad.addr)
	beside, other, key, list := keyOf(f, srv, 0, "beside"), keyOf(f, srv, 0, "other"), keyOf(f, srv, 1, "key"), keyOf(f, srv, 1, "list")
	names := strings.NewReplacer("<K>", key, "<L>", list, "<O>", other)
	for i, text := range hostileWords {
		for op := range hostileTo {
			if op == i%len(hostileTo) || op == (i+11)%len(hostileTo) || op < 3 && len(text) < 1000 {
				f.Add(byte(op), byte(i), []byte(text))
			}
		}
	}
	f.Fuzz(func(t *testing.T, op, how byte, text []byte) {
		good, victim := client(t, srv), client(t, srv)
		defer good.Close()
		defer victim.Close()
		truth := func(key string) {
			t.Helper()
			value := "of " + key
			redistest.WaitFor(t, "the server to be used again", func() bool { return good.Do("SET", key, value) == "+OK\r\n" })
			want(t, "GET", good.Do("GET", key), redistest.Bulk(value))
		}
		truth(key)
		truth(beside)
		good.Do("RPUSH", list, "x")

		before := losses(srv)
		bad.words.Store(&words{text: text, cut: min(len(text), int(how>>2)), before: how&3 == 1, after: how&3 == 2})
		lines := strings.Split(hostileTo[int(op)%len(hostileTo)], "\n")
		for _, line := range lines {
			victim.Send(strings.Fields(names.Replace(line))...)
		}
		victim.SendRaw("PING\r\n")
		victim.Flush()
		for range 3 {
			want(t, "GET beside it", good.Do("GET", beside), redistest.Bulk("of "+beside))
		}
		replies, open, err := readAll(victim, len(lines)+1)
		if err != nil {
			t.Errorf("%q: %v", lines, err)
		} else if last := len(replies) - 1; open && !strings.Contains(lines[len(lines)-1], "SUBSCRIBE") && replies[last] != "+PONG\r\n" {
			t.Errorf("%q, %q: the replies are %.200q", lines, text, replies)
		}
		if bad.words.Swap(nil) == nil && op == 0 {
			redistest.WaitFor(t, "the loss to be counted", func() bool { return losses(srv) > before })
		}
		truth(key)
		truth(beside)
		if s := log.String(); strings.Contains(s, "panic") || strings.Contains(s, "bug:") {
			t.Fatalf("%q: %s", lines, s)
		}
	})
}

func losses(srv *Server) (n uint64) {
	for _, node := range metrics.Sum(srv.Stats(0)).Nodes {
		n += node.Losses
	}
	return n
}
