package acl

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"ringway/internal/command"
	"ringway/internal/redistest"
)

// twinTests are rules, and requests that they are to judge. What is right a real server says.
var twinTests = []struct {
	rules    string
	requests string // a line each
}{
	{"", "GET a\nAUTH x y\nHELLO 3\nQUIT\nRESET\nPING"},
	{"+@all", "GET a\nSET a 1\nPING\nSUBSCRIBE c\nPUBLISH c m\nUNSUBSCRIBE c\nEVAL s 0\nEVAL s 1 a\nDBSIZE\nFLUSHALL"},
	{"+@all ~*", "GET a\nSET a 1\nSUBSCRIBE c\nPSUBSCRIBE c*\nSSUBSCRIBE c\nPUBLISH c m\nSPUBLISH c m\nPUBSUB CHANNELS"},
	{"+@all &*", "SUBSCRIBE c\nPSUBSCRIBE c*\nGET a\nPUBLISH c m"},
	{"allcommands allkeys allchannels", "GET a\nCONFIG GET x\nPUBLISH c m\nACL LIST\nSORT a BY w_*"},
	{"+get ~a", "GET a\nGET b\nGET A\nGET ab\nSET a 1\nget a\nGeT a"},
	{"+get +set ~a*", "GET a\nGET abc\nGET ba\nSET a* 1\nSET b 1"},
	{"+get ~a?c", "GET abc\nGET ac\nGET abbc\nGET a?c"},
	{"+get ~h[ae]llo", "GET hello\nGET hallo\nGET hillo"},
	{"+get ~h[^e]llo", "GET hello\nGET hallo"},
	{"+get ~h[a-c]llo", "GET hallo\nGET hbllo\nGET hdllo"},
	{`+get ~a\*`, "GET a*\nGET ab\nGET a"},
	{"+get ~*:x:*", "GET a:x:b\nGET :x:\nGET a:y:b\nGET x"},
	{"+get ~", "GET %\nGET a"},
	{"+@all ~a ~b ~c:*", "MGET a b\nMGET a b d\nMGET c:1 c:2 a\nMSET a 1 b 2\nMSET a 1 d 2\nMSETNX d 1 a 2\nDEL a b c:9\nDEL x\nEXISTS a z\nUNLINK z a\nTOUCH a b"},
	{"+@all %R~r %W~w %RW~rw", "GET r\nGET w\nGET rw\nSET r 1\nSET w 1\nSET rw 1\nSET w 1 GET\nSET rw 1 GET\nSETEX r 1 v\nSETEX w 1 v\n" +
		"GETSET r 1\nGETSET w 1\nGETSET rw 1\nGETDEL r\nGETDEL w\nGETDEL rw\nGETEX r\nGETEX rw\nAPPEND w x\nAPPEND r x\nINCR w\nINCR rw\nINCR r\n" +
		"EXISTS r\nEXISTS w\nTYPE w\nTTL w\nSTRLEN w\nSTRLEN r\nOBJECT ENCODING w\nDEL w\nDEL r\nDEL rw\nUNLINK r\nEXPIRE w 1\nEXPIRE r 1\nPERSIST r\n" +
		"COPY r w\nCOPY w r\nCOPY rw rw\nCOPY r rw\nRENAME r w\nRENAME rw w\nRENAME rw rw\nRENAME w w\nRENAMENX w r\n" +
		"LPUSH w 1\nLPUSH r 1\nLPOP w\nLPOP rw\nLRANGE r 0 -1\nLRANGE w 0 -1\nLLEN w\nLMOVE r w LEFT LEFT\nLMOVE rw w LEFT LEFT\nRPOPLPUSH rw w\nRPOPLPUSH w w\n" +
		"SINTERSTORE w r rw\nSINTERSTORE r r\nSINTERSTORE w w\nSUNION r rw\nSUNION r w\nSMOVE rw w m\nSMOVE r w m\nSCARD w\nSISMEMBER w m\nSISMEMBER r m\n" +
		"ZUNIONSTORE w 2 r rw\nZUNIONSTORE w 2 r w\nZUNIONSTORE r 1 r\nZRANGESTORE w r 0 -1\nZRANGESTORE r w 0 -1\nZDIFF 2 r rw\nZDIFF 1 w\nZADD w 1 m\nZADD r 1 m\n" +
		"BITOP AND w r r\nBITOP AND r w w\nBITCOUNT r\nBITCOUNT w\nBITFIELD r GET u8 0\nBITFIELD w GET u8 0\nBITFIELD r SET u8 0 1\nBITFIELD w SET u8 0 1\nBITFIELD rw INCRBY u8 0 1\nBITFIELD_RO r GET u8 0\n" +
		"PFCOUNT r\nPFCOUNT w\nPFCOUNT rw\nPFADD w x\nPFMERGE w r\nPFMERGE rw r\nPFMERGE w w\n" +
		"SORT r\nSORT w\nSORT r STORE w\nSORT r STORE r\nSORT rw STORE rw\nSORT_RO r\nSORT r LIMIT 0 1 STORE r\n" +
		"GEORADIUS r 1 2 3 m STORE w\nGEORADIUS r 1 2 3 m STORE r\nGEORADIUS w 1 2 3 m\nGEOSEARCHSTORE w r FROMMEMBER m BYRADIUS 1 m\n" +
		"XREAD STREAMS r 0\nXREAD STREAMS r w 0 0\nXREAD COUNT 1 STREAMS rw 0\nXREADGROUP GROUP g c STREAMS r >\nXREADGROUP GROUP g c STREAMS w >\nXADD w * f v\nXADD r * f v\nXLEN w\n" +
		"EVAL s 1 rw\nEVAL s 1 r\nEVAL s 1 w\nEVAL s 2 rw r\nEVAL_RO s 1 r\nEVAL_RO s 1 w\nEVALSHA s 1 rw\nFCALL f 1 rw\nFCALL f 1 r\nFCALL_RO f 1 r\n" +
		"HGET r f\nHGET w f\nHSET w f v\nHSET r f v\nHDEL w f\nHLEN w\nHINCRBY w f 1\nHGETALL w\nMIGRATE h 1 rw 0 10\nMIGRATE h 1 r 0 10\nMIGRATE h 1 % 0 10 KEYS rw r\n" +
		"DUMP r\nDUMP w\nRESTORE w 0 x\nRESTORE r 0 x\nWATCH r\nWATCH w\nLCS r r\nLCS r w\nMEMORY USAGE r\nMEMORY USAGE w\nBLPOP rw 0\nBLPOP w 0\nBLMPOP 0 1 rw LEFT\nLMPOP 2 w rw LEFT\nLMPOP 2 r rw LEFT"},
	{"+@all %R~* %W~w:*", "GET a\nSET a 1\nSET w:1 1\nCOPY a w:1\nCOPY a b\nSORT a STORE w:1\nEVAL s 1 w:1\nEVAL s 1 a"},
	{"+@all %R~a %W~a", "SET a 1 GET\nGETSET a 1\nGET a\nSET a 1"},
	{"+@all %RW~*", "GET a\nMGET a b\nSUBSCRIBE c"},
	{"+@all ~x ~x %R~x", "GET x\nSET x 1"},
	{"+@all ~a resetkeys ~b", "GET a\nGET b"},
	{"+@read ~*", "GET a\nSET a 1\nMGET a b\nHGETALL a\nEXISTS a\nTTL a\nPING\nSORT_RO a\nSORT a\nXREAD STREAMS a 0\nOBJECT FREQ a\nKEYS x\nDBSIZE"},
	{"+@write ~*", "SET a 1\nGET a\nDEL a\nHSET a f v\nPFCOUNT a\nGETDEL a\nEVAL s 0\nFLUSHALL"},
	{"+@all -@dangerous ~* &*", "GET a\nFLUSHALL\nKEYS x\nCONFIG GET a\nINFO\nSORT a\nCLIENT LIST\nCLIENT KILL x\nCLIENT SETNAME x\nACL WHOAMI\nACL LIST\nDEBUG SLEEP 0\nMONITOR\nSHUTDOWN\nRESTORE a 0 x\nMIGRATE h 1 a 0 1"},
	{"-@all +@string +@hash -@write ~*", "GET a\nSET a 1\nHGET a f\nHSET a f v\nLPOP a\nSTRLEN a"},
	{"+@all -@write +set ~*", "SET a 1\nSETEX a 1 v\nGET a"},
	{"+@fast ~*", "GET a\nMGET a b\nLPUSH a 1\nLRANGE a 0 1\nPING\nAUTH x"},
	{"+@slow ~* &*", "LRANGE a 0 1\nCONFIG GET a\nCONFIG SET a b\nACL SETUSER x\nACL WHOAMI\nCLIENT LIST\nGET a\nPUBSUB CHANNELS"},
	{"+@connection", "PING\nCLIENT ID\nCLIENT LIST\nSELECT 0\nECHO x\nCOMMAND COUNT\nCLIENT KILL x\nAUTH x"},
	{"+@transaction ~*", "MULTI\nEXEC\nDISCARD\nWATCH a\nUNWATCH\nGET a"},
	{"+@transaction ~k", "WATCH a\nWATCH k\nWATCH k a"},
	{"+@scripting ~*", "EVAL s 0\nEVALSHA s 1 a\nSCRIPT LOAD s\nSCRIPT FLUSH\nFUNCTION LIST\nFCALL f 0\nGET a"},
	{"+@pubsub &news:*", "SUBSCRIBE news:1\nSUBSCRIBE news:1 other\nPSUBSCRIBE news:*\nPSUBSCRIBE news:1\nPSUBSCRIBE *\nPUBLISH news:1 m\nPUBLISH old m\nUNSUBSCRIBE old\nPUNSUBSCRIBE old*\nSSUBSCRIBE news:2\nSSUBSCRIBE old\nSPUBLISH old m\nSPUBLISH news:9 m\nSUNSUBSCRIBE old\nPUBSUB CHANNELS\nPUBSUB NUMSUB old"},
	{"+@all &a &b*", "SUBSCRIBE a\nSUBSCRIBE a b bc\nSUBSCRIBE a c\nPSUBSCRIBE b* a\nPSUBSCRIBE b\nPSUBSCRIBE [a]\nPUBLISH bcd m"},
	{"+@all &*x*", "PSUBSCRIBE *x*\nPSUBSCRIBE ax\nSUBSCRIBE axb"},
	{"+@all allchannels resetchannels &a", "SUBSCRIBE a\nSUBSCRIBE b"},
	{"+config|get +client|id +client|setname", "CONFIG GET a\nCONFIG SET a b\nCONFIG RESETSTAT\nCLIENT ID\nCLIENT SETNAME a\nCLIENT GETNAME\nCLIENT LIST"},
	{"+config -config|set", "CONFIG GET a\nCONFIG SET a b\nCONFIG REWRITE"},
	{"+@all -config +config|get", "CONFIG GET a\nCONFIG SET a b"},
	{"+config|set -config", "CONFIG SET a b"},
	{"+client -@dangerous", "CLIENT ID\nCLIENT LIST\nCLIENT KILL x\nCLIENT NO-EVICT on"},
	{"+select|0", "SELECT 0\nSELECT 1"},
	{"+select|0 +select|1 +select|0", "SELECT 0\nSELECT 1\nSELECT 2"},
	{"+select|0 -select", "SELECT 0"},
	{"+@all -select +select|3", "SELECT 3\nSELECT 0"},
	{"+select|0 +@connection -@connection", "SELECT 0"},
	{"+debug|sleep", "DEBUG SLEEP 0\nDEBUG sleep 0\nDEBUG OBJECT a"},
	{"+get|a ~*", "GET a\nGET b\nGET A"},
	{"+mget|a ~*", "MGET a b\nMGET b a"},
	{"+get +mget ~a (+set ~b)", "GET a\nGET b\nSET b 1\nSET a 1\nMGET a\nMGET a b\nDEL a"},
	{"+@all ~a (+@all ~b) (+@all ~c &c)", "MGET a\nMGET b\nMGET a b\nMGET x a\nMGET a x\nMGET b a c\nSUBSCRIBE c\nSUBSCRIBE d\nSUBSCRIBE c d\nDEL c"},
	{"(+get %R~r) (+set %W~w) (+@all ~x)", "GET r\nGET w\nSET w 1\nSET r 1\nSET w 1 GET\nDEL x\nDEL r\nDEL y\nPUBLISH a b"},
	{"+@read ~* (+@all ~w:*) (+publish &p)", "GET a\nSET a 1\nSET w:1 1\nPUBLISH p m\nPUBLISH q m\nSUBSCRIBE p\nSET a 1\nMSET w:1 1 w:2 2\nMSET w:1 1 b 2"},
	{"+@all (~a) (+get)", "GET a\nSET a 1"},
	{"+@all ~* &* clearselectors (+get ~a)", "GET a\nSET b 1"},
	{"(+get ~a) clearselectors", "GET a"},
	{"+@all ~* nocommands +ping", "PING\nGET a"},
	{"+@all ~a reset +get ~b", "GET a\nGET b\nSET b 1"},
	{"+@keyspace ~*", "DEL a\nKEYS a\nSCAN 0\nFLUSHALL\nRENAME a b\nGET a\nDBSIZE\nRANDOMKEY"},
	{"+@stream +@sortedset +@set +@list +@geo +@hyperloglog +@bitmap ~s", "XADD s * f v\nZADD s 1 m\nSADD s m\nLPUSH s 1\nGEOADD s 1 2 m\nPFADD s x\nSETBIT s 0 1\nXINFO STREAM s\nXINFO HELP\nXGROUP CREATE s g 0\nXGROUP CREATE t g 0\nXACK s g 0\nGET s"},
	{"+@blocking ~l", "BLPOP l 0\nBLPOP l m 0\nBRPOPLPUSH l l 0\nXREAD BLOCK 0 STREAMS l 0\nWAIT 0 0\nLPOP l"},
	{"+@admin", "CONFIG GET a\nACL LIST\nACL WHOAMI\nMONITOR\nSLOWLOG GET\nREPLICAOF NO ONE\nLATENCY RESET"},
	{"+GET +@STRING -APPEND ALLKEYS", "GET a\nAPPEND a b\nSET a 1"},
	{"%rw~a %r~b +@all", "SET a 1\nSET b 1\nGET b"},
	{"+object|encoding +object|help ~a", "OBJECT ENCODING a\nOBJECT ENCODING b\nOBJECT FREQ a\nOBJECT HELP"},
	{"+memory|usage ~m", "MEMORY USAGE m\nMEMORY USAGE n\nMEMORY STATS"},
	{"+script|load +function|list", "SCRIPT LOAD x\nSCRIPT EXISTS x\nFUNCTION LIST\nFUNCTION FLUSH"},
	{"+@all ~k", "SORT k BY w_*\nSORT k GET a\nSORT k STORE k\nSORT k STORE d\nLPOS k x\nSINTERCARD 2 k k\nSINTERCARD 2 k j\nZINTERCARD 1 j\nSWAPDB 0 1\nRANDOMKEY\nSCAN 0\nKEYS *\nDBSIZE"},
}

// On a machine's server every case must be decided as here, and told in the same words.
func TestDecisionsAreThoseOfRedis(t *testing.T) {
	c := redistest.Dial(t, redistest.Server(t).Addr())
	cases := 0
	for _, x := range twinTests {
		rules := strings.Fields(x.rules)
		if got := c.Do(append([]string{"ACL", "SETUSER", "u", "reset"}, rules...)...); got != "+OK\r\n" {
			t.Errorf("%s: %q", x.rules, got)
			continue
		}
		u := user(t, rules...)
		for line := range strings.SplitSeq(x.requests, "\n") {
			words := strings.Fields(line)
			for i, w := range words {
				if w == "%" { // the empty one
					words[i] = ""
				}
			}
			cases++
			want := c.Do(append([]string{"ACL", "DRYRUN", "u"}, words...)...)
			if got := dryRun(u, words); got != want {
				t.Errorf("%s | %s\n got %q\nwant %q", x.rules, line, got, want)
			}
		}
	}
	if cases < 300 {
		t.Errorf("only %d cases", cases)
	}
}

// Rules that Redis refuses are refused, for the same reason; and those that it takes are told as it tells them.
func TestRulesAreUnderstoodAsByRedis(t *testing.T) {
	c := redistest.Dial(t, redistest.Server(t).Addr())
	for _, rules := range []string{
		"on", "off", "ON", "nopass", "on nopass", ">a >b >a", ">a nopass", ">a resetpass", ">a <a", "<a", "#abc", "#" + strings.Repeat("a", 64), "#" + strings.Repeat("A", 64),
		"#" + strings.Repeat("a", 64) + " !" + strings.Repeat("a", 64), "!" + strings.Repeat("a", 64), "!x", "nopass >a", "on >pw ~* &* +@all",
		"~a", "~a ~b", "~*", "~* ~a", "~a ~*", "allkeys %R~a", "%R~a %W~a", "%R~a", "%W~a", "%RW~a", "%WR~a", "%~a", "%", "%R", "%X~a", "%RR~a", "%R~*", "~", "resetkeys",
		"&a", "&*", "&* &a", "&a &*", "&", "resetchannels", "allchannels", "~* %R~x",
		"+get", "+GET", "-get", "+nosuch", "-nosuch", "+", "-", "+@", "-@", "+@nosuch", "+@read", "+@READ -@read", "+@all", "-@all", "+@all -get", "+get|", "+get|a", "-get|a", "+|", "+|a",
		"+config", "+config|get", "+config|nosuch", "-config|nosuch", "-config|get", "+config|get|a", "+config|", "+nosuch|a", "+nosuch|", "+select|0 +select|1", "+debug|object",
		"(+get ~a)", "(+get", "+get)", "(", ")", "()", "( )", "(+nosuch)", "(~a b)", "( +get ~a ) ( +set ~b )", "(on)", "(>a)", "((+get))", "(~* ~a)", "(&* &a)", "(+@all &* ~*)", "clearselectors",
		`(~"a*")`, `(~'a*')`, "skip-sanitize-payload", "sanitize-payload", "reset", "nosuch", "?", "*", "on off", "+@all -@all", "+acl|setuser", "-@dangerous", "+@all -@dangerous",
	} {
		words := strings.Fields(rules)
		want := c.Do(append([]string{"ACL", "SETUSER", "u", "reset"}, words...)...)
		u := NewUser("u")
		err := u.ApplyAll(append([]string{"reset"}, words...))
		if got := setUserReply(err); got != want {
			t.Errorf("%s\n got %q\nwant %q", rules, got, want)
		}
		if err != nil {
			continue
		}
		want = c.Do("ACL", "LIST")
		_, want, _ = strings.Cut(want, "user u ")
		want, _, _ = strings.Cut(want, "\r\n")
		if got := u.String(); got != want && strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
			t.Errorf("%s is told as\n%s, by Redis as\n%s", rules, got, want)
		}
		again := NewUser("u")
		if err := again.ApplyAll(strings.Fields(u.String())); err != nil || again.String() != u.String() {
			t.Errorf("%s, told as %s, makes %s, %v", rules, u, again, err)
		}
	}
}

// setUserReply is what ACL SETUSER says about an error.
func setUserReply(err error) string {
	var rule *RuleError
	var unmatched *UnmatchedError
	switch {
	case errors.As(err, &rule):
		return fmt.Sprintf("-ERR Error in ACL SETUSER modifier '%s': %s\r\n", rule.Rule, rule.Err)
	case errors.As(err, &unmatched):
		return "-ERR " + unmatched.Error() + "\r\n"
	}
	return "+OK\r\n"
}

// What chance makes of rules and requests is decided as by Redis too.
func TestRandomDecisionsAreThoseOfRedis(t *testing.T) {
	const seed, users, requests = 7, 400, 100
	r := rand.New(rand.NewPCG(seed, seed))
	c := redistest.Dial(t, redistest.Server(t).Addr())
	var commands []*command.Command
	for _, x := range command.All() {
		if x.Source == "redis 7.0.15" && !x.Container() {
			commands = append(commands, x)
		}
	}
	cases, allowed := 0, 0
	for range users {
		rules := randomRules(r, commands)
		u := NewUser("u")
		err := u.ApplyAll(append([]string{"reset"}, rules...))
		if want := c.Do(append([]string{"ACL", "SETUSER", "u", "reset"}, rules...)...); want != setUserReply(err) {
			t.Errorf("%q\n got %q\nwant %q", rules, setUserReply(err), want)
			continue
		}
		if err != nil {
			continue
		}
		if _, err := NewUsers(u); err != nil {
			t.Fatal(err)
		}
		var asked [][]string
		for range requests {
			words := randomRequest(r, commands)
			if words == nil {
				continue
			}
			asked = append(asked, words)
			c.Send(append([]string{"ACL", "DRYRUN", "u"}, words...)...)
		}
		c.Flush()
		for _, words := range asked {
			want := c.Recv()
			if cases++; want == "+OK\r\n" {
				allowed++
			}
			if got := dryRun(u, words); got != want {
				t.Errorf("%q | %q\n got %q\nwant %q", rules, words, got, want)
			}
		}
	}
	if cases < 5000 || allowed < cases/20 || allowed > cases*19/20 {
		t.Errorf("%d cases, %d allowed: that says little", cases, allowed)
	}
}

func pick[T any](r *rand.Rand, of []T) T { return of[r.IntN(len(of))] }

var (
	someNames    = []string{"a", "b", "ab", "abc", "b:1", "b:2", "c*", "[a]", `\a`, "", "k"}
	somePatterns = []string{"a", "a*", "*b", "b:?", "[ab]*", "b:[^1]", `c\*`, "*", "k", "**", "a*c", "[a-k]"}
	someOptions  = []string{"1", "2", "0", "GET", "STORE", "BY", "LIMIT", "STREAMS", "COUNT", "KEYS", "WEIGHTS", "GROUP", "3", "EX", "SET", "u8"}
)

func randomRules(r *rand.Rand, commands []*command.Command) (rules []string) {
	for range 1 + r.IntN(6) {
		rules = append(rules, randomRule(r, commands))
	}
	for range r.IntN(3) {
		inner := []string{}
		for range r.IntN(4) {
			inner = append(inner, randomRule(r, commands))
		}
		rules = append(rules, "("+strings.Join(inner, " ")+")")
	}
	return rules
}

func randomRule(r *rand.Rand, commands []*command.Command) string {
	sign := pick(r, []string{"+", "+", "-"})
	switch r.IntN(10) {
	case 0, 1:
		return sign + pick(r, commands).Name
	case 2, 3:
		return sign + "@" + pick(r, pick(r, commands).Categories.Names())
	case 4:
		return pick(r, []string{"+@all", "+@all", "allkeys", "resetkeys", "allchannels", "resetchannels", "-@all"})
	case 5:
		return "+" + pick(r, commands).Name + "|" + pick(r, []string{"a", "get", "1", "list"})
	case 6, 7:
		return pick(r, []string{"%R~", "%W~", "%RW~", "~"}) + pick(r, somePatterns)
	case 8:
		return "~" + pick(r, somePatterns)
	default:
		return "&" + pick(r, somePatterns)
	}
}

// randomRequest returns nil for one whose keys can't be told: see the package's first page.
func randomRequest(r *rand.Rand, commands []*command.Command) []string {
	c := pick(r, commands)
	words := strings.Split(c.Name, "|")
	if c.Name == "xreadgroup" { // without it, it is malformed, and keys are looked for where Redis does not
		words = append(words, "GROUP")
	}
	n := c.Arity
	if n < 0 {
		n = -n + r.IntN(5)
	}
	for len(words) < n {
		if r.IntN(3) == 0 {
			words = append(words, pick(r, someOptions))
		} else {
			words = append(words, pick(r, someNames))
		}
	}
	if _, err := c.Keys(nil, request(words)); err != nil {
		return nil
	}
	return words
}
