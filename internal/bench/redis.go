package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// A conn is a plain client: it checks what the contenders serve, so it must share no code with one of them.
type conn struct {
	net net.Conn
	r   *bufio.Reader
	w   *bufio.Writer
}

// dial connects with TLS if cfg says how.
func dial(port int, cfg *tls.Config) (*conn, error) {
	c, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), time.Second)
	if err != nil {
		return nil, err
	}
	if cfg != nil {
		c = tls.Client(c, cfg)
	}
	return &conn{net: c, r: bufio.NewReaderSize(c, 64<<10), w: bufio.NewWriterSize(c, 64<<10)}, nil
}

func (c *conn) close() { c.net.Close() }

// do sends one command and gives its reply: a string, an int, nil, or a slice of these.
func (c *conn) do(args ...string) (any, error) {
	if err := c.net.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return nil, err
	}
	c.send(args...)
	if err := c.w.Flush(); err != nil {
		return nil, err
	}
	return readReply(c.r)
}

func (c *conn) send(args ...string) {
	fmt.Fprintf(c.w, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(c.w, "$%d\r\n%s\r\n", len(a), a)
	}
}

func readReply(r *bufio.Reader) (any, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return nil, errors.New("an empty line is no reply")
	}
	rest := line[1:]
	switch line[0] {
	case '+':
		return rest, nil
	case '-':
		return nil, errors.New(rest)
	case ':', '$', '*':
	default:
		return nil, fmt.Errorf("%q is no reply", line)
	}
	n, err := strconv.Atoi(rest)
	switch {
	case err != nil:
		return nil, err
	case line[0] == ':':
		return n, nil
	case n < 0:
		return nil, nil
	case line[0] == '$':
		text := make([]byte, n+2)
		if _, err := io.ReadFull(r, text); err != nil {
			return nil, err
		}
		return string(text[:n]), nil
	}
	list := make([]any, n)
	for i := range list {
		if list[i], err = readReply(r); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// preload gives every key that a GET may ask for to every server: wherever a contender's ring looks, it finds it.
func preload(ports []int) error {
	for _, port := range ports {
		c, err := dial(port, nil)
		if err != nil {
			return err
		}
		defer c.close()
		const batch = 1000
		for first := 0; first < keyspace; first += batch {
			args := []string{"MSET"}
			for i := range batch {
				args = append(args, benchmarkKey(first+i), smallValue)
			}
			if _, err := c.do(args...); err != nil {
				return fmt.Errorf("cannot preload a server: %w", err)
			}
		}
	}
	return nil
}

// benchmarkKey is what redis-benchmark makes of randomKey.
func benchmarkKey(i int) string { return fmt.Sprintf("key:%012d", i) }

// verify writes and reads through a contender, one key at a time and many at once, and looks on the servers
// themselves whether the keys were spread over all of them.
func verify(port int, cfg *tls.Config, servers []int, shards bool) error {
	c, err := dial(port, cfg)
	if err != nil {
		return err
	}
	defer c.close()
	const n = 30
	var keys []string
	for i := range n {
		keys = append(keys, fmt.Sprintf("check:%d:%d", time.Now().UnixNano(), i))
	}
	defer forget(servers, keys)

	expect := func(want any, args ...string) error {
		got, err := c.do(args...)
		if err != nil {
			return fmt.Errorf("%s is answered by an error: %w", args[0], err)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("%s is answered wrongly: got %v, want %v", args[0], got, want)
		}
		return nil
	}
	for i, key := range keys {
		if err := expect("OK", "SET", key, "one"+strconv.Itoa(i)); err != nil {
			return err
		}
	}
	for i, key := range keys {
		if err := expect("one"+strconv.Itoa(i), "GET", key); err != nil {
			return err
		}
	}
	mset, mget, want := []string{"MSET"}, []string{"MGET"}, []any{}
	for i, key := range keys {
		mset = append(mset, key, "two"+strconv.Itoa(i))
		mget = append(mget, key)
		want = append(want, "two"+strconv.Itoa(i))
	}
	if err := expect("OK", mset...); err != nil {
		return err
	}
	if err := expect(append(want, nil), append(mget, keys[0]+":absent")...); err != nil {
		return err
	}
	if !shards {
		return nil
	}
	total := 0
	for i, server := range servers {
		held, err := ask(server, append([]string{"EXISTS"}, keys...)...)
		if err != nil {
			return err
		}
		if held == 0 {
			return fmt.Errorf("none of %d keys went to server %d of %d", n, i+1, len(servers))
		}
		total += held.(int)
	}
	if total != n {
		return fmt.Errorf("%d keys are on the servers %d times in all", n, total)
	}
	return nil
}

func forget(servers []int, keys []string) {
	for _, server := range servers {
		_, _ = ask(server, append([]string{"DEL"}, keys...)...)
	}
}

// ask sends one command on a connection of its own.
func ask(port int, args ...string) (any, error) {
	c, err := dial(port, nil)
	if err != nil {
		return nil, err
	}
	defer c.close()
	return c.do(args...)
}

// A tally is what the servers say they have done since they started.
type tally struct{ hits, misses, changes int }

func readTally(ports []int) (tally, error) {
	var t tally
	for _, port := range ports {
		info, err := ask(port, "INFO")
		if err != nil {
			return t, err
		}
		text, _ := info.(string)
		t.hits += infoField(text, "keyspace_hits")
		t.misses += infoField(text, "keyspace_misses")
		t.changes += infoField(text, "rdb_changes_since_last_save")
	}
	return t, nil
}

func infoField(info, name string) int {
	_, rest, _ := strings.Cut(info, "\n"+name+":")
	value, _, _ := strings.Cut(rest, "\r")
	n, _ := strconv.Atoi(value)
	return n
}

// confirm says whether the servers really did what a run of n requests asks for: a proxy that answers quickly
// because it does less is not fast.
func (t tally) confirm(before tally, s scenario, n int) error {
	want := n * s.Keys
	if s.Writes {
		if got := t.changes - before.changes; got < want {
			return fmt.Errorf("the servers wrote %d keys of %d", got, want)
		}
		return nil
	}
	hits, misses := t.hits-before.hits, t.misses-before.misses
	if hits < want || misses > 0 {
		return fmt.Errorf("the servers found %d keys of %d and missed %d", hits, want, misses)
	}
	return nil
}
