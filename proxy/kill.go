package proxy

import (
	"strconv"
	"strings"

	"ringway/internal/loop"
	"ringway/internal/metrics"
	"ringway/resp"
)

// clientType reads a client type of CLIENT LIST and CLIENT KILL. A replica or a master never is our client.
func clientType(b []byte) (kind string, ok bool) {
	switch kind = strings.ToLower(string(b)); kind {
	case "normal", "pubsub", "master", "replica":
		return kind, true
	case "slave":
		return "replica", true
	}
	return "", false
}

// kind is the type of a client.
func (s *Session) kind() string {
	if s.subs != nil {
		return "pubsub"
	}
	return "normal"
}

// killFilter says which clients CLIENT KILL means: those that fit all that is set.
type killFilter struct {
	id          uint64
	address     string
	local       string
	kind        string
	user        string
	pool        *poolState // to which user belongs
	maxAge      int64      // seconds; 0: any
	onlyOthers  bool
	nobodyAtAll bool
}

func (f *killFilter) fits(x *Session) bool {
	return !f.nobodyAtAll &&
		(f.id == 0 || x.id == f.id) &&
		(f.address == "" || x.peer == f.address) &&
		(f.local == "" || loop.LocalAddr(x.conn.FD()) == f.local) &&
		(f.kind == "" || x.kind() == f.kind) &&
		(f.user == "" || x.user.Name() == f.user && x.pool.shared.index == f.pool.shared.index) &&
		(f.maxAge == 0 || int64(x.age().Seconds()) >= f.maxAge)
}

// killOptions reads the filters of the newer form. why is the error, "" if there is none.
func killOptions(a *resp.Args, of *poolState) (f killFilter, why string) {
	f.onlyOthers, f.pool = true, of
	for i := 2; i < a.Len(); i += 2 {
		if i+1 == a.Len() {
			return f, errSyntax
		}
		value := string(a.At(i + 1))
		switch strings.ToUpper(string(a.At(i))) {
		case "ID":
			id, err := strconv.ParseInt(value, 10, 64)
			if err != nil || id < 1 {
				return f, "ERR client-id should be greater than 0"
			}
			f.id = uint64(id)
		case "ADDR":
			f.address = value
		case "LADDR":
			f.local = value
		case "TYPE":
			kind, ok := clientType(a.At(i + 1))
			if !ok {
				return f, "ERR Unknown client type '" + value + "'"
			}
			f.kind = kind
		case "USER":
			if of.shared.guard.users.Find([]byte(value)) == nil {
				return f, "ERR No such user '" + value + "'"
			}
			f.user = value
		case "MAXAGE":
			age, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return f, "ERR maxage is not an integer or out of range"
			}
			if age < 1 {
				return f, "ERR maxage should be greater than 0"
			}
			f.maxAge = age
		case "SKIPME":
			switch strings.ToLower(value) {
			case "yes":
				f.onlyOthers = true
			case "no":
				f.onlyOthers = false
			default:
				return f, errSyntax
			}
		default:
			return f, errSyntax
		}
	}
	return f, ""
}

// kill is CLIENT KILL address, or CLIENT KILL with filters: clients of the whole process. The one that asks is answered first.
func (s *Session) kill(a *resp.Args) {
	f, why := killFilter{address: string(a.At(2))}, ""
	old := a.Len() == 3
	if old && f.address == "" {
		f.nobodyAtAll = true
	}
	if !old {
		if f, why = killOptions(a, s.pool); why != "" {
			s.refuse(metrics.BadCommand, why)
			return
		}
	}
	killed, self := 0, false
	s.askLoops(func(w *worker) {
		for x := w.sessions; x != nil; {
			next := x.next
			switch {
			case !f.fits(x):
			case x != s:
				killed++
				x.drop()
			case !f.onlyOthers:
				killed++
				self = true
			}
			x = next
		}
	}, func() []byte {
		if self {
			s.worker.loop.Defer(s.endAfterReplies)
		}
		switch {
		case !old:
			return resp.AppendInt(nil, int64(killed))
		case killed == 0:
			return resp.AppendError(nil, "ERR No such client")
		}
		return []byte("+OK\r\n")
	})
	if self { // with one loop it is done already
		s.closing = true
	}
}

// endAfterReplies closes the session when what it has asked until now is answered and sent.
func (s *Session) endAfterReplies() {
	if !s.conn.Closed() {
		s.closing = true
		s.conn.Pause()
		s.maybeClose()
	}
}
