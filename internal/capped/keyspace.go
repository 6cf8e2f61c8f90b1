package capped

import (
	"bytes"
	"strconv"
	"strings"

	"ringway/resp"
)

const databases = 16

// keyspace is what a node holds, and who wants to be told of changes.
type keyspace struct {
	filler   []byte
	dbs      [databases]map[string]item
	removed  map[string]bool // of database 0, while there is a filler
	expiring map[place]bool  // what has a time to live
	swept    int64
	readers  map[string]map[*conn]bool // by key, whatever the database: who has read it since it was last told of
}

// item is a value and when it is over, in nanoseconds; 0: never.
type item struct {
	value []byte
	until int64
}

type place struct {
	db  int
	key string
}

func (k *keyspace) init(filler []byte) {
	k.filler = filler
	for i := range k.dbs {
		k.dbs[i] = map[string]item{}
	}
	k.removed, k.expiring, k.readers = map[string]bool{}, map[place]bool{}, map[string]map[*conn]bool{}
}

// call is a command that is carried out.
type call struct {
	*keyspace
	*conn
	args *resp.Args
	now  int64
}

// do carries a command out and appends the reply to the connection's output.
func (k *keyspace) do(c *conn, args *resp.Args, now int64) {
	x := call{k, c, args, now}
	var upper [16]byte
	name := append(upper[:0], args.At(0)...)
	for i, b := range name {
		if 'a' <= b && b <= 'z' {
			name[i] = b - 32
		}
	}
	h, ok := handlers[string(name)]
	switch {
	case !ok:
		x.fail("ERR unknown command '" + string(args.At(0)) + "'")
	case args.Len() < h.least || h.most > 0 && args.Len() > h.most:
		x.fail("ERR wrong number of arguments for '" + strings.ToLower(string(name)) + "' command")
	default:
		h.do(&x)
	}
	if len(c.pushes) > 0 {
		c.out = append(c.out, c.pushes...)
		c.pushes = c.pushes[:0]
	}
}

func (x *call) fail(s string)    { x.out = resp.AppendError(x.out, s) }
func (x *call) ok()              { x.out = append(x.out, "+OK\r\n"...) }
func (x *call) int(n int64)      { x.out = resp.AppendInt(x.out, n) }
func (x *call) bulk(b []byte)    { x.out = resp.AppendBulk(x.out, b) }
func (x *call) null()            { x.out = resp.AppendNull(x.out, x.resp3) }
func (x *call) arg(i int) []byte { return x.args.At(i) }

func (x *call) is(i int, word string) bool { return bytes.EqualFold(x.arg(i), []byte(word)) }

// read looks a key up, as a command that reads does: a connection that tracks will be told of the next change.
func (x *call) read(key []byte) (item, bool) {
	if x.tracking {
		of := x.readers[string(key)]
		if of == nil {
			of = map[*conn]bool{}
			x.readers[string(key)] = of
		}
		of[x.conn] = true
	}
	return x.find(key)
}

func (x *call) find(key []byte) (item, bool) {
	it, ok := x.dbs[x.db][string(key)]
	if ok && it.until != 0 && it.until <= x.now {
		x.drop(place{x.db, string(key)})
		ok = false
	}
	if !ok && x.db == 0 && x.filler != nil && !x.removed[string(key)] {
		return item{value: x.filler}, true
	}
	return it, ok
}

func (x *call) store(key []byte, it item) {
	at := place{x.db, string(key)}
	x.dbs[x.db][at.key] = it
	if it.until != 0 {
		x.expiring[at] = true
	} else if len(x.expiring) > 0 {
		delete(x.expiring, at)
	}
	x.changed(at.key, x.conn)
}

func (x *call) remove(key []byte) bool {
	if _, ok := x.find(key); !ok {
		return false
	}
	x.keyspace.remove(place{x.db, string(key)}, x.conn)
	return true
}

// drop removes what is over.
func (k *keyspace) drop(at place) { k.remove(at, nil) }

func (k *keyspace) remove(at place, by *conn) {
	delete(k.dbs[at.db], at.key)
	delete(k.expiring, at)
	if at.db == 0 && k.filler != nil {
		k.removed[at.key] = true
	}
	k.changed(at.key, by)
}

// changed tells those who have read a key. It comes before all that they are answered later; who has made the change himself gets
// the reply to that first.
func (k *keyspace) changed(key string, by *conn) {
	of, ok := k.readers[key]
	if !ok {
		return
	}
	delete(k.readers, key)
	for c := range of {
		c.push(by, func(b []byte) []byte { return resp.AppendBulkString(resp.AppendArray(b, 1), key) })
	}
}

func (c *conn) push(by *conn, what func([]byte) []byte) {
	if !c.tracking || !c.resp3 {
		return
	}
	c.soil()
	if c == by {
		c.pushes = what(resp.AppendBulkString(resp.AppendPush(c.pushes, 2), "invalidate"))
	} else {
		c.out = what(resp.AppendBulkString(resp.AppendPush(c.out, 2), "invalidate"))
	}
}

// expireSome removes some of what is over, ten times a second.
func (k *keyspace) expireSome(now int64) {
	if now-k.swept < 100e6 {
		return
	}
	k.swept = now
	looked := 0
	for at := range k.expiring {
		if it := k.dbs[at.db][at.key]; it.until <= now {
			k.drop(at)
		}
		if looked++; looked == 100 {
			return
		}
	}
}

// handler carries out a command; least and most are numbers of arguments, with its name.
type handler struct {
	do          func(*call)
	least, most int
}

var handlers map[string]handler

func init() {
	handlers = map[string]handler{
		"PING": {ping, 1, 2}, "HELLO": {hello, 1, 0}, "AUTH": {(*call).ok, 2, 3}, "SELECT": {selectDatabase, 2, 2},
		"CLIENT": {client, 2, 0}, "QUIT": {quit, 1, 0}, "READONLY": {(*call).ok, 1, 1},
		"GET": {get, 2, 2}, "MGET": {mget, 2, 0}, "STRLEN": {strlen, 2, 2}, "EXISTS": {exists, 2, 0}, "TYPE": {typeOf, 2, 2},
		"PTTL": {pttl, 2, 2}, "TTL": {ttl, 2, 2}, "OBJECT": {object, 3, 3},
		"SET": {set, 3, 0}, "MSET": {mset, 3, 0}, "INCR": {incr, 2, 2}, "DEL": {del, 2, 0}, "UNLINK": {del, 2, 0},
		"PEXPIRE": {pexpire, 3, 3}, "EXPIRE": {expire, 3, 3}, "PERSIST": {persist, 2, 2},
		"DBSIZE": {dbsize, 1, 1}, "FLUSHDB": {flushDB, 1, 2}, "FLUSHALL": {flushAll, 1, 2},
	}
}

func ping(x *call) {
	if x.args.Len() == 2 {
		x.bulk(x.arg(1))
	} else {
		x.out = append(x.out, "+PONG\r\n"...)
	}
}

func hello(x *call) {
	if x.args.Len() > 1 {
		switch {
		case x.is(1, "2"):
			x.resp3 = false
		case x.is(1, "3"):
			x.resp3 = true
		default:
			x.fail("NOPROTO unsupported protocol version")
			return
		}
	}
	b := resp.AppendMap(x.out, x.resp3, 3)
	b = resp.AppendBulkString(resp.AppendBulkString(b, "server"), "redis")
	b = resp.AppendBulkString(resp.AppendBulkString(b, "version"), "7.0.15")
	version := int64(2)
	if x.resp3 {
		version = 3
	}
	x.out = resp.AppendInt(resp.AppendBulkString(b, "proto"), version)
}

func quit(x *call) {
	x.ok()
	x.closing = true
}

func selectDatabase(x *call) {
	n, err := strconv.Atoi(string(x.arg(1)))
	switch {
	case err != nil:
		x.fail("ERR value is not an integer or out of range")
	case n < 0 || n >= databases:
		x.fail("ERR DB index is out of range")
	default:
		x.db = n
		x.ok()
	}
}

// client knows CLIENT TRACKING in the default mode; what else a client says of itself is taken and forgotten.
func client(x *call) {
	switch {
	case x.is(1, "TRACKING") && x.args.Len() == 3 && x.is(2, "ON"):
		x.tracking = true
		x.ok()
	case x.is(1, "TRACKING") && x.args.Len() == 3 && x.is(2, "OFF"):
		x.tracking = false
		x.ok()
	case x.is(1, "NO-EVICT"), x.is(1, "NO-TOUCH"), x.is(1, "SETNAME"), x.is(1, "SETINFO"):
		x.ok()
	default:
		x.fail("ERR syntax error")
	}
}

func get(x *call) {
	if it, ok := x.read(x.arg(1)); ok {
		x.bulk(it.value)
	} else {
		x.null()
	}
}

func mget(x *call) {
	x.out = resp.AppendArray(x.out, x.args.Len()-1)
	for i := 1; i < x.args.Len(); i++ {
		if it, ok := x.read(x.arg(i)); ok {
			x.bulk(it.value)
		} else {
			x.null()
		}
	}
}

func strlen(x *call) {
	it, _ := x.read(x.arg(1))
	x.int(int64(len(it.value)))
}

func exists(x *call) {
	n := int64(0)
	for i := 1; i < x.args.Len(); i++ {
		if _, ok := x.read(x.arg(i)); ok {
			n++
		}
	}
	x.int(n)
}

func typeOf(x *call) {
	if _, ok := x.read(x.arg(1)); ok {
		x.out = append(x.out, "+string\r\n"...)
	} else {
		x.out = append(x.out, "+none\r\n"...)
	}
}

// left is what is left of a key's time to live in milliseconds, -1 if it has none and -2 if there is no such key.
func (x *call) left() int64 {
	it, ok := x.read(x.arg(1))
	switch {
	case !ok:
		return -2
	case it.until == 0:
		return -1
	}
	return (it.until - x.now) / 1e6
}

func pttl(x *call) { x.int(x.left()) }

func ttl(x *call) {
	if ms := x.left(); ms >= 0 {
		x.int((ms + 500) / 1000)
	} else {
		x.int(ms)
	}
}

func object(x *call) {
	if !x.is(1, "ENCODING") {
		x.fail("ERR syntax error")
		return
	}
	it, ok := x.read(x.arg(2))
	if !ok {
		x.null()
		return
	}
	switch _, err := strconv.ParseInt(string(it.value), 10, 64); {
	case err == nil:
		x.bulk([]byte("int"))
	case len(it.value) <= 44:
		x.bulk([]byte("embstr"))
	default:
		x.bulk([]byte("raw"))
	}
}

func set(x *call) {
	it := item{value: bytes.Clone(x.arg(2))}
	for i := 3; i < x.args.Len(); i++ {
		unit := int64(1e9)
		switch {
		case x.is(i, "PX"):
			unit = 1e6
		case !x.is(i, "EX"):
			x.fail("ERR syntax error")
			return
		}
		if i++; i == x.args.Len() {
			x.fail("ERR syntax error")
			return
		}
		n, err := strconv.ParseInt(string(x.arg(i)), 10, 64)
		switch {
		case err != nil:
			x.fail("ERR value is not an integer or out of range")
			return
		case n <= 0:
			x.fail("ERR invalid expire time in 'set' command")
			return
		}
		it.until = x.now + n*unit
	}
	x.store(x.arg(1), it)
	x.ok()
}

func mset(x *call) {
	if x.args.Len()%2 == 0 {
		x.fail("ERR wrong number of arguments for 'mset' command")
		return
	}
	for i := 1; i < x.args.Len(); i += 2 {
		x.store(x.arg(i), item{value: bytes.Clone(x.arg(i + 1))})
	}
	x.ok()
}

func incr(x *call) {
	it, ok := x.find(x.arg(1))
	n := int64(0)
	if ok {
		var err error
		if n, err = strconv.ParseInt(string(it.value), 10, 64); err != nil {
			x.fail("ERR value is not an integer or out of range")
			return
		}
	}
	it.value = strconv.AppendInt(nil, n+1, 10)
	x.store(x.arg(1), it)
	x.int(n + 1)
}

func del(x *call) {
	n := int64(0)
	for i := 1; i < x.args.Len(); i++ {
		if x.remove(x.arg(i)) {
			n++
		}
	}
	x.int(n)
}

func pexpire(x *call) { x.expireIn(1e6) }
func expire(x *call)  { x.expireIn(1e9) }

func (x *call) expireIn(unit int64) {
	n, err := strconv.ParseInt(string(x.arg(2)), 10, 64)
	if err != nil {
		x.fail("ERR value is not an integer or out of range")
		return
	}
	it, ok := x.find(x.arg(1))
	switch {
	case !ok:
		x.int(0)
		return
	case n <= 0:
		x.remove(x.arg(1))
	default:
		it.until = x.now + n*unit
		x.store(x.arg(1), it)
	}
	x.int(1)
}

func persist(x *call) {
	it, ok := x.find(x.arg(1))
	if !ok || it.until == 0 {
		x.int(0)
		return
	}
	it.until = 0
	x.store(x.arg(1), it)
	x.int(1)
}

// dbsize counts what was written; the filler is none of it.
func dbsize(x *call) { x.int(int64(len(x.dbs[x.db]))) }

func flushDB(x *call) { x.flush(x.db, x.db+1) }

func flushAll(x *call) { x.flush(0, databases) }

// flush empties databases. All who track are told, whatever they have read, as Redis does it.
func (x *call) flush(from, to int) {
	for at := range x.expiring {
		if at.db >= from && at.db < to {
			delete(x.expiring, at)
		}
	}
	for i := from; i < to; i++ {
		x.dbs[i] = map[string]item{}
	}
	if from == 0 {
		x.filler, x.removed = nil, map[string]bool{}
	}
	x.ok()
	clear(x.readers)
	n := x.node
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		c.push(x.conn, func(b []byte) []byte { return resp.AppendNull(b, true) })
	}
}
