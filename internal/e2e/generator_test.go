package e2e

import (
	"crypto/sha1"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"ringway/internal/redistest"
)

// generator makes commands out of the templates, all from one seed.
type generator struct {
	*rand.Rand
	prefix   string            // of all keys
	protocol int               // of the session
	other    bool              // the servers are not Redis's
	younger  bool              // they know the commands of youngerFamilies
	stream   int               // the last ID given to a stream entry
	dumps    []string          // serialized values, for RESTORE
	library  string            // serialized functions, for FUNCTION RESTORE
	tag      string            // that <{kind}> gives to its keys
	tagAll   bool              // every key gets the tag: all must live on one node
	named    map[string]string // keys that @kind has chosen, for as long as a sequence lasts
}

func newGenerator(seed uint64, prefix string, protocol int) *generator {
	return &generator{Rand: rand.New(rand.NewPCG(seed, 0)), prefix: prefix, protocol: protocol}
}

// command is one request, ready to send, and how its replies are compared.
type command struct {
	name    string // as the template has it
	wire    string
	replies int // most have one; SUBSCRIBE has one for each channel
	same    func(got, want string) bool
	loose   bool // same is not exactly
}

func exactly(a, b string) bool { return a == b }

// next makes what a client sends in one go: mostly one command, at times a sequence whose commands belong together, or a
// transaction.
func (g *generator) next() []command {
	g.tag, g.named = fmt.Sprintf("{t%d}", g.IntN(5)), make(map[string]string)
	switch n := g.IntN(100); {
	case n < 4:
		return g.transaction()
	case n < 8:
		return g.sequence(pick(g, g.sequences()))
	case n < 9 && !g.other:
		return g.sequence(pick(g, redisSequences))
	case n < 10 && g.protocol == 2:
		return g.sequence(pick(g, subscriberSequences))
	}
	return []command{g.command(pick(g, g.family()))}
}

// family is one of the families that the servers know.
func (g *generator) family() []string {
	if n := len(families); g.younger {
		if i := g.IntN(n + len(youngerFamilies)); i >= n {
			return youngerFamilies[i-n]
		}
	}
	return pick(g, families)
}

func (g *generator) sequences() []string {
	if g.younger && g.IntN(4) == 0 {
		return youngerSequences
	}
	return sequences
}

// sequence makes commands of which the later ones rely on the earlier ones: the server must not wait for what never comes.
func (g *generator) sequence(templates string) []command {
	var all []command
	for template := range strings.SplitSeq(templates, "; ") {
		all = append(all, g.command("fixed: "+template))
	}
	return all
}

// transaction makes a transaction whose keys live on one node, with or without WATCH in front. Commands that Ringway does
// not take inside one are left out; those that are wrong are not, for they make EXEC fail.
func (g *generator) transaction() []command {
	g.tagAll = true
	defer func() { g.tagAll = false }()
	var all []command
	if g.IntN(3) == 0 {
		all = append(all, g.command("WATCH <any>..."))
		for range g.IntN(3) {
			all = append(all, g.queueable())
		}
		if g.IntN(6) == 0 {
			all = append(all, g.command("UNWATCH"))
		}
	}
	all = append(all, g.command("fixed: MULTI"))
	inOrder := true
	for range g.IntN(12) {
		cmd := g.queueable()
		inOrder = inOrder && !cmd.loose
		cmd.same = exactly
		all = append(all, cmd)
	}
	exec := g.command(pick(g, []string{"fixed: EXEC", "fixed: EXEC", "fixed: EXEC", "fixed: EXEC", "fixed: DISCARD"}))
	if !inOrder {
		exec.same = sameSorted
	}
	return append(all, exec)
}

// queueable makes a command that may stand between MULTI and EXEC.
func (g *generator) queueable() command {
	for {
		template := pick(g, g.family())
		if !strings.HasPrefix(template, "shape: ") && !strings.HasPrefix(template, "type: ") && !strings.HasPrefix(template, "redis: ") && fitForMulti(template) {
			if strings.HasPrefix(template, "ZR") { // ZRANK may have more arguments in later versions: the node finds what is wrong, not we
				template = "fixed: " + template
			}
			return g.command(template)
		}
	}
}

// command makes one command of a template, at times with a mistake in it, in one of the forms a request can have.
func (g *generator) command(template string) command {
	cmd := command{same: exactly, replies: 1}
	fixed := false
	for more := true; more; {
		var mark string
		switch mark, template, more = cutMark(template); mark {
		case "sorted":
			cmd.same, cmd.loose = sameSorted, true
		case "shape":
			cmd.same, cmd.loose, fixed = sameShape, true, true
		case "type":
			cmd.same, cmd.loose, fixed = sameType, true, true
		case "redis":
			fixed = true
			if g.other {
				cmd.same, cmd.loose = func(a, b string) bool { return a[0] == b[0] }, true
			}
		case "fixed":
			fixed = true
		}
	}
	var args []string
	for _, word := range strings.Fields(template) {
		args = g.expand(args, word, g.tag)
	}
	cmd.name = args[0]
	switch strings.TrimLeft(args[0], "PSUN") {
	case "BSCRIBE":
		cmd.replies = max(1, len(args)-1)
	}
	args[0] = g.anyCase(args[0])
	tag := g.tag
	if !g.tagAll && !strings.Contains(template, "{") {
		tag = ""
	}
	if !fixed && g.IntN(20) == 0 && len(args) > 1 && !isRandom(args[0]) {
		args = g.mistake(args, tag)
	}
	switch {
	case g.IntN(30) == 0 && inlineLength(args) < 8000:
		cmd.wire = inline(args)
	default:
		cmd.wire = string(redistest.AppendCommand(nil, args...))
	}
	if g.IntN(100) == 0 {
		cmd.wire = "\r\n" + cmd.wire
	}
	return cmd
}

// cutMark takes a mark, "sorted: " for example, off a template.
func cutMark(template string) (mark, rest string, found bool) {
	mark, rest, found = strings.Cut(template, ": ")
	if !found || strings.Contains(mark, " ") {
		return "", template, false
	}
	return mark, rest, true
}

// mistake drops arguments, adds one or puts one in place of another. What it puts in is a key of this session's own, in
// case the server takes it for a key, and of the command's own tag; a short one, in case the server takes it for a field.
func (g *generator) mistake(args []string, tag string) []string {
	switch g.IntN(3) {
	case 0:
		return args[:1+g.IntN(len(args)-1)]
	case 1:
		return append(args, g.shortKey("str", tag))
	}
	args[1+g.IntN(len(args)-1)] = g.shortKey("str", tag)
	return args
}

// isRandom tells the commands whose reply is a matter of chance, or of the time, when their arguments are not what the
// template says.
func isRandom(name string) bool {
	switch strings.ToUpper(name) {
	case "SPOP", "SRANDMEMBER", "HRANDFIELD", "ZRANDMEMBER", "SSCAN", "SMEMBERS", "SINTER", "SUNION", "SDIFF", "TTL", "PTTL":
		return true
	}
	return false
}

// expand appends what a word of a template stands for: <kind> is a placeholder, <{kind}> a key with the command's tag,
// @kind the same key wherever it stands in a sequence, <a>,<b>... a group that comes one to four times,
// anything else for itself.
func (g *generator) expand(args []string, word, tag string) []string {
	times := 1
	if group, ok := strings.CutSuffix(word, "..."); ok {
		word = group
		times = 1 + g.IntN(4)
		if g.IntN(50) == 0 {
			times = 1 + g.IntN(60)
		}
	}
	for range times {
		for part := range strings.SplitSeq(word, ",") {
			switch {
			case strings.HasPrefix(part, "<{"):
				args = append(args, g.key(part[2:len(part)-2], tag))
			case strings.HasPrefix(part, "@"):
				name, channel := strings.CutPrefix(part[1:], "channel")
				if _, chosen := g.named[part]; !chosen && channel {
					g.named[part] = g.prefix + "channel" + name
				} else if !chosen {
					g.named[part] = g.shortKey(strings.TrimRight(part[1:], "0123456789"), tag)
				}
				args = append(args, g.named[part])
			case strings.HasPrefix(part, "<"):
				args = append(args, g.placeholder(part[1:len(part)-1]))
			default:
				args = append(args, part)
			}
		}
	}
	return args
}

func (g *generator) placeholder(kind string) string {
	switch kind {
	case "v":
		return g.value()
	case "sv":
		return g.shortValue()
	case "field", "m":
		return pick(g, names)
	case "im":
		return fmt.Sprint(g.IntN(60) - 20)
	case "n":
		return fmt.Sprint(g.IntN(14) - 2)
	case "pos":
		return fmt.Sprint(1 + g.IntN(12))
	case "idx":
		return fmt.Sprint(g.IntN(30) - 15)
	case "int":
		if g.IntN(16) == 0 {
			return pick(g, []string{"9223372036854775807", "-9223372036854775808", "9223372036854775808", "x", "1.5", " 1", "", "01", "+1"})
		}
		return fmt.Sprint(g.IntN(2000) - 1000)
	case "float":
		return pick(g, []string{"1.5", "-0.25", "1e3", "0.1", "3", "-7", "1e-9", "12345678.875", "abc", "inf", "nan", ""})
	case "score":
		return pick(g, []string{"1", "2", "2", "3.5", "-1", "0", "-0", "1e20", "17", "0.1", "inf", "-inf", "3", "5", "8", "bad"})
	case "weight":
		return pick(g, []string{"1", "2", "-1", "0.5", "0", "inf", "-inf", "1e300"})
	case "min":
		return pick(g, []string{"-inf", "0", "(1", "2", "-5", "x"})
	case "max":
		return pick(g, []string{"+inf", "3", "(5", "17", "y"})
	case "lexmin":
		return pick(g, []string{"-", "[a", "(b", "[f1", "a"})
	case "lexmax":
		return pick(g, []string{"+", "[z", "(f3", "[f5", "z"})
	case "far":
		return fmt.Sprint(4102444800 + g.IntN(1000))
	case "farms":
		return fmt.Sprint(4102444800000 + g.IntN(1000))
	case "off":
		return fmt.Sprint(g.IntN(600))
	case "bit":
		return fmt.Sprint(g.IntN(2))
	case "type":
		return pick(g, []string{"u8", "i8", "u1", "i16", "u63", "i64", "u64", "u0"})
	case "id":
		g.stream++
		return fmt.Sprintf("%d-%d", g.stream/3+1, g.stream%3+1)
	case "oldid":
		n := g.IntN(g.stream + 2)
		return pick(g, []string{fmt.Sprintf("%d-%d", n/3+1, n%3+1), fmt.Sprint(n / 3), "0", "0-1", "bad-id"})
	case "lon":
		return fmt.Sprintf("%.4f", g.Float64()*360-180)
	case "lat":
		return fmt.Sprintf("%.4f", g.Float64()*170-85)
	case "dist":
		return fmt.Sprint(g.IntN(20000))
	case "unit":
		return pick(g, []string{"m", "km", "ft", "mi", "ly"})
	case "proto":
		return fmt.Sprint(g.protocol)
	case "chan":
		if g.tagAll {
			return g.prefix + g.tag + fmt.Sprint(g.IntN(10))
		}
		return g.prefix + "nobody listens " + fmt.Sprint(g.IntN(10))
	case "sha":
		return digest(pick(g, scripts))
	case "nosha":
		return pick(g, []string{digest("return 'never loaded'"), "x", strings.Repeat("z", 40)})
	case "script":
		return pick(g, scripts)
	case "library":
		return library
	case "librarydump":
		return g.library
	case "empty":
		return ""
	case "dump":
		return pick(g, g.dumps)
	case "unknown":
		return pick(g, []string{"GETT", "FOO", "set get", "\x00\r\n", "", "\xff\xfe", strings.Repeat("x", 300), "NO.SUCH", "get2"})
	case "junk":
		return pick(g, []string{"", "'", "\"q\"", "a b", "\r\n", "\x00", strings.Repeat("y", 150), "k"})
	}
	if tag := pick(g, []string{"", "", "", "{t1}", "{}", "{", "}{"}); !g.tagAll {
		return g.key(kind, tag)
	}
	return g.key(kind, g.tag)
}

// keyKinds are what <any> may be. Keys of the other kinds are left alone by all other commands: those of plain and seq never
// expire, and are strings and lists for certain; those of ttl expire some time from now; in those of lex
// all scores are 0, without which an order by name has no meaning; what auto holds depends on the time.
var keyKinds = []string{"str", "num", "hash", "list", "set", "iset", "zset", "stream", "hll", "geo", "bits"}

// key makes a key of a kind. One in forty belongs to another kind, for the errors of wrong types. The name may be
// binary; with no prefix the key may even be empty.
func (g *generator) key(kind, tag string) string {
	if kind == "any" || slices.Contains(keyKinds, kind) && g.IntN(40) == 0 {
		kind = pick(g, keyKinds)
	}
	if kind == "str" && tag == "" && g.IntN(50) == 0 {
		return g.prefix
	}
	if g.IntN(30) == 0 {
		return g.prefix + tag + kind + ":" + strings.Repeat("long", 100)
	}
	return g.shortKey(kind, tag)
}

func (g *generator) shortKey(kind, tag string) string {
	name := fmt.Sprint(g.IntN(8))
	if g.IntN(6) == 0 {
		name = pick(g, []string{"\r\n", "\x00\xff", " ", "é", "$3\r\nabc\r\n"})
	}
	return g.prefix + tag + kind + ":" + name
}

// scripts and library are known to all servers from the beginning.
var scripts = []string{
	"return redis.call('GET',KEYS[1])", "redis.call('SET',KEYS[1],ARGV[1]) return redis.call('STRLEN',KEYS[1])", "return {KEYS,ARGV}",
	"return redis.error_reply('OOPS '..#KEYS)", "return redis.call('INCR',KEYS[1])", "redis.setresp(3) return redis.call('HGETALL',KEYS[1])", "#!lua flags=no-writes\nreturn 1",
}

const library = `#!lua name=twins
redis.register_function('twin_set', function(keys, args) return redis.call('SET', keys[1], args[1]) end)
redis.register_function{function_name='twin_get', callback=function(keys) return redis.call('GET', keys[1]) end, flags={'no-writes'}}
redis.register_function{function_name='twin_say', callback=function(keys, args) return {keys, args, 1.5, {double=2.5}} end, flags={'no-writes'}}
`

func digest(script string) string { return fmt.Sprintf("%x", sha1.Sum([]byte(script))) }

// names are the fields of hashes and the members of sets: so few and short that small encodings, which have an order,
// are kept.
var names = func() []string {
	n := []string{"", "\r\n", "\x00", "\xff\xfe", "a b", "ü", "12", "-3"}
	for i := range 16 {
		n = append(n, fmt.Sprintf("f%d", i))
	}
	return n
}()

func (g *generator) shortValue() string {
	switch g.IntN(6) {
	case 0:
		return fmt.Sprint(g.IntN(2000) - 1000)
	case 1:
		return pick(g, names)
	case 2:
		return g.bytes(g.IntN(50))
	case 3:
		return pick(g, []string{"1.25", "-3.5", "", "0", "1e5"})
	}
	return strings.Repeat("v", g.IntN(30))
}

func (g *generator) value() string {
	switch n := g.IntN(1000); {
	case n < 1:
		return g.bytes(200_000)
	case n < 10:
		return g.bytes(1000 + g.IntN(20_000))
	case n < 20:
		return strings.Repeat("*1\r\n$4\r\nPING\r\n", 1+g.IntN(10))
	case n < 100:
		return g.bytes(g.IntN(300))
	}
	return g.shortValue()
}

func (g *generator) bytes(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return string(b)
}

func (g *generator) anyCase(s string) string {
	switch g.IntN(4) {
	case 0:
		return strings.ToLower(s)
	case 1:
		b := []byte(s)
		for i, c := range b {
			if g.IntN(2) == 0 && 'A' <= c && c <= 'Z' {
				b[i] = c + 'a' - 'A'
			}
		}
		return string(b)
	}
	return s
}

func pick[T any](g *generator, from []T) T { return from[g.IntN(len(from))] }

// inline writes a request as a line, the way a person types it.
func inline(args []string) string {
	var b strings.Builder
	for i, a := range args {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteByte('"')
		for j := range len(a) {
			switch c := a[j]; {
			case c == '"' || c == '\\':
				b.WriteByte('\\')
				b.WriteByte(c)
			case c < ' ' || c > '~':
				fmt.Fprintf(&b, `\x%02x`, c)
			default:
				b.WriteByte(c)
			}
		}
		b.WriteByte('"')
	}
	return b.String() + "\r\n"
}

func inlineLength(args []string) int {
	n := 0
	for _, a := range args {
		n += 4*len(a) + 3
	}
	return n
}

// pipelineLength is often small, sometimes long, from 1 to 1000.
func (g *generator) pipelineLength() int {
	switch g.IntN(10) {
	case 0, 1, 2:
		return 1
	case 3, 4, 5:
		return 1 + g.IntN(16)
	case 6, 7, 8:
		return 1 + g.IntN(200)
	}
	return 1 + g.IntN(1000)
}

// cuts returns where to cut n bytes: nowhere, at a few places, or at every byte of a small stretch.
func (g *generator) cuts(n int) []int {
	var cuts []int
	switch g.IntN(4) {
	case 0:
	case 1, 2:
		for range g.IntN(8) {
			cuts = append(cuts, g.IntN(n))
		}
	case 3:
		at := g.IntN(n)
		for i := at; i < min(n, at+40); i++ {
			cuts = append(cuts, i)
		}
	}
	slices.Sort(cuts)
	return cuts
}
