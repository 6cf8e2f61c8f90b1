package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// verified is a load of clients that know what each of their keys may hold. Every key belongs to one client, and every value says its key and
// its version, so that a reply that is wrong, stale or another's can't go unseen. What fails is noted with its time, and the test says
// afterwards which failures may be.
//
// A write that has failed may have been carried out, or not: both are right until a read or a later write has shown it.
type verified struct {
	t       *testing.T
	addr    string
	opt     verifiedOptions
	start   time.Time
	stop    atomic.Bool
	wg      sync.WaitGroup
	clients []*knower
	wrong   chan error

	answered         atomic.Int64
	moved            atomic.Int64 // times a client had to connect again
	lost, late, nils atomic.Int64 // writes that were acknowledged and vanished; that came after later ones; EXECs that said nil
}

type verifiedOptions struct {
	clients int           // 0: 32
	depth   int           // requests in a pipeline at most; 0: 1
	pause   time.Duration // between pipelines; 0: 2ms
	mix     string        // the kinds of requests, a letter each (knower.request), more letters for more of them; "": sgmMdi
	group   func(key string) int
	lossy   bool // an acknowledged write may vanish: of a key of the group that is mayLose, or of any
	mayLose int  // -1: any
	// A client whose stream ends where a reply should begin connects again and sends once more what is not answered: it relies on
	// not having been heard. For mixes of s, g, m, M, d, i and t.
	again bool
	late  bool // what has failed may be carried out even after a later write was acknowledged
	// A client whose stream ends anywhere connects again, and takes what was not answered for failed.
	cut bool
	// For so long a write that has failed may be carried out yet, after later ones were acknowledged too, but nothing that was
	// acknowledged comes back: stricter than late.
	stray time.Duration
	// epoch counts, up to now, the moments just before and just after a group forgot all. In place of lossy: an acknowledged write is
	// only let vanish if that happened after it was sent, and nothing may be left of it.
	epoch  func(group int) int64
	groups int            // for epoch: how many there are
	tell   func(happened) // is told of each request, from any goroutine, in place of the log of them all
}

// happened is one request.
type happened struct {
	at     time.Duration // when it was answered, from the beginning of the load
	took   time.Duration
	groups uint64 // bit by bit, those of its keys
	behind uint64 // the same for all that was before it in its pipeline, and itself
	write  bool
	what   string
	failed string // the error
}

func (h happened) touches(group int) bool { return h.groups&(1<<group) != 0 }

// load empties the pool and starts the clients. They stop with finish, which fails the test over the first thing that was wrong.
func load(t *testing.T, addr string, opt verifiedOptions) *verified {
	t.Helper()
	if opt.clients == 0 {
		opt.clients = 32
	}
	if opt.pause == 0 {
		opt.pause = 2 * time.Millisecond
	}
	opt.depth = max(opt.depth, 1)
	if opt.mix == "" {
		opt.mix = "sgmMdi"
	}
	if opt.group == nil {
		opt.group = func(string) int { return 0 }
	}
	redistest.WaitFor(t, "the pool to be empty", func() bool { return redistest.Dial(t, addr).Do("FLUSHALL") == "+OK\r\n" })
	v := &verified{t: t, addr: addr, opt: opt, start: time.Now(), wrong: make(chan error, opt.clients)}
	for id := range opt.clients {
		k := &knower{v: v, id: id, Rand: rand.New(rand.NewPCG(11, uint64(id))), groups: map[string]int{}}
		v.clients = append(v.clients, k)
		v.wg.Add(1)
		go func() {
			defer v.wg.Done()
			if err := k.run(); err != nil {
				v.wrong <- fmt.Errorf("client %d, %v after the start: %w", id, v.now().Round(time.Millisecond), err)
				v.stop.Store(true)
			}
		}()
	}
	t.Cleanup(func() { v.stop.Store(true); v.wg.Wait() })
	return v
}

func (v *verified) now() time.Duration { return time.Since(v.start) }

// letRun lets the load go on for a while, or until something is wrong.
func (v *verified) letRun(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end) && !v.stop.Load(); {
		time.Sleep(5 * time.Millisecond)
	}
}

// finish stops the clients and returns all that has happened, in the order of time.
func (v *verified) finish() []happened {
	v.t.Helper()
	v.stop.Store(true)
	v.wg.Wait()
	close(v.wrong)
	for err := range v.wrong {
		v.t.Error(err)
	}
	var all []happened
	for _, k := range v.clients {
		all = append(all, k.log...)
	}
	slices.SortFunc(all, func(a, b happened) int { return int(a.at - b.at) })
	return all
}

// only takes those for which ok holds.
func only(all []happened, ok func(h happened) bool) (list []happened) {
	for _, h := range all {
		if ok(h) {
			list = append(list, h)
		}
	}
	return list
}

func failures(all []happened) []happened {
	return only(all, func(h happened) bool { return h.failed != "" })
}

// during takes what was answered between two moments.
func during(all []happened, from, to time.Duration) []happened {
	return only(all, func(h happened) bool { return h.at >= from && h.at < to })
}

// quantile is of the times that they took.
func quantile(all []happened, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	times := make([]time.Duration, len(all))
	for i, h := range all {
		times[i] = h.took
	}
	slices.Sort(times)
	return times[min(len(times)-1, int(float64(len(times))*q))]
}

func (h happened) String() string {
	return fmt.Sprintf("%s at %v after %v: %s", h.what, h.at.Round(time.Millisecond), h.took.Round(100*time.Microsecond), strings.TrimSpace(h.failed))
}

// kinds counts errors by their text, without what is in quotes or brackets.
func kinds(all []happened) string {
	count := map[string]int{}
	for _, h := range all {
		text, _, _ := strings.Cut(strings.TrimSpace(h.failed), "\r")
		if at := strings.IndexAny(text, "'("); at > 0 {
			if end := strings.LastIndexAny(text, "')"); end > at {
				text = text[:at] + ".." + text[end+1:]
			}
		}
		count[text]++
	}
	var list []string
	for text, n := range count {
		list = append(list, fmt.Sprintf("%d x %q", n, text))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

const (
	cells    = 16 // of each kind, for each client
	counters = 4
)

// knower is one client of the load.
type knower struct {
	*rand.Rand
	v      *verified
	id     int
	c      *redistest.Conn
	log    []happened
	groups map[string]int

	strings [cells]cell
	numbers [counters]tally
	pairs   [counters]struct {
		cell
		tally
	}
	versions int
	epochs   []int64 // of the groups, before the pipeline was sent
	checks   []check
}

// check looks at the replies of one request.
type check struct {
	what    string
	keys    []string
	write   bool
	replies int    // how many there are: more than one for a transaction
	raw     []byte // the request, or the requests
	look    func(replies []string) (failed string, err error)
}

// cell is what is known of a key with a string. A version below zero is that of a DEL, 0 that of a key that was never written.
type cell struct {
	acked int
	epoch int64 // of its group, when acked was sent
	maybe []attempt
}

// attempt is a version whose write failed, or may have been overtaken.
type attempt struct {
	version int
	at      time.Duration
}

// tally is what is known of a counter.
type tally struct {
	acked, unsure int
	failed        time.Duration // when it became unsure last
	epoch         int64
}

func (n *tally) fail(k *knower) { n.unsure, n.failed = n.unsure+1, k.v.now() }

func (k *knower) lossy(key string) bool {
	return k.v.opt.lossy && (k.v.opt.mayLose < 0 || k.group(key) == k.v.opt.mayLose)
}

func (k *knower) group(key string) int {
	g, ok := k.groups[key]
	if !ok {
		g = k.v.opt.group(key)
		if len(k.groups) < 1000 {
			k.groups[key] = g
		}
	}
	return g
}

func (k *knower) version() int { k.versions++; return k.versions }

func valueOf(key string, version int) string { return fmt.Sprintf("%s=v%d", key, version) }

// noteEpochs is for what is sent from here on.
func (k *knower) noteEpochs() {
	if k.epochs = k.epochs[:0]; k.v.opt.epoch != nil {
		for g := range k.v.opt.groups {
			k.epochs = append(k.epochs, k.v.opt.epoch(g))
		}
	}
}

// sent is the epoch of a key's group before the pipeline was sent.
func (k *knower) sent(key string) int64 {
	if k.v.opt.epoch == nil {
		return 0
	}
	return k.epochs[k.group(key)]
}

// forgotten says whether what was sent in an epoch may have vanished since.
func (k *knower) forgotten(key string, epoch int64) bool {
	return k.v.opt.epoch != nil && k.v.opt.epoch(k.group(key)) != epoch
}

// wrote takes the end of a write.
func (k *knower) wrote(c *cell, key string, version int, failed bool) {
	if failed {
		c.maybe = append(c.maybe, attempt{version, k.v.now()})
		return
	}
	switch {
	case k.v.opt.stray > 0:
		c.maybe = slices.DeleteFunc(c.maybe, func(a attempt) bool { return k.v.now()-a.at > k.v.opt.stray })
	case k.v.opt.late && len(c.maybe) < 100:
		c.maybe = append(c.maybe, attempt{version: c.acked})
	default:
		c.maybe = c.maybe[:0]
	}
	c.acked, c.epoch = version, k.sent(key)
}

// saw takes what was read.
func (k *knower) saw(c *cell, key, reply string) error {
	found := 0
	if reply != "$-1\r\n" && reply != "_\r\n" {
		_, body, _ := strings.Cut(reply, "\r\n")
		text, ok := strings.CutPrefix(body, key+"=v")
		n, err := strconv.Atoi(strings.TrimSuffix(text, "\r\n"))
		if !ok || err != nil || n < 1 || n > k.versions {
			return fmt.Errorf("the value of %s is %q", key, reply)
		}
		found = n
	}
	fits := func(version int) bool { return version == found && found > 0 || version <= 0 && found == 0 }
	if fits(c.acked) {
		return nil
	}
	if i := slices.IndexFunc(c.maybe, func(a attempt) bool { return fits(a.version) }); i >= 0 {
		if abs(c.maybe[i].version) < abs(c.acked) {
			k.v.late.Add(1)
		}
		c.acked, c.epoch = c.maybe[i].version, k.sent(key)
		switch {
		case k.v.opt.stray > 0: // each is carried out once
			c.maybe = slices.Delete(c.maybe, i, i+1)
		case !k.v.opt.late:
			c.maybe = c.maybe[:0]
		}
		return nil
	}
	if found == 0 && k.forgotten(key, c.epoch) {
		k.v.lost.Add(1)
		c.acked, c.epoch = 0, k.sent(key)
		return nil
	}
	if k.lossy(key) && (found == 0 || found < abs(c.acked)) {
		k.v.lost.Add(1)
		c.acked, c.maybe = found, c.maybe[:0]
		return nil
	}
	return fmt.Errorf("%s has version %d, want %d or one of %v", key, found, c.acked, c.maybe)
}

func abs(n int) int { return max(n, -n) }

// counted takes the reply to INCR.
func (k *knower) counted(n *tally, key, reply string) (failed string, err error) {
	if reply[0] == '-' {
		n.fail(k)
		return reply, nil
	}
	stray := k.v.opt.stray
	if stray > 0 && k.v.now()-n.failed > stray {
		n.unsure = 0
	}
	got, e := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(reply, ":"), "\r\n"))
	switch {
	case e != nil || reply[0] != ':':
		return "", fmt.Errorf("INCR %s: %q", key, reply)
	case got > n.acked && got <= n.acked+1+n.unsure:
		if n.unsure -= got - n.acked - 1; !k.v.opt.late && stray == 0 {
			n.unsure = 0
		}
	case got >= 1 && got <= n.acked && k.lossy(key):
		k.v.lost.Add(int64(n.acked + 1 - got))
		n.unsure = 0
	case got >= 1 && got <= 1+n.unsure && k.forgotten(key, n.epoch):
		k.v.lost.Add(int64(n.acked + 1 - got))
	default:
		return "", fmt.Errorf("INCR %s: %d, after %d and %d that may have been counted", key, got, n.acked, n.unsure)
	}
	n.acked, n.epoch = got, k.sent(key)
	return "", nil
}

func (k *knower) run() (err error) {
	if k.c, err = redistest.Connect(k.v.addr); err != nil {
		return err
	}
	defer k.c.Close()
	k.c.SetTimeout(30 * time.Second)
	for !k.v.stop.Load() {
		k.noteEpochs()
		n := 1 + k.IntN(k.v.opt.depth)
		for range n {
			k.request(k.v.opt.mix[k.IntN(len(k.v.opt.mix))])
		}
		if err := k.flush(); err != nil {
			return err
		}
		time.Sleep(k.v.opt.pause/2 + rand.N(k.v.opt.pause))
	}
	reply, err := k.c.TryDo("ECHO", "the end")
	if err != nil && (k.v.opt.again || k.v.opt.cut) { // let go between two pipelines
		if err = k.sendAgain(nil); err == nil {
			reply, err = k.c.TryDo("ECHO", "the end")
		}
	}
	if err != nil || reply != redistest.Bulk("the end") {
		return fmt.Errorf("after the last reply came one more: %q, %v", reply, err)
	}
	return nil
}

// flush sends the pipeline and looks at all the replies.
func (k *knower) flush() error {
	start := time.Now()
	if err := k.c.TryFlush(); err != nil && !k.v.opt.again && !k.v.opt.cut { // otherwise reading will tell
		return err
	}
	checks := k.checks
	k.checks = nil
	behind := uint64(0)
	lost := false
	for i, ch := range checks {
		var replies []string
		for !lost && len(replies) < max(ch.replies, 1) {
			b, err := k.c.TryRecv(nil)
			if err == io.EOF && len(b)+len(replies) == 0 && k.v.opt.again {
				if err := k.sendAgain(checks[i:]); err != nil {
					return fmt.Errorf("%s: %w", ch.what, err)
				}
				continue
			}
			if err != nil && k.v.opt.cut && !errors.Is(err, os.ErrDeadlineExceeded) {
				if err := k.sendAgain(nil); err != nil {
					return fmt.Errorf("%s: %w", ch.what, err)
				}
				lost = true
				break
			}
			if err != nil {
				return fmt.Errorf("%s: no reply: %w", ch.what, err)
			}
			replies = append(replies, string(b))
		}
		if lost {
			replies = lostReplies[4-max(ch.replies, 1):]
		}
		failed, err := ch.look(replies)
		if err != nil {
			return fmt.Errorf("%s: %w", ch.what, err)
		}
		h := happened{at: k.v.now(), took: time.Since(start), write: ch.write, what: ch.what, failed: failed}
		for _, key := range ch.keys {
			h.groups |= 1 << k.group(key)
		}
		behind |= h.groups
		h.behind = behind
		k.note(h)
	}
	return nil
}

// lostReplies are what a transaction is taken to have been answered that was not; the last stands for any other request.
var lostReplies = []string{"+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "-lost"}

func (k *knower) note(h happened) {
	k.v.answered.Add(1)
	if k.v.opt.tell != nil {
		k.v.opt.tell(h)
		return
	}
	k.log = append(k.log, h)
}

// sendAgain goes on with a new connection.
func (k *knower) sendAgain(rest []check) (err error) {
	k.v.moved.Add(1)
	k.c.Close()
	if k.c, err = redistest.Connect(k.v.addr); err != nil {
		return err
	}
	k.c.SetTimeout(30 * time.Second)
	for _, ch := range rest {
		k.c.SendRaw(string(ch.raw))
	}
	k.c.TryFlush()
	return nil
}

func (k *knower) send(what string, write bool, keys []string, look func(reply string) (string, error), args ...string) {
	raw := redistest.AppendCommand(nil, args...)
	k.c.SendRaw(string(raw))
	k.checks = append(k.checks, check{what: what, keys: keys, write: write, raw: raw, look: func(r []string) (string, error) { return look(r[0]) }})
}

func (k *knower) key(i int) string { return fmt.Sprintf("c%d:s%d", k.id, i) }

// request adds one request to the pipeline.
func (k *knower) request(kind byte) {
	i := k.IntN(cells)
	key, c := k.key(i), &k.strings[i]
	switch kind {
	case 's':
		v := k.version()
		k.send("SET "+key, true, []string{key}, func(r string) (string, error) { return k.okay(r, []string{key}, []*cell{c}, []int{v}) }, "SET", key, valueOf(key, v))
	case 'g':
		k.send("GET "+key, false, []string{key}, func(r string) (string, error) {
			if r[0] == '-' {
				return r, nil
			}
			return "", k.saw(c, key, r)
		}, "GET", key)
	case 'd':
		v := -k.version()
		k.send("DEL "+key, true, []string{key}, func(r string) (string, error) {
			if r[0] != '-' && r != ":0\r\n" && r != ":1\r\n" {
				return "", fmt.Errorf("%q", r)
			}
			if r[0] == ':' && len(c.maybe) == 0 && !k.lossy(key) && !k.v.opt.late && !k.forgotten(key, c.epoch) && (r == ":1\r\n") != (c.acked > 0) {
				return "", fmt.Errorf("%q of version %d", r, c.acked)
			}
			k.wrote(c, key, v, r[0] == '-')
			return errorOf(r), nil
		}, "DEL", key)
	case 'm':
		k.mget()
	case 'M':
		k.mset()
	case 'i':
		j := k.IntN(counters)
		key, n := fmt.Sprintf("c%d:n%d", k.id, j), &k.numbers[j]
		k.send("INCR "+key, true, []string{key}, func(r string) (string, error) { return k.counted(n, key, r) }, "INCR", key)
	case 't':
		k.transaction()
	case 'e', 'E':
		k.script(kind == 'E')
	case 'b', 'w':
		if len(k.checks) == 0 { // they have to see a reply before they go on, so they begin a pipeline
			k.talk(kind)
		}
	default:
		panic("unknown kind of request: " + string(kind))
	}
}

func errorOf(reply string) string {
	if reply[0] == '-' {
		return reply
	}
	return ""
}

// okay takes the reply to a write that says OK.
func (k *knower) okay(r string, keys []string, list []*cell, versions []int) (string, error) {
	if r[0] != '-' && r != "+OK\r\n" {
		return "", fmt.Errorf("%q", r)
	}
	for i, c := range list {
		k.wrote(c, keys[i], versions[i], r[0] == '-')
	}
	return errorOf(r), nil
}

func (k *knower) mget() {
	args := []string{"MGET"}
	var list []*cell
	for range 1 + k.IntN(6) {
		i := k.IntN(cells)
		args, list = append(args, k.key(i)), append(list, &k.strings[i])
	}
	keys := args[1:]
	k.send(strings.Join(args, " "), false, keys, func(r string) (string, error) {
		if r[0] == '-' {
			return r, nil
		}
		elems, err := elementsOf(r)
		if err != nil || len(elems) != len(keys) {
			return "", errors.Join(err, fmt.Errorf("%q", r))
		}
		for i, e := range elems {
			if err := k.saw(list[i], keys[i], e); err != nil {
				return "", fmt.Errorf("element %d: %w", i, err)
			}
		}
		return "", nil
	}, args...)
}

func (k *knower) mset() {
	args := []string{"MSET"}
	var list []*cell
	var versions []int
	var keys []string
	for _, i := range k.Perm(cells)[:1+k.IntN(6)] {
		key, v := k.key(i), k.version()
		args = append(args, key, valueOf(key, v))
		list, versions, keys = append(list, &k.strings[i]), append(versions, v), append(keys, key)
	}
	k.send("MSET "+strings.Join(keys, " "), true, keys, func(r string) (string, error) { return k.okay(r, keys, list, versions) }, args...)
}

// pair is the keys and what is known of them of a transaction or a script.
func (k *knower) pair() (text, num string, c *cell, n *tally) {
	j := k.IntN(counters)
	tag := fmt.Sprintf("{c%d:t%d}", k.id, j)
	return tag + "text", tag + "num", &k.pairs[j].cell, &k.pairs[j].tally
}

func (k *knower) transaction() {
	text, num, c, n := k.pair()
	v := k.version()
	raw := redistest.AppendCommand(nil, "MULTI")
	raw = redistest.AppendCommand(raw, "SET", text, valueOf(text, v))
	raw = redistest.AppendCommand(raw, "INCR", num)
	raw = redistest.AppendCommand(raw, "EXEC")
	k.c.SendRaw(string(raw))
	k.checks = append(k.checks, check{what: "EXEC " + text, keys: []string{text}, write: true, replies: 4, raw: raw, look: func(r []string) (string, error) {
		if r[0] != "+OK\r\n" || r[1] != "+QUEUED\r\n" || r[2] != "+QUEUED\r\n" {
			return "", fmt.Errorf("%q", r)
		}
		if r[3][0] == '-' {
			k.wrote(c, text, v, true)
			n.fail(k)
			return r[3], nil
		}
		elems, err := elementsOf(r[3])
		if err != nil || len(elems) != 2 || elems[0] != "+OK\r\n" {
			return "", errors.Join(err, fmt.Errorf("EXEC: %q", r[3]))
		}
		k.wrote(c, text, v, false)
		return k.counted(n, num, elems[1])
	}})
}

const bothScript = "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('INCR', KEYS[2])"

func (k *knower) script(bySHA bool) {
	text, num, c, n := k.pair()
	v := k.version()
	args := []string{"EVAL", bothScript}
	if bySHA {
		args = []string{"EVALSHA", digest(bothScript)}
	}
	k.send(args[0]+" "+text, true, []string{text}, func(r string) (string, error) {
		if bySHA && strings.HasPrefix(r, "-NOSCRIPT") { // no client has sent EVAL yet
			return "", nil
		}
		failed, err := k.counted(n, num, r)
		k.wrote(c, text, v, failed != "")
		return failed, err
	}, append(args, "2", text, num, valueOf(text, v))...)
}

// talk is for what needs a reply before the next request.
func (k *knower) talk(kind byte) {
	ask := func(args ...string) string {
		reply, err := k.c.TryDo(args...)
		if err != nil {
			reply = "-lost: " + err.Error()
			if k.v.opt.cut {
				k.sendAgain(nil) // whether that went well the next request tells
			}
		}
		return reply
	}
	start := time.Now()
	note := func(what, key, failed string) {
		k.note(happened{at: k.v.now(), took: time.Since(start), write: true, what: what + " " + key, failed: failed, groups: 1 << k.group(key), behind: 1 << k.group(key)})
	}
	wrong := func(err error) {
		k.checks = append(k.checks, check{what: "talk", look: func([]string) (string, error) { return "", err }})
		k.c.Send("PING")
	}
	switch kind {
	case 'b':
		with := k.key(k.IntN(cells)) // the list is where this key is
		key := fmt.Sprintf("{%s}:l%d", with, k.version())
		if r := ask("RPUSH", key, "e of "+key); r[0] == '-' {
			note("RPUSH", with, r)
			return
		}
		start = time.Now()
		r := ask("BLPOP", key, "2")
		switch {
		case r == "*2\r\n"+redistest.Bulk(key)+redistest.Bulk("e of "+key):
			note("BLPOP", with, "")
		case r[0] == '-':
			note("BLPOP", with, r)
		case (r == "*-1\r\n" || r == "_\r\n") && (k.lossy(with) || k.forgotten(with, k.sent(with))):
			k.v.lost.Add(1)
		default:
			wrong(fmt.Errorf("BLPOP %s: %q", key, r))
		}
	case 'w':
		_, key, _, n := k.pair()
		if r := ask("WATCH", key); r != "+OK\r\n" {
			note("WATCH", key, r)
			return
		}
		got := ""
		for _, step := range [][]string{{"GET", key}, {"MULTI"}, {"INCR", key}} {
			r := ask(step...)
			if strings.HasPrefix(r, "-lost") { // with the connection the transaction is gone, too
				note(step[0]+" of WATCH", key, r)
				return
			}
			if step[0] == "GET" {
				got = r
			}
		}
		r := ask("EXEC")
		switch {
		case r[0] == '-':
			n.fail(k)
			note("EXEC of WATCH", key, r)
		case r == "*-1\r\n" || r == "_\r\n":
			k.v.nils.Add(1)
			note("EXEC of WATCH", key, "")
		default:
			elems, err := elementsOf(r)
			if err != nil || len(elems) != 1 {
				wrong(fmt.Errorf("EXEC: %q", r))
				return
			}
			if _, err := k.counted(n, key, elems[0]); err != nil {
				wrong(fmt.Errorf("EXEC of WATCH %s (GET had said %q): %w", key, got, err))
				return
			}
			note("EXEC of WATCH", key, "")
		}
	}
}

// elementsOf takes an array apart.
func elementsOf(reply string) (list []string, err error) {
	head, rest, _ := strings.Cut(reply, "\r\n")
	n, err := strconv.Atoi(strings.TrimPrefix(head, "*"))
	if err != nil {
		return nil, fmt.Errorf("not an array: %q", reply)
	}
	r := bufio.NewReader(strings.NewReader(rest))
	for range n {
		e, err := redistest.ReadReply(r, nil)
		if err != nil {
			return nil, err
		}
		list = append(list, string(e))
	}
	return list, nil
}
