package loop

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ringway/internal/redistest"
)

// serveTLS is serve for clients that speak TLS. failed hears of handshakes that fail; nil: the test fails.
func serveTLS(t testing.TB, l *Loop, h *Handshakes, cfg *tls.Config, limit time.Duration, failed func(error), begin func(p *peer)) string {
	t.Helper()
	ln, err := Listen("127.0.0.1:0", ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	do(t, l, func() {
		err = ln.Start(l, func(fd int, _ string) {
			h.Begin(fd, cfg, limit, func(k Link, err error) {
				if err != nil {
					if failed == nil {
						t.Errorf("handshake: %v", err)
					} else {
						failed(err)
					}
					return
				}
				if !l.Post(func() {
					p := &peer{loop: l}
					begin(p)
					if err := k.Attach(&p.conn, l, p); err != nil {
						t.Error(err)
					}
				}) {
					k.Close()
				}
			})
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { do(t, l, ln.Close); h.Close() })
	return ln.Addr()
}

// identity makes a server's settings, and those of a client that believes it.
func identity(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	a := redistest.NewAuthority(t)
	return &tls.Config{Certificates: []tls.Certificate{a.Issue(redistest.Issue{}).Pair}, DynamicRecordSizingDisabled: true}, a.Trust(nil)
}

// connectTLS does the client's part.
func connectTLS(t testing.TB, addr string, cfg *tls.Config) *tls.Conn {
	t.Helper()
	c := tls.Client(connect(t, addr), cfg)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	return c
}

// eachVersion runs a test for every version of TLS that there is.
func eachVersion(t *testing.T, f func(t *testing.T, server, client *tls.Config)) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			server, client := identity(t)
			client.MaxVersion = version
			f(t, server, client)
		})
	}
}

func TestTLSEchoes(t *testing.T) {
	eachVersion(t, func(t *testing.T, server, client *tls.Config) {
		l := run(t)
		c := connectTLS(t, serveTLS(t, l, NewHandshakes(1), server, patience, nil, echo), client)
		for i := range 100 {
			asks(t, c, strings.Repeat(words(i), 1+i*i))
		}
	})
}

// Requests that come in one piece with the end of the handshake are read without another event.
func TestTLSDataBehindTheHandshakeIsRead(t *testing.T) {
	server, client := identity(t)
	l := run(t)
	addr := serveTLS(t, l, NewHandshakes(1), server, patience, nil, echo)
	for range 20 {
		nc := &gathering{Conn: connect(t, addr)}
		c := tls.Client(nc, client)
		done := make(chan error, 1)
		go func() { done <- c.Handshake() }()
		if err := <-done; err != nil { // the client's Finished is gathered
			t.Fatal(err)
		}
		io.WriteString(c, "at once")
		nc.flush(t)
		if got := reads(t, c, 7); got != "at once" {
			t.Fatalf("got %q", got)
		}
	}
}

// gathering holds back what is written after the first write.
type gathering struct {
	net.Conn
	writes int
	held   []byte
}

func (g *gathering) Write(b []byte) (int, error) {
	if g.writes++; g.writes <= 1 {
		return g.Conn.Write(b)
	}
	g.held = append(g.held, b...)
	return len(b), nil
}

func (g *gathering) flush(t testing.TB) {
	t.Helper()
	if _, err := g.Conn.Write(g.held); err != nil {
		t.Fatal(err)
	}
	g.held = nil
}

// dripping writes in pieces of a size, and has the reader see each by itself.
type dripping struct {
	net.Conn
	size int
}

func (d *dripping) Write(b []byte) (int, error) {
	for at := 0; at < len(b); at += d.size {
		if _, err := d.Conn.Write(b[at:min(len(b), at+d.size)]); err != nil {
			return at, err
		}
		time.Sleep(50 * time.Microsecond) // to have them come apart; together would do no harm
	}
	return len(b), nil
}

// A record cut at each of its bytes, and whole streams in pieces of all sizes.
func TestTLSRecordsInPieces(t *testing.T) {
	eachVersion(t, func(t *testing.T, server, client *tls.Config) {
		l := run(t)
		addr := serveTLS(t, l, NewHandshakes(1), server, patience, nil, echo)
		nc := &gathering{Conn: connect(t, addr), writes: -100}
		c := tls.Client(nc, client)
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		asks(t, c, "begin")
		nc.writes = 1
		var turns uint64
		for cut := 1; ; cut++ {
			io.WriteString(c, "twenty bytes of data")
			whole := nc.held
			nc.held = nil
			if cut >= len(whole) {
				nc.Conn.Write(whole)
				reads(t, c, 20)
				break
			}
			do(t, l, func() { turns = l.Turns })
			nc.Conn.Write(whole[:cut])
			eventually(t, l, "the first part", func() bool { return l.Turns > turns+1 })
			nc.Conn.Write(whole[cut:])
			if got := reads(t, c, 20); got != "twenty bytes of data" {
				t.Fatalf("cut at %d: %q", cut, got)
			}
		}
		for _, size := range []int{1, 7, 1000} {
			c := tls.Client(&dripping{connect(t, addr), size}, client)
			asks(t, c, strings.Repeat("a stream in pieces ", 1+size))
		}
	})
}

// What an owner with a small buffer does not take at once comes without another event, in order.
func TestTLSReadsIntoSmallBuffers(t *testing.T) {
	for _, size := range []int{1, 100, 5000, 20_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			server, client := identity(t)
			l := run(t)
			c := connectTLS(t, serveTLS(t, l, NewHandshakes(1), server, patience, nil, func(p *peer) { p.size = size; echo(p) }), client)
			var want bytes.Buffer
			for i := 0; want.Len() < 200*size && want.Len() < 2<<20; i++ {
				want.WriteString(words(i))
			}
			go c.Write(want.Bytes())
			if got := reads(t, c, want.Len()); got != want.String() {
				t.Error("the bytes are not those that were written")
			}
			do(t, l, func() { lentOnce(t, l) })
		})
	}
}

// A reader that pauses with records left in the process goes on with them when it resumes, though no event will come.
func TestTLSPausedWithRecordsLeft(t *testing.T) {
	server, client := identity(t)
	l := run(t)
	var p *peer
	read := 0
	c := connectTLS(t, serveTLS(t, l, NewHandshakes(1), server, patience, nil, func(q *peer) {
		p, q.size = q, 10
		q.read = func(b []byte) { read += len(b); q.conn.Append(b); q.conn.Pause() }
	}), client)
	other := connectTLS(t, serveTLS(t, l, NewHandshakes(1), server, patience, nil, echo), client)
	const pauses = 1000
	for range pauses / 5 { // a record each, some of which stay as they have come
		io.WriteString(c, strings.Repeat("0123456789", 5))
	}
	for i := range pauses {
		asks(t, other, strings.Repeat("another's records in the same buffer ", 200))
		if got := reads(t, c, 10); got != "0123456789" {
			t.Fatalf("got %q", got)
		}
		do(t, l, func() {
			if read != 10*(i+1) {
				t.Fatalf("%d bytes were read after %d pauses", read, i+1)
			}
			if i < pauses-1 && p.conn.Quiet() {
				t.Fatalf("after %d bytes it says that there are no more", read)
			}
			p.conn.Resume()
		})
	}
}

func TestTLSSlowReaderGetsEveryByteInOrder(t *testing.T) {
	eachVersion(t, func(t *testing.T, server, client *tls.Config) {
		l := run(t)
		var whole bytes.Buffer
		for i := 0; whole.Len() < 12<<20; i++ {
			whole.WriteString(words(i))
		}
		want := whole.Bytes()
		var p *peer
		blocked := false
		c := connectTLS(t, serveTLS(t, l, NewHandshakes(1), server, patience, nil, func(q *peer) {
			p = q
			left := want
			q.read = func([]byte) {
				unix.SetsockoptInt(q.conn.FD(), unix.SOL_SOCKET, unix.SO_SNDBUF, 8192)
				for size := 1; len(left) > 0 && size < 1<<20; size = size*3 + 1 {
					piece := left[:min(size, len(left))]
					q.conn.Append(piece)
					left = left[len(piece):]
				}
			}
			q.flushed = func(unsent int) {
				blocked = blocked || unsent > 0
				if unsent < 100_000 && len(left) > 0 {
					q.read(nil)
				}
			}
		}), client)
		io.WriteString(c, "go")
		eventually(t, l, "the kernel to take no more", func() bool { return blocked })
		sum := sha256.New()
		buf := make([]byte, 300_000)
		for n := 0; n < len(want); {
			m, err := c.Read(buf[:1+n%len(buf)])
			if err != nil {
				t.Fatalf("after %d bytes: %v", n, err)
			}
			sum.Write(buf[:m])
			n += m
		}
		if w := sha256.Sum256(want); !bytes.Equal(sum.Sum(nil), w[:]) {
			t.Error("the bytes are not those that were appended")
		}
		eventually(t, l, "all to be sent", func() bool { return p.conn.Unsent() == 0 })
		do(t, l, func() {
			if p.conn.BytesOut != uint64(len(want)) || p.conn.StalledFor() != 0 {
				t.Errorf("sent %d of %d, stalled for %v", p.conn.BytesOut, len(want), p.conn.StalledFor())
			}
			lentOnce(t, l)
		})
	})
}

// What waits and what has gone always add up to what was appended, in the owner's bytes, not in those of records.
func TestTLSCountsTheOwnersBytes(t *testing.T) {
	server, client := identity(t)
	l := run(t)
	var p *peer
	c := connectTLS(t, serveTLS(t, l, NewHandshakes(1), server, patience, nil, func(q *peer) { p = q }), client)
	eventually(t, l, "the connection", func() bool { return p != nil })
	var want bytes.Buffer
	for i := range 400 {
		line := bytes.Repeat([]byte(words(i)), 1+i*7)
		want.Write(line)
		do(t, l, func() {
			switch i % 3 {
			case 0:
				p.conn.Append(line)
			case 1:
				p.conn.Commit(append(p.conn.Extend(len(line)), line...))
			default:
				p.conn.AppendLazily(line)
			}
		})
		do(t, l, func() {
			if sum := p.conn.BytesOut + uint64(p.conn.Unsent()); sum != uint64(want.Len()) {
				t.Fatalf("%d sent and %d unsent of %d", p.conn.BytesOut, p.conn.Unsent(), want.Len())
			}
		})
	}
	do(t, l, func() {
		if p.conn.StalledFor() == 0 {
			t.Error("the connection is not blocked: nothing was tested")
		}
	})
	if got := reads(t, c, want.Len()); got != want.String() {
		t.Error("the bytes are not in their order")
	}
	do(t, l, func() { lentOnce(t, l) })
}

func TestTLSLargeOutputIsAdopted(t *testing.T) {
	server, client := identity(t)
	l := run(t)
	var p *peer
	c := connectTLS(t, serveTLS(t, l, NewHandshakes(1), server, patience, nil, func(q *peer) { p = q }), client)
	eventually(t, l, "the connection", func() bool { return p != nil })
	want := bytes.Repeat([]byte("0123456789abcdef"), 10<<20/16)
	do(t, l, func() {
		if !p.conn.Adopt(bytes.Clone(want)) {
			t.Error("it was not adopted")
		}
	})
	if got := reads(t, c, len(want)); got != string(want) {
		t.Error("the bytes are not those that were adopted")
	}
}

func TestTLSWritesOnceATurn(t *testing.T) {
	server, client := identity(t)
	l := run(t)
	var p *peer
	counted := &counting{}
	addr := serveTLS(t, l, NewHandshakes(1), server, patience, nil, func(q *peer) { p = q })
	counted.Conn = connect(t, addr)
	c := tls.Client(counted, client)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	eventually(t, l, "the connection", func() bool { return p != nil })
	do(t, l, func() {
		p.conn.Append([]byte("a"))
		for range 6 {
			p.conn.Append(make([]byte, 16<<10-1))
		}
		p.conn.Append([]byte("b"))
	})
	reads(t, c, 2+6*(16<<10-1))
	if records := counted.records(t); records != 6 {
		t.Errorf("%d records for six times 16 KiB", records)
	}
}

// counting counts records of data that come.
type counting struct {
	net.Conn
	in []byte
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.in = append(c.in, b[:n]...)
	return n, err
}

// records returns how many large ones there were.
func (c *counting) records(t testing.TB) (n int) {
	for b := c.in; len(b) >= 5; {
		size := int(binary.BigEndian.Uint16(b[3:]))
		if size > 8<<10 {
			n++
		}
		b = b[min(len(b), 5+size):]
	}
	return n
}

func TestTLSEndOfStream(t *testing.T) {
	eachVersion(t, func(t *testing.T, server, client *tls.Config) {
		l := run(t)
		addr := serveTLS(t, l, NewHandshakes(1), server, patience, nil, echo)
		want := strings.Repeat("to the end\n", 10_000)
		t.Run("close_notify, and the rest is answered", func(t *testing.T) {
			wire := &counting{Conn: connect(t, addr)}
			c := tls.Client(wire, client)
			go func() { io.WriteString(c, want); c.CloseWrite() }()
			got, err := io.ReadAll(c)
			if err != nil || string(got) != want {
				t.Errorf("got %d of %d bytes, %v", len(got), len(want), err)
			}
			last := wire.in[len(wire.in)-5-2-24:] // close_notify with TLS 1.2 is an alert of 2 bytes, 8 of nonce and 16 of tag
			if c.ConnectionState().Version == tls.VersionTLS13 {
				last = wire.in[len(wire.in)-5-2-17:] // and does not look like one with TLS 1.3
			}
			if kind, size := last[0], int(last[4]); kind != 21 && kind != 23 || size != len(last)-5 {
				t.Errorf("the last record is % x", last)
			}
		})
		t.Run("of TCP alone, between records", func(t *testing.T) {
			nc := connect(t, addr)
			c := tls.Client(nc, client)
			asks(t, c, "hello")
			nc.(*net.TCPConn).CloseWrite()
			if got, err := io.ReadAll(c); err != nil || len(got) > 0 {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
		t.Run("in the middle of a record", func(t *testing.T) {
			ended := make(chan error, 1)
			addr := serveTLS(t, l, NewHandshakes(1), server, patience, nil, func(p *peer) {
				echo(p)
				p.ended = func(err error) { ended <- err; p.conn.Close() }
			})
			nc := &gathering{Conn: connect(t, addr), writes: -100}
			c := tls.Client(nc, client)
			asks(t, c, "hello")
			nc.writes = 1
			io.WriteString(c, "cut off")
			nc.Conn.Write(nc.held[:len(nc.held)-1])
			nc.Conn.(*net.TCPConn).CloseWrite()
			if err := <-ended; err != io.ErrUnexpectedEOF {
				t.Errorf("got %v", err)
			}
		})
	})
}

// Bytes that are no record, or one that was tampered with, end the connection with an alert, and nothing of it is delivered.
func TestTLSTamperedRecord(t *testing.T) {
	eachVersion(t, func(t *testing.T, server, client *tls.Config) {
		l := run(t)
		read := 0
		ended := make(chan error, 1)
		addr := serveTLS(t, l, NewHandshakes(1), server, patience, nil, func(p *peer) {
			p.read = func(b []byte) { read += len(b); p.conn.Append(b) }
			p.ended = func(err error) {
				if !p.conn.Closed() {
					t.Error("it is not closed")
				}
				ended <- err
			}
		})
		nc := &gathering{Conn: connect(t, addr), writes: -100}
		c := tls.Client(nc, client)
		asks(t, c, "hello")
		nc.writes = 1
		io.WriteString(c, "tampered")
		nc.held[len(nc.held)-3] ^= 1
		nc.flush(t)
		if err := <-ended; err == nil || !strings.Contains(err.Error(), "bad record MAC") {
			t.Errorf("got %v", err)
		}
		if _, err := c.Read(make([]byte, 10)); err == nil || !strings.Contains(err.Error(), "bad record MAC") {
			t.Errorf("the client was told %v", err)
		}
		do(t, l, func() {
			if read != 5 {
				t.Errorf("%d bytes were delivered", read)
			}
			lentOnce(t, l)
		})
	})
}

func TestTLSSessionsAreResumed(t *testing.T) {
	eachVersion(t, func(t *testing.T, server, client *tls.Config) {
		l := run(t)
		client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		addr := serveTLS(t, l, NewHandshakes(1), server, patience, nil, echo)
		for i := range 3 {
			c := connectTLS(t, addr, client)
			asks(t, c, "the ticket comes before this")
			if resumed := c.ConnectionState().DidResume; resumed != (i > 0) {
				t.Errorf("connection %d: resumed %v", i, resumed)
			}
			c.Close()
		}
		t.Run("by Dial", func(t *testing.T) {
			client := client.Clone()
			client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			for i := range 3 {
				links := make(chan Link, 1)
				l.Dial(addr, DialOptions{Timeout: patience, TLS: func(string) *tls.Config { return client }}, func(k Link, err error) {
					if err != nil {
						t.Error(err)
					}
					links <- k
				})
				k := <-links
				got := make(chan string, 1)
				p := &peer{loop: l, read: func(b []byte) { got <- string(b) }}
				do(t, l, func() {
					if err := k.Attach(&p.conn, l, p); err != nil {
						t.Error(err)
					}
					p.conn.Append([]byte("hello"))
				})
				if s := <-got; s != "hello" {
					t.Errorf("got %q", s)
				}
				do(t, l, func() {
					if resumed := p.conn.TLS().State().DidResume; resumed != (i > 0) {
						t.Errorf("link %d: resumed %v", i, resumed)
					}
					p.conn.Close()
				})
			}
		})
	})
}

// rekeying writes records of TLS 1.3 by itself, to do what crypto/tls never does: ask for new keys.
type rekeying struct {
	c      net.Conn
	secret []byte
	seq    uint64
}

func expand(secret []byte, label string, n int) []byte {
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(info, byte(6+len(label)))
	info = append(append(info, "tls13 "+label...), 0)
	b, err := hkdf.Expand(sha256.New, secret, string(info), n)
	if err != nil {
		panic(err)
	}
	return b
}

func (r *rekeying) record(kind byte, data []byte) []byte {
	block, _ := aes.NewCipher(expand(r.secret, "key", 16))
	aead, _ := cipher.NewGCM(block)
	nonce := expand(r.secret, "iv", 12)
	for i := range 8 {
		nonce[4+i] ^= byte(r.seq >> (56 - 8*i))
	}
	r.seq++
	data = append(bytes.Clone(data), kind)
	head := binary.BigEndian.AppendUint16([]byte{23, 3, 3}, uint16(len(data)+aead.Overhead()))
	return aead.Seal(head, nonce, data, head)
}

// newKeys is a KeyUpdate; the next record has the next key.
func (r *rekeying) newKeys(answer bool) []byte {
	b := r.record(22, []byte{24, 0, 0, 1, map[bool]byte{true: 1}[answer]})
	r.secret, r.seq = expand(r.secret, "traffic upd", 32), 0
	return b
}

// rekeyed connects a client whose requests are written by a rekeying, and whose replies are read by crypto/tls.
func rekeyed(t *testing.T, addr string, client *tls.Config) (*tls.Conn, *rekeying) {
	t.Helper()
	var log bytes.Buffer
	client = client.Clone()
	client.KeyLogWriter, client.MinVersion = &log, tls.VersionTLS13
	c := connectTLS(t, addr, client)
	if suite := c.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		t.Fatalf("the test can't do %s", tls.CipherSuiteName(suite))
	}
	for line := range strings.Lines(log.String()) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "CLIENT_TRAFFIC_SECRET_0" {
			secret, err := hex.DecodeString(f[2])
			if err != nil {
				t.Fatal(err)
			}
			return c, &rekeying{c: c.NetConn(), secret: secret}
		}
	}
	t.Fatal("no secret was logged")
	return nil, nil
}

func TestTLSKeyUpdates(t *testing.T) {
	server, client := identity(t)
	l := run(t)
	c, w := rekeyed(t, serveTLS(t, l, NewHandshakes(1), server, patience, nil, echo), client)
	for i := range 40 {
		answer := i%3 > 0
		b := w.record(23, []byte("before "))
		b = append(b, w.newKeys(answer)...)
		b = append(b, w.record(23, []byte("after "))...)
		if i%2 == 0 { // a message over two records
			last := w.record(22, []byte{24, 0, 0})
			b = append(b, last...)
			b = append(b, w.record(22, []byte{1, 1})...)
			w.secret, w.seq = expand(w.secret, "traffic upd", 32), 0
			b = append(b, w.record(23, []byte("after "))...)
		} else {
			b = append(b, w.record(23, []byte("again "))...)
		}
		for len(b) > 0 { // in two writes, cut anywhere
			cut := min(len(b), 1+i*3)
			w.c.Write(b[:cut])
			b = b[cut:]
		}
		if got := reads(t, c, 19); !strings.HasPrefix(got, "before after ") {
			t.Fatalf("got %q", got)
		}
	}
}

// Who asks for new keys again and again, and reads nothing, does not fill our memory with the answers.
func TestTLSKeyUpdatesWithoutReading(t *testing.T) {
	server, client := identity(t)
	l := run(t)
	ended := make(chan error, 1)
	most := 0
	_, w := rekeyed(t, serveTLS(t, l, NewHandshakes(1), server, patience, nil, func(p *peer) {
		p.read = func([]byte) {
			unix.SetsockoptInt(p.conn.FD(), unix.SOL_SOCKET, unix.SO_SNDBUF, 4096)
			most = max(most, len(p.conn.tls.out))
		}
		p.ended = func(err error) { ended <- err }
	}), client)
	w.c.(*net.TCPConn).SetReadBuffer(4096)
	go func() {
		for {
			if _, err := w.c.Write(append(w.record(23, []byte("x")), w.newKeys(true)...)); err != nil {
				return
			}
		}
	}()
	select {
	case err := <-ended:
		if !errors.Is(err, errTooManyKeys) {
			t.Errorf("got %v", err)
		}
	case <-time.After(patience):
		t.Error("it is served for ever")
	}
	do(t, l, func() {
		if most > 2*mostControl {
			t.Errorf("%d bytes wait for it", most)
		}
	})
}

// In the steady state nothing is allocated here; crypto/tls allocates a small reader for each record that it waits for.
func TestTLSAllocations(t *testing.T) {
	server, client := identity(t)
	l := run(t)
	c := connectTLS(t, serveTLS(t, l, NewHandshakes(1), server, patience, nil, echo), client)
	question, answer := []byte("a request"), make([]byte, 9)
	ask := func() {
		if _, err := c.Write(question); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, answer); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 {
		ask()
	}
	// The client's own reading has as many; the loop itself, by its guard closures, as many as with a plain connection.
	with := testing.AllocsPerRun(2000, ask)
	plain := connect(t, serve(t, l, echo))
	without := testing.AllocsPerRun(2000, func() {
		plain.Write(question)
		io.ReadFull(plain, answer)
	})
	if with-without > 6.5 { // three for each of the two sides
		t.Errorf("%.1f allocations for a question and an answer, %.1f without TLS", with, without)
	}
}

// A connection without TLS is served by the same code, at the price of a nil check.
func BenchmarkEcho(b *testing.B) {
	for _, secure := range []bool{false, true} {
		for _, size := range []int{32, 4096, 65536} {
			b.Run(fmt.Sprintf("tls=%v/size=%d", secure, size), func(b *testing.B) {
				l := run(b)
				var c net.Conn
				if secure {
					server, client := identity(b)
					c = connectTLS(b, serveTLS(b, l, NewHandshakes(1), server, patience, nil, echo), client)
				} else {
					c = connect(b, serve(b, l, echo))
				}
				c.SetDeadline(time.Time{})
				p, q := make([]byte, size), make([]byte, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					go c.Write(p)
					if _, err := io.ReadFull(c, q); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
