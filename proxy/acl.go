package proxy

import (
	"crypto/rand"
	"encoding/hex"

	"ringway/internal/acl"
	"ringway/internal/command"
	"ringway/internal/metrics"
	"ringway/resp"
)

const (
	mostPassBits = 4096
	errPassBits  = "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096"
	errNoACLFile = "ERR This pool is not configured to use an ACL file: its users are in the router's configuration. Edit that, and reload it"
)

// acl answers what ACL tells of the pool's users. They are changed in the configuration.
func (s *Session) acl(sub string, a *resp.Args) {
	b := s.worker.scratch[:0]
	users := s.pool.shared.guard.users
	switch sub {
	case "whoami":
		b = resp.AppendBulkString(b, s.user.Name())
	case "list":
		b = resp.AppendArray(b, len(users.All()))
		for _, u := range users.All() {
			b = resp.AppendBulkString(b, "user "+u.Name()+" "+u.String())
		}
	case "users":
		b = resp.AppendArray(b, len(users.All()))
		for _, u := range users.All() {
			b = resp.AppendBulkString(b, u.Name())
		}
	case "getuser":
		if u := users.Find(a.At(2)); u != nil {
			b = appendUser(b, s.resp3, u)
		} else {
			b = resp.AppendNull(b, s.resp3)
		}
	case "dryrun":
		s.dryRun(a)
		return
	case "load":
		s.loadUsers()
		return
	default:
		s.aclOption(sub, a)
		return
	}
	s.worker.scratch = b
	s.answer(b)
}

// aclOption is for the subcommands with one argument, or none.
func (s *Session) aclOption(sub string, a *resp.Args) {
	switch {
	case a.Len() > 3:
		s.refuse(metrics.BadCommand, "ERR unknown subcommand or wrong number of arguments for '"+string(a.At(1))+"'. Try ACL HELP.")
	case sub == "cat":
		s.worker.scratch = command.AppendCategories(s.worker.scratch[:0], a)
		s.answer(s.worker.scratch)
	case sub == "genpass":
		s.genPass(a)
	case sub == "log":
		s.aclLog(a)
	}
}

// appendUser is ACL GETUSER.
func appendUser(b []byte, resp3 bool, u *acl.User) []byte {
	b = resp.AppendMap(b, resp3, 6)
	b = resp.AppendSet(resp.AppendBulkString(b, "flags"), resp3, len(u.Flags()))
	for _, f := range u.Flags() {
		b = resp.AppendBulkString(b, f)
	}
	b = resp.AppendArray(resp.AppendBulkString(b, "passwords"), len(u.Digests()))
	for _, d := range u.Digests() {
		b = resp.AppendBulkString(b, d)
	}
	permissions := u.Permissions()
	b = appendPermissions(b, permissions[0])
	b = resp.AppendArray(resp.AppendBulkString(b, "selectors"), len(permissions)-1)
	for _, p := range permissions[1:] {
		b = appendPermissions(resp.AppendMap(b, resp3, 3), p)
	}
	return b
}

func appendPermissions(b []byte, p acl.Permissions) []byte {
	b = resp.AppendBulkString(resp.AppendBulkString(b, "commands"), p.Commands)
	b = resp.AppendBulkString(resp.AppendBulkString(b, "keys"), p.Keys)
	return resp.AppendBulkString(resp.AppendBulkString(b, "channels"), p.Channels)
}

// dryRun is ACL DRYRUN user command [arg...]: whether that user may do it.
func (s *Session) dryRun(a *resp.Args) {
	u := s.pool.shared.guard.users.Find(a.At(2))
	if u == nil {
		s.refuse(metrics.BadCommand, "ERR User '"+string(a.At(2))+"' not found")
		return
	}
	request := &resp.Args{Buf: a.Buf, Spans: a.Spans[3:]}
	c := command.Lookup(request.At(0))
	if c != nil && c.Container() && request.Len() > 1 {
		c = c.Sub(request.At(1))
	}
	switch {
	case c == nil:
		s.refuse(metrics.BadCommand, "ERR Command '"+string(request.At(0))+"' not found")
		return
	case !c.CheckArity(request.Len()):
		s.refuse(metrics.BadCommand, command.WrongArity(c))
		return
	}
	v, why := s.pool.shared.guard.judge(u, c, request, &s.worker.keys)
	switch v.Reason {
	case acl.Allowed:
		s.answerOK()
	case acl.NoPatterns:
		s.answerBulk([]byte(why))
	default:
		s.answerBulk([]byte(v.Explain(c, request)))
	}
}

// aclLog is ACL LOG [count | RESET]: what was denied in this pool, ten entries unless more are asked for.
func (s *Session) aclLog(a *resp.Args) {
	most := 10
	if a.Len() == 3 {
		if equalFold(a.At(2), "reset") {
			s.pool.shared.denials.reset()
			s.answerOK()
			return
		}
		n, ok := integer(a.At(2))
		if !ok {
			s.refuse(metrics.BadCommand, errNotInteger)
			return
		}
		most = max(n, 0)
	}
	s.worker.scratch = s.pool.shared.denials.append(s.worker.scratch[:0], s.resp3, most, s.worker.loop.Now())
	s.answer(s.worker.scratch)
}

// loadUsers is ACL LOAD: the files of users are read again, those of all pools, as with a reload of the same configuration.
func (s *Session) loadUsers() {
	if s.pool.shared.guard.file == "" {
		s.refuse(metrics.BadCommand, errNoACLFile)
		return
	}
	w, seq := s.worker, s.openAlone()
	go func() {
		reply := []byte("+OK\r\n")
		if err := w.server.reloadUsers(); err != nil {
			reply = resp.AppendError(nil, "ERR "+err.Error())
		} else {
			w.log.Info("users reloaded", "cause", "ACL LOAD")
		}
		w.loop.Post(func() {
			if !s.conn.Closed() {
				s.answerSlot(seq, reply)
			}
		})
	}()
}

// genPass is ACL GENPASS [bits]: random bits, 256 by default, four to a digit.
func (s *Session) genPass(a *resp.Args) {
	bits := 256
	if a.Len() == 3 {
		n, ok := integer(a.At(2))
		if !ok {
			s.refuse(metrics.BadCommand, errNotInteger)
			return
		}
		bits = n
	}
	if bits <= 0 || bits > mostPassBits {
		s.refuse(metrics.BadCommand, errPassBits)
		return
	}
	digits := (bits + 3) / 4
	random := make([]byte, (digits+1)/2)
	rand.Read(random)
	s.answerBulk([]byte(hex.EncodeToString(random)[:digits]))
}
