package command

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ringway/internal/corpus"
	"ringway/internal/redistest"
)

// keyTests are requests whose keys are not simply where the first look would have them.
var keyTests = []string{
	"GET a", "MGET a b c", "MSET a 1 b 2", "MSETNX a 1 b 2", "DEL a b", "RENAME a b", "COPY a b DB 1",
	"OBJECT ENCODING a", "MEMORY USAGE a SAMPLES 5", "XINFO STREAM a FULL", "XGROUP CREATE a g $", "PFCOUNT a b", "PFMERGE d a b",
	"BITOP AND d a b", "LMPOP 2 a b LEFT", "BLMPOP 0 2 a b LEFT COUNT 3", "BLPOP a b 0", "BZMPOP 1 1 z MIN", "BZPOPMIN a b c 1",
	"SINTERCARD 2 a b LIMIT 1", "ZUNION 2 a b WEIGHTS 1 2", "ZUNIONSTORE d 2 a b", "ZINTERSTORE d 1 a", "ZDIFF 3 a b c",
	"ZDIFFSTORE d 1 a", "ZRANGESTORE d s 0 -1", "ZINTERCARD 1 a", "SDIFFSTORE d a b", "SMOVE a b m", "LMOVE a b LEFT RIGHT",
	"GEOSEARCHSTORE d s FROMMEMBER m BYRADIUS 1 m", "GEORADIUS k 1 2 3 m", "GEORADIUS k 1 2 3 m STORE d",
	"GEORADIUS k 1 2 3 m COUNT 1 ANY STOREDIST d", "GEORADIUSBYMEMBER k m 3 m STORE d", "GEORADIUSBYMEMBER k m 3 m ASC",
	"GEORADIUS_RO k 1 2 3 m", "GEORADIUS k 1 2 3 m STORE", "EVAL x 0", "EVAL x 2 a b", "EVAL x 2 a b c", "EVAL x 1 a b c",
	"EVALSHA x 1 a", "EVAL_RO x 1 a", "FCALL f 1 a", "FCALL_RO f 0", "EVAL x 3 a b", "EVAL x -1 a", "EVAL x foo a",
	"EVAL x 99999999999999999999 a", "EVAL x 00",
	"XREAD STREAMS a b 0 0", "XREAD COUNT 1 BLOCK 0 STREAMS a 0", "XREADGROUP GROUP g c STREAMS a b > >",
	"XREADGROUP GROUP g c COUNT 1 NOACK STREAMS a >", "XREAD STREAMS a b c", "XREAD streams a 0", "XREAD COUNT 1 a b",
	"SORT k", "SORT k BY w_* GET # GET o_*", "SORT k STORE d", "SORT k LIMIT 0 1 STORE d DESC", "SORT k BY store STORE d",
	"SORT k GET STORE x STORE d", "SORT k STORE a STORE b", "SORT_RO k BY w_*", "SORT k STORE",
	"MIGRATE h 1 k 0 10", "MIGRATE h 1 k 0 10 COPY REPLACE", "MIGRATE h 1 % 0 10 KEYS a b", "MIGRATE h 1 % 0 10 COPY AUTH keys KEYS a",
	"MIGRATE h 1 % 0 10 AUTH2 keys keys KEYS a b c", "MIGRATE h 1 % 0 10", "MIGRATE h 1 k 0 10 REPLACE AUTH pw",
	"SET a b", "SET a b GET", "SET a b EX 10 GET", "BITFIELD a", "BITFIELD a GET u8 0", "BITFIELD a GET u8 0 OVERFLOW SAT GET u8 1",
	"BITFIELD a SET u8 0 1", "BITFIELD a GET u8 0 INCRBY u8 0 1", "BITFIELD a GET u8", "BITFIELD_RO a GET u8 0",
	"LCS a b", "ZADD a 1 b", "PUBLISH a b", "SPUBLISH a b", "SSUBSCRIBE a b", "SUBSCRIBE a", "PING x", "FLUSHALL ASYNC", "WATCH a b",
	"TOUCH a b", "EXISTS a a a", "UNLINK a b", "RESTORE a 0 x", "RESTORE-ASKING a 0 x", "DUMP a", "MOVE a 1", "ZUNION 0 a",
	"ZUNION 3 a", "ZUNION x a", "LMPOP 0 a LEFT", "SINTERCARD 5 a", "ZUNIONSTORE d 0 a", "ZUNIONSTORE d x a", "CLIENT ID x", "CLIENT NOSUCH x",
	"NOSUCH x", "COMMAND GETKEYS get x", "SCRIPT LOAD x", "PFDEBUG ENCODING a", "GETEX a PERSIST", "SUBSTR a 0 1",
	"BRPOPLPUSH a b 0", "BLMOVE a b LEFT LEFT 0", "SUNIONSTORE d a", "LPOS a b", "XAUTOCLAIM a g c 0 0", "XACK a g 1", "XSETID a 1",
}

func TestKeysAreWhereAServerFindsThem(t *testing.T) {
	versions(t, func(t *testing.T, c *redistest.Conn, resp3 bool) {
		for _, test := range keyTests {
			args := strings.Fields(test)
			for i := range args {
				args[i] = strings.ReplaceAll(args[i], "%", "")
			}
			for _, ask := range []string{"GETKEYS", "GETKEYSANDFLAGS"} {
				args := append([]string{"COMMAND", ask}, args...)
				if want, got := c.Do(args...), answer(resp3, args...); got != want {
					t.Errorf("%q: got %q, want %q", args, got, want)
				}
			}
		}
	})
}

// Every command of the server that may have keys is asked about with arguments that make sense or don't.
func TestKeysOfRandomRequestsAreWhereAServerFindsThem(t *testing.T) {
	words := []string{
		"a", "b", "c", "k1", "", "0", "1", "2", "3", "-1", "7", "STORE", "store", "STOREDIST", "KEYS", "keys", "STREAMS", "LIMIT",
		"GET", "BY", "COUNT", "BLOCK", "GROUP", "AUTH", "AUTH2", "LEFT", "WEIGHTS", "m", "ANY",
	}
	rng := rand.New(rand.NewPCG(1, 2))
	c := redistest.Dial(t, redistest.Server(t).Addr())
	asked, keyed := 0, 0
	for _, row := range All() {
		if row.Source != generated || row.Container() {
			continue
		}
		rounds := 20
		if row.Flags.Has(MovableKeys) {
			rounds = 1000
		}
		var requests [][]string
		for range rounds {
			args := append([]string{"COMMAND", "GETKEYS"}, strings.Split(row.Name, "|")...)
			n := max(row.Arity, -row.Arity) + 2
			if row.Arity < 0 {
				n += rng.IntN(7)
			}
			for len(args) < n {
				args = append(args, words[rng.IntN(len(words))])
			}
			if len(args) > 2+len(strings.Split(row.Name, "|")) && agrees(row, args[2:]) {
				requests = append(requests, args)
				c.Send(args...)
			}
		}
		c.Flush()
		for _, args := range requests {
			want, got := c.Recv(), answer(false, args...)
			if got != want {
				t.Errorf("%q: got %q, want %q", args, got, want)
			}
			asked++
			if want[0] == '*' {
				keyed++
			}
		}
	}
	t.Logf("%d requests, %d with keys", asked, keyed)
	if keyed < 5000 {
		t.Errorf("only %d of %d requests had keys", keyed, asked)
	}
}

// agrees says that the request is none of those where the server's own rules are less careful than ours: it
// takes an option's argument that is called STREAMS, STORE or AUTH for the option, and knows none of the options
// before STREAMS.
func agrees(row *Command, args []string) bool {
	count := func(words ...string) (n int) {
		for _, a := range args {
			if slices.Contains(words, strings.ToUpper(a)) {
				n++
			}
		}
		return n
	}
	switch row.finder {
	case findSort:
		return count("STORE") <= 1
	case findStreams:
		at := slices.IndexFunc(args, func(a string) bool { return strings.EqualFold(a, "streams") })
		return at < 0 || (at >= 4 || row.Name == "xread") && count("STREAMS") == 1 && strings.Join(args[1:at], "") == strings.Join(options(args[1:at]), "")
	case findGeo:
		return count("STORE", "STOREDIST") <= 1 && count("COUNT") == 0
	case findMigrate:
		return count("KEYS") <= 1 && count("AUTH", "AUTH2") == 0
	}
	return true
}

// options returns args if they are whole options of XREAD or XREADGROUP, otherwise nothing.
func options(args []string) []string {
	for i := 0; i < len(args); i++ {
		switch strings.ToUpper(args[i]) {
		case "COUNT", "BLOCK":
			i++
		case "GROUP":
			i += 2
		default:
			return nil
		}
		if i >= len(args) {
			return nil
		}
	}
	return args
}

func TestAnOptionsArgumentIsNotTakenForTheOption(t *testing.T) {
	tests := []struct {
		request string
		keys    []int
	}{
		{"XREADGROUP COUNT 1 GROUP streams c STREAMS a >", []int{7}},
		{"XREADGROUP GROUP g streams BLOCK 0 CLAIM 5 STREAMS a b > >", []int{9, 10}},
		{"GEORADIUS k 1 2 3 m STOREDIST store", []int{1, 7}},
		{"GEORADIUS k 1 2 3 m STOREDIST store STORE storedist", []int{1, 7, 9}},
		{"GEORADIUSBYMEMBER store store 3 m", []int{1}},
	}
	for _, test := range tests {
		a := request(strings.Fields(test.request)...)
		got, err := Lookup(a.At(0)).Keys(nil, a)
		if err != nil || !slices.Equal(got, test.keys) {
			t.Errorf("%s: got %v, %v, want %v", test.request, got, err, test.keys)
		}
	}
}

func TestKeysOfLaterCommands(t *testing.T) {
	tests := []struct {
		request string
		keys    []int
	}{
		{"MSETEX 2 a 1 b 2 EX 10", []int{2, 4}},
		{"MSETEX 3 a 1 b 2", nil},
		{"HEXPIRE a 1 FIELDS 1 f", []int{1}},
		{"JSON.MGET a b c $", []int{1, 2, 3}},
		{"JSON.MSET a $ 1 b $ 2", []int{1, 4}},
		{"TS.MADD a 1 2 b 1 2", []int{1, 4}},
		{"TS.CREATERULE a b AGGREGATION avg 10", []int{1, 2}},
		{"CMS.MERGE d 2 a b WEIGHTS 1 2", []int{1, 3, 4}},
		{"TDIGEST.MERGE d 1 a OVERRIDE", []int{1, 3}},
		{"VADD a VALUES 1 2 e", []int{1}},
		{"CLUSTERSCAN 0", []int{}},
		{"FT.SEARCH i q", []int{}},
		{"DELEX a IFEQ v", []int{1}},
		{"XDELEX a IDS 1 1", []int{1}},
	}
	for _, test := range tests {
		a := request(strings.Fields(test.request)...)
		got, err := Lookup(a.At(0)).Keys(nil, a)
		if (err != nil) != (test.keys == nil) || !slices.Equal(got, test.keys) {
			t.Errorf("%s: got %v, %v, want %v", test.request, got, err, test.keys)
		}
	}
}

func FuzzKeysAreWithinTheRequest(f *testing.F) {
	corpus.Add(f)
	for _, test := range keyTests {
		f.Add(strings.ReplaceAll(test, " ", "\x01"))
	}
	f.Add("MSETEX\x01999999999\x01a")
	f.Add("EVAL\x01x\x01" + strings.Repeat("9", 18))
	f.Fuzz(func(t *testing.T, line string) {
		a := request(strings.Split(line, "\x01")...)
		c, sentence := Resolve(a)
		if c == nil {
			if sentence == "" || strings.ContainsAny(sentence, "\r\n") {
				t.Fatalf("%q: the error is %q", line, sentence)
			}
			return
		}
		keys, err := c.Keys(nil, a)
		for _, k := range keys {
			if k < 1 || k >= a.Len() {
				t.Fatalf("%q: key %d of %d arguments", line, k, a.Len())
			}
		}
		if err == nil && c.SingleKey && !slices.Equal(keys, []int{1}) {
			t.Fatalf("%q: keys %v, though %s has exactly one", line, keys, c.Name)
		}
		c.For(a)
		Answer(nil, true, request(append([]string{"COMMAND", "GETKEYSANDFLAGS"}, strings.Split(line, "\x01")...)...))
	})
}
