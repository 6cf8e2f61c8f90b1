package proxy

import (
	"fmt"
	"strconv"
	"strings"

	"ringway/internal/command"
	"ringway/internal/loop"
	"ringway/internal/metrics"
	"ringway/pool"
	"ringway/resp"
)

// client answers the CLIENT subcommands. It returns false if the command must wait.
func (s *Session) client(sub string, c *command.Command, a *resp.Args) (taken bool) {
	switch sub {
	case "id":
		s.answerInt(int64(s.id))
	case "setname":
		if !validName(a.At(2)) {
			s.refuse(metrics.BadCommand, errClientName)
			break
		}
		s.setName(a.At(2))
		s.answerOK()
	case "getname":
		if s.about == nil || s.about.name == "" {
			s.answerNull()
			break
		}
		s.answerBulk([]byte(s.about.name))
	case "setinfo":
		s.setInfo(a)
	case "info":
		s.last = c
		s.answerText(s.line(end(a, a.Len()-1)))
	case "list":
		s.last = c
		s.list(a)
	case "no-evict", "no-touch":
		s.setFlag(sub, string(a.At(2)))
	case "reply":
		s.reply(strings.ToUpper(string(a.At(2))))
	case "kill":
		s.kill(a)
	case "unblock":
		s.unblock(a)
	case "pause":
		s.pauseClients(a)
	case "unpause":
		s.unpauseClients()
	case "tracking":
		s.track(a)
	case "caching":
		s.setCaching(a)
	case "getredir":
		s.getRedir()
	case "trackinginfo":
		s.trackingInfo()
	case "capa": // what a client can do beyond the protocol's version makes no difference here
		s.answerOK()
	default:
		s.refuse(metrics.BadCommand, notYet(c))
	}
	return true
}

// validName is Redis's rule for names: printable, no spaces.
func validName(b []byte) bool {
	for _, c := range b {
		if c < '!' || c > '~' {
			return false
		}
	}
	return true
}

func (s *Session) tell() *about {
	if s.about == nil {
		s.about = &about{}
	}
	return s.about
}

func (s *Session) setName(b []byte) {
	if len(b) > 0 || s.about != nil {
		s.tell().name = string(b)
	}
}

func (s *Session) setInfo(a *resp.Args) {
	value := a.At(3)
	switch attribute := strings.ToLower(string(a.At(2))); {
	case attribute != "lib-name" && attribute != "lib-ver":
		s.refuse(metrics.BadCommand, "ERR Unrecognized option '"+string(a.At(2))+"'")
	case !validName(value):
		s.refuse(metrics.BadCommand, "ERR "+attribute+" cannot contain spaces, newlines or special characters.")
	case attribute == "lib-name":
		s.tell().libName = string(value)
		s.answerOK()
	default:
		s.tell().libVer = string(value)
		s.answerOK()
	}
}

func (s *Session) setFlag(flag, to string) {
	on := strings.EqualFold(to, "on")
	if !on && !strings.EqualFold(to, "off") {
		s.refuse(metrics.BadCommand, errSyntax)
		return
	}
	if flag == "no-evict" {
		s.tell().noEvict = on
	} else {
		s.tell().noTouch = on
	}
	s.answerOK()
}

func (s *Session) reply(mode string) {
	switch mode {
	case "ON":
		s.replies = replyOn
		s.answerOK()
	case "OFF":
		s.replies = replyOff
	case "SKIP":
		if s.replies != replyOff {
			s.replies = replySkipNext
		}
	default:
		s.refuse(metrics.BadCommand, errSyntax)
	}
}

// line describes the client as CLIENT LIST does; what has no meaning here is 0. asking is the size of the request if it is this client that
// wants to know: a server has it in its buffer when it answers.
func (s *Session) line(asking int) string {
	var ab about
	if s.about != nil {
		ab = *s.about
	}
	flags := ""
	if ab.noEvict {
		flags += "e"
	}
	if ab.noTouch {
		flags += "T"
	}
	if s.subs != nil {
		flags = "P" + flags
	}
	var subs [topicKinds]int
	if s.subs != nil {
		for k := range subs {
			subs[k] = len(s.subs.topics[k])
		}
	}
	multi := -1
	batch := 0
	if s.tx != nil {
		multi, flags, batch = s.tx.count, "x"+flags, len(s.tx.batch)
	}
	if s.blocked != nil {
		flags = "b" + flags
	}
	if s.monitoring() {
		flags = "O" + flags
	}
	redirect := -1
	if s.tracking != nil {
		flags, redirect = "t"+flags, 0
	}
	if flags == "" {
		flags = "N"
	}
	cmd := "NULL"
	if s.last != nil {
		cmd = s.last.Name
	}
	proto := 2
	if s.resp3 {
		proto = 3
	}
	return fmt.Sprintf("id=%d addr=%s laddr=%s fd=%d name=%s age=%d idle=%d flags=%s db=%d sub=%d psub=%d ssub=%d multi=%d"+
		" qbuf=%d qbuf-free=%d argv-mem=0 multi-mem=%d rbs=0 rbp=0 obl=%d oll=%d omem=%d tot-mem=%d events=r cmd=%s user=%s redir=%d resp=%d lib-name=%s lib-ver=%s"+
		" pool=%s in-flight=%d tot-cmds=%d tot-net-in=%d tot-net-out=%d\n",
		s.id, s.peer, loop.LocalAddr(s.conn.FD()), s.conn.FD(), ab.name, int(s.age().Seconds()),
		(s.worker.loop.Now()-s.active)/1e9, flags, s.db, subs[channelTopic], subs[patternTopic], subs[shardTopic], multi, max(len(s.in)-s.off, asking), cap(s.in)-len(s.in), batch,
		s.conn.Unsent(), int(s.tail-s.head), s.held, cap(s.in)+batch+s.conn.Unsent()+s.held, cmd, s.user.Name(), redirect, proto, ab.libName, ab.libVer,
		s.pool.shared.cfg.Name, s.inFlight, s.total, s.conn.BytesIn, s.conn.BytesOut)
}

// list is CLIENT LIST [TYPE type] [ID id...]: all clients of the process, whatever loop they live on.
func (s *Session) list(a *resp.Args) {
	want := func(*Session) bool { return true }
	if a.Len() > 2 {
		switch option := strings.ToUpper(string(a.At(2))); {
		case option == "TYPE" && a.Len() == 4:
			kind, ok := clientType(a.At(3))
			if !ok {
				s.refuse(metrics.BadCommand, "ERR Unknown client type '"+string(a.At(3))+"'")
				return
			}
			want = func(x *Session) bool { return x.kind() == kind }
		case option == "ID" && a.Len() > 3:
			ids := map[uint64]bool{}
			for i := 3; i < a.Len(); i++ {
				id, err := strconv.ParseUint(string(a.At(i)), 10, 63)
				if err != nil {
					s.refuse(metrics.BadCommand, "ERR Invalid client ID")
					return
				}
				ids[id] = true
			}
			want = func(x *Session) bool { return ids[x.id] }
		default:
			s.refuse(metrics.BadCommand, errSyntax)
			return
		}
	}
	var b strings.Builder
	size := end(a, a.Len()-1)
	s.askLoops(func(w *worker) {
		for x := w.sessions; x != nil; x = x.next {
			if !want(x) {
				continue
			}
			asking := 0
			if x == s {
				asking = size
			}
			b.WriteString(x.line(asking))
		}
	}, func() []byte { return resp.AppendVerbatim(nil, s.resp3, "txt", b.String()) })
}

// answerText answers with a text, verbatim in RESP3.
func (s *Session) answerText(text string) {
	s.worker.scratch = resp.AppendVerbatim(s.worker.scratch[:0], s.resp3, "txt", text)
	s.answer(s.worker.scratch)
}

var _ pool.Owner = (*Session)(nil)
