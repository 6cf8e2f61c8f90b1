package proxy

import (
	"math"
	"strconv"
	"strings"

	"ringway/internal/acl"
	"ringway/internal/command"
	"ringway/internal/metrics"
	"ringway/pool"
	"ringway/resp"
)

// redisVersion is what HELLO says: the version whose commands the table is made from. Clients choose features by it.
const redisVersion = "7.0.15"

// local answers a command that concerns the connection, not the data. It returns false if the command must wait until
// what is in flight has been answered.
func (s *Session) local(c *command.Command, a *resp.Args) bool {
	switch c.Name {
	case "ping":
		s.ping(c, a)
	case "echo":
		s.answerBulk(a.At(1))
	case "quit":
		s.answer([]byte("+OK\r\n"))
		s.closing = true
	case "auth":
		s.auth(a)
	case "hello":
		return s.hello(a)
	case "select":
		return s.selectDB(a)
	case "reset":
		return s.reset()
	case "multi":
		s.multi()
	case "exec":
		return s.exec(c)
	case "discard":
		s.discard()
	case "command", "command|count", "command|info", "command|docs", "command|list", "command|getkeys", "command|getkeysandflags", "command|help":
		s.worker.scratch = command.Answer(s.worker.scratch[:0], s.resp3, a)
		s.answer(s.worker.scratch)
	default:
		return s.administer(c, a)
	}
	return true
}

func (s *Session) answerOK() { s.answer([]byte("+OK\r\n")) }

func (s *Session) answerBulk(b []byte) {
	s.worker.scratch = resp.AppendBulk(s.worker.scratch[:0], b)
	s.answer(s.worker.scratch)
}

func (s *Session) answerNull() {
	s.worker.scratch = resp.AppendNull(s.worker.scratch[:0], s.resp3)
	s.answer(s.worker.scratch)
}

func (s *Session) answerInt(n int64) {
	s.worker.scratch = resp.AppendInt(s.worker.scratch[:0], n)
	s.answer(s.worker.scratch)
}

func (s *Session) ping(c *command.Command, a *resp.Args) {
	if s.subs != nil && !s.resp3 && a.Len() <= 2 { // a RESP2 client that listens gets it in the form of a message
		b := resp.AppendBulkString(resp.AppendArray(nil, 2), "pong")
		if a.Len() == 2 {
			b = resp.AppendBulk(b, a.At(1))
		} else {
			b = resp.AppendBulkString(b, "")
		}
		s.answer(b)
		return
	}
	switch a.Len() {
	case 1:
		s.answer([]byte("+PONG\r\n"))
	case 2:
		s.answerBulk(a.At(1))
	default:
		s.refuse(metrics.BadCommand, command.WrongArity(c))
	}
}

// auth checks AUTH password and AUTH user password.
func (s *Session) auth(a *resp.Args) {
	users := s.pool.shared.guard.users
	name, password := []byte(acl.DefaultName), a.At(a.Len()-1)
	switch {
	case a.Len() > 3:
		s.refuse(metrics.BadCommand, errSyntax)
		return
	case a.Len() == 3:
		name = a.At(1)
	case users.Default().NoPassword():
		s.refuse(metrics.Unauthorized, errNoPassword)
		return
	}
	u, digest := users.LogIn(name, password)
	if u == nil {
		s.refuseLogin(a, name)
		return
	}
	s.become(u, digest)
	s.answerOK()
}

// refuseLogin is the answer to a name and password that don't fit.
func (s *Session) refuseLogin(a *resp.Args, name []byte) {
	s.last = command.Lookup(a.At(0))
	s.pool.shared.denials.login(s, a.At(0), name)
	s.refuse(metrics.Unauthorized, errWrongPass)
}

// barrier stops the parser until nothing is in flight: what follows travels by other lanes, and must not overtake.
func (s *Session) barrier() bool {
	if s.inFlight == 0 {
		return true
	}
	s.stall(metrics.StallBarrier)
	return false
}

// moveTo changes the lanes that the session uses. Nothing may be in flight.
func (s *Session) moveTo(db int, resp3 bool) {
	s.db, s.resp3 = db, resp3
	s.forbidCopies(db)
	s.update()
	s.set = s.pool.set(pool.Key{RESP3: resp3, Database: db})
}

// integer reads a number as Redis does: no sign but a minus, no leading zeros.
func integer(b []byte) (int, bool) {
	n, err := strconv.Atoi(string(b))
	return n, err == nil && strconv.Itoa(n) == string(b)
}

// databases is how many databases a session may select.
const databases = 16

func (s *Session) selectDB(a *resp.Args) bool {
	db, ok := integer(a.At(1))
	switch {
	case !ok:
		s.refuse(metrics.BadCommand, errNotInteger)
		return true
	case db > math.MaxInt32 || db < math.MinInt32:
		s.refuse(metrics.BadCommand, errNotInt32)
		return true
	case db < 0 || db >= databases:
		s.refuse(metrics.BadCommand, errDBRange)
		return true
	}
	if db != s.db && s.watch.lane != nil {
		s.refuse(metrics.BadCommand, "ERR SELECT between WATCH and EXEC is not supported through Ringway: the watched keys belong to the database selected before")
		return true
	}
	if db != s.db && !s.barrier() {
		return false
	}
	s.moveTo(db, s.resp3)
	s.answerOK()
	return true
}

// reset makes the session what it was when it connected.
func (s *Session) reset() bool {
	cfg := s.pool.shared.cfg
	if (s.db != cfg.Database || s.resp3) && !s.barrier() {
		return false
	}
	s.unwatch()
	s.leaveAll()
	s.stopMonitoring()
	s.tracking = nil
	s.moveTo(cfg.Database, false)
	s.about, s.tx = nil, nil
	s.replies = replyOn
	s.unknown()
	s.answer([]byte("+RESET\r\n"))
	return true
}

// hello is HELLO [protover [AUTH user password] [SETNAME name]].
func (s *Session) hello(a *resp.Args) bool {
	resp3 := s.resp3
	i := 1
	if a.Len() > 1 {
		v, ok := integer(a.At(1))
		switch {
		case !ok:
			s.refuse(metrics.BadCommand, errProtoNumber)
			return true
		case v < 2 || v > 3:
			s.refuse(metrics.BadCommand, errNoProto)
			return true
		}
		resp3 = v == 3
		i = 2
	}
	user, digest, authed := s.user, s.digest, s.authed
	var name []byte
	for ; i < a.Len(); i++ {
		more := a.Len() - 1 - i
		switch option := strings.ToUpper(string(a.At(i))); {
		case option == "AUTH" && more >= 2:
			if user, digest = s.pool.shared.guard.users.LogIn(a.At(i+1), a.At(i+2)); user == nil {
				s.refuseLogin(a, a.At(i+1))
				return true
			}
			authed = true
			i += 2
		case option == "SETNAME" && more >= 1:
			if name = a.At(i + 1); !validName(name) {
				s.refuse(metrics.BadCommand, errClientName)
				return true
			}
			i++
		default:
			s.refuse(metrics.BadCommand, "ERR Syntax error in HELLO option '"+string(a.At(i))+"'")
			return true
		}
	}
	if !authed {
		s.refuse(metrics.Unauthorized, errHelloNoAuth)
		return true
	}
	if resp3 != s.resp3 && s.watch.lane != nil {
		s.refuse(metrics.BadCommand, "ERR HELLO between WATCH and EXEC is not supported through Ringway: choose the protocol before WATCH")
		return true
	}
	if resp3 != s.resp3 && !s.barrier() {
		return false
	}
	s.become(user, digest)
	if name != nil {
		s.setName(name)
	}
	s.moveTo(s.db, resp3)
	b := resp.AppendMap(s.worker.scratch[:0], resp3, 7)
	b = resp.AppendBulkString(resp.AppendBulkString(b, "server"), "redis")
	b = resp.AppendBulkString(resp.AppendBulkString(b, "version"), redisVersion)
	b = resp.AppendInt(resp.AppendBulkString(b, "proto"), map[bool]int64{false: 2, true: 3}[resp3])
	b = resp.AppendInt(resp.AppendBulkString(b, "id"), int64(s.id))
	b = resp.AppendBulkString(resp.AppendBulkString(b, "mode"), "standalone")
	b = resp.AppendBulkString(resp.AppendBulkString(b, "role"), "master")
	b = resp.AppendArray(resp.AppendBulkString(b, "modules"), 0)
	s.worker.scratch = b
	s.answer(b)
	return true
}
