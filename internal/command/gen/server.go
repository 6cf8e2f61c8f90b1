package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// readServer starts a redis-server and reads its commands.
func readServer() ([]*row, error) {
	c, stop, err := startServer()
	if err != nil {
		return nil, err
	}
	defer stop()
	if _, err := c.do("HELLO", "3"); err != nil {
		return nil, err
	}
	hello, err := c.do("INFO", "server")
	if err != nil {
		return nil, err
	}
	_, version, _ := strings.Cut(hello.text, "redis_version:")
	version, _, _ = strings.Cut(version, "\r\n")
	if !strings.HasPrefix(version, "7.0.") {
		return nil, fmt.Errorf("the server is of version %q, not 7.0: another one's commands would move the table", version)
	}
	info, err := c.do("COMMAND")
	if err != nil {
		return nil, err
	}
	docs, err := c.do("COMMAND", "DOCS")
	if err != nil {
		return nil, err
	}
	var rows []*row
	for _, e := range info.elems {
		rows = appendRows(rows, e, docs, "redis "+version)
	}
	for _, r := range rows {
		if container, ok := strings.CutSuffix(r.name, "|help"); ok {
			if help, err := c.do(container, "HELP"); err == nil { // CLUSTER has one only in a cluster
				r.help = help.texts()
			}
		}
	}
	return rows, nil
}

// appendRows reads one element of COMMAND: a command, its subcommands behind it. docs is a map from name to
// what COMMAND DOCS says of it.
func appendRows(rows []*row, v, docs value, source string) []*row {
	e := v.elems
	r := &row{
		name: e[0].text, arity: e[1].int(), flags: e[2].texts(), first: e[3].int(), last: e[4].int(),
		step: e[5].int(), categories: e[6].texts(), tips: e[7].texts(), source: source,
	}
	for i, c := range r.categories {
		r.categories[i] = strings.TrimPrefix(c, "@")
	}
	for _, s := range e[8].elems {
		r.specs = append(r.specs, readSpec(s))
	}
	own := docs.get(r.name)
	for i := 0; i+1 < len(own.elems); i += 2 {
		f := field{own.elems[i].text, own.elems[i+1]}
		if f.name == "group" {
			r.group = f.value.text
		}
		if f.name != "subcommands" {
			r.docs = append(r.docs, f)
		}
	}
	rows = append(rows, r)
	for _, sub := range e[9].elems {
		rows = appendRows(rows, sub, own.get("subcommands"), source)
	}
	return rows
}

func readSpec(v value) spec {
	begin, find := v.get("begin_search"), v.get("find_keys")
	b, f := begin.get("spec"), find.get("spec")
	s := spec{notes: v.get("notes").text, flags: v.get("flags").texts()}
	s.index, s.keyword, s.from = b.get("index").int(), b.get("keyword").text, b.get("startfrom").int()
	s.byCount = find.get("type").text == "keynum"
	s.countAt, s.firstKey = f.get("keynumidx").int(), f.get("firstkey").int()
	s.lastKey, s.step, s.limit = f.get("lastkey").int(), f.get("keystep").int(), f.get("limit").int()
	return s
}

// startServer starts a server on a free port of the loopback.
func startServer() (c *conn, stop func(), err error) {
	name := os.Getenv("REDIS_SERVER")
	if name == "" {
		name = "redis-server"
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	addr := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command(name, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
	if err := cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("cannot start %s: %w", name, err)
	}
	stop = func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if n, err := net.Dial("tcp", addr); err == nil {
			return &conn{n, bufio.NewReader(n)}, stop, nil
		}
	}
	stop()
	return nil, nil, fmt.Errorf("%s doesn't answer on %s", name, addr)
}

type conn struct {
	w io.Writer
	r *bufio.Reader
}

func (c *conn) do(args ...string) (value, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := c.w.Write(b.Bytes()); err != nil {
		return value{}, err
	}
	v, err := readValue(c.r)
	if err == nil && v.kind == '-' {
		err = fmt.Errorf("%s: %s", strings.Join(args, " "), v.text)
	}
	return v, err
}

// value is a reply in RESP3. A map has its keys and values one after the other.
type value struct {
	kind  byte
	text  string
	elems []value
}

func readValue(r *bufio.Reader) (value, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return value{}, err
	}
	v := value{kind: line[0], text: strings.TrimSuffix(line[1:], "\r\n")}
	n := 0
	switch v.kind {
	case '$', '=':
		size, err := strconv.Atoi(v.text)
		if err != nil {
			return value{}, err
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return value{}, err
		}
		v.text = string(b[:size])
	case '*', '~', '%':
		if n, err = strconv.Atoi(v.text); err != nil {
			return value{}, err
		}
		if v.kind == '%' {
			n *= 2
		}
		v.text = ""
	}
	for ; n > 0; n-- {
		e, err := readValue(r)
		if err != nil {
			return value{}, err
		}
		v.elems = append(v.elems, e)
	}
	return v, nil
}

func (v value) int() int {
	n, _ := strconv.Atoi(v.text)
	return n
}

func (v value) texts() []string {
	var all []string
	for _, e := range v.elems {
		all = append(all, e.text)
	}
	return all
}

// get returns the value of key in a map; the zero value if it isn't there.
func (v value) get(key string) value {
	for i := 0; i+1 < len(v.elems); i += 2 {
		if v.elems[i].text == key {
			return v.elems[i+1]
		}
	}
	return value{}
}
