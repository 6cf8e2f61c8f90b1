package proxy

import (
	"slices"
	"strings"
	"sync"
	"time"

	"ringway/internal/acl"
	"ringway/internal/command"
	"ringway/internal/metrics"
	"ringway/resp"
)

// denials is what ACL LOG of a pool tells, and what is written to the log of logins and requests that were refused. All loops share it; its
// mutex is held for moments, and by nobody whose requests are allowed.
//
// Whoever guesses passwords, or has an application with the wrong permissions, can make a great many of them. Those that are like
// one before are counted with it, the list is short, and the log takes no more than auditRate in a second: what it has not shown it tells
// the number of.
type denials struct {
	mu      sync.Mutex
	list    []*denial // the last one first
	audited [metrics.Denials]budget
}

// denial is an entry of ACL LOG.
type denial struct {
	count    int64
	reason   metrics.Denial
	context  string
	object   string
	username string
	client   string // as CLIENT LIST shows it
	at       int64  // the clock of the loops
}

const (
	mostDenials   = 128              // Redis' acllog-max-len
	likeDenials   = 10               // so many are looked at for one that is the same
	denialAge     = 60 * time.Second // and it must not be older
	mostDeniedLen = 1 << 10          // of a key or name that is kept

	auditRate  = 1  // log lines a second, for each reason
	auditBurst = 20 // and so many more at once
)

// budget bounds what is written to the log.
type budget struct {
	left    float64
	at      int64
	skipped int
	begun   bool
}

// take says whether a line may be written, and how many were not before it.
func (b *budget) take(now int64) (ok bool, skipped int) {
	if !b.begun {
		b.begun, b.left = true, auditBurst
	} else {
		b.left = min(auditBurst, b.left+time.Duration(now-b.at).Seconds()*auditRate)
	}
	b.at = now
	if b.left < 1 {
		b.skipped++
		return false, 0
	}
	b.left--
	skipped, b.skipped = b.skipped, 0
	return true, skipped
}

// reasonOf is how a verdict is counted.
func reasonOf(v acl.Verdict) metrics.Denial {
	switch v.Reason {
	case acl.NoKey, acl.NoPatterns:
		return metrics.DeniedKey
	case acl.NoChannel:
		return metrics.DeniedChannel
	}
	return metrics.DeniedCommand
}

// request notes a request that was denied.
func (d *denials) request(s *Session, c *command.Command, a *resp.Args, v acl.Verdict) {
	object := c.Name
	if v.Reason == acl.NoKey || v.Reason == acl.NoChannel {
		object = brief(a.At(v.Arg))
	}
	reason := reasonOf(v)
	if show, skipped := d.note(s, reason, object, s.user.Name()); show {
		s.warnOf("request denied", skipped, "user", s.user.Name(), "command", c.Name, "reason", reason.String())
	}
}

// login notes a login that was refused. By is the command as the client wrote it.
func (d *denials) login(s *Session, by, name []byte) {
	show, skipped := d.note(s, metrics.DeniedLogin, brief(by), brief(name))
	if !show {
		return
	}
	why := "wrong password"
	switch u := s.pool.shared.guard.users.Find(name); {
	case u == nil:
		why = "no such user"
	case !u.On():
		why = "the user is off"
	}
	s.warnOf("login refused", skipped, "user", brief(name), "reason", why)
}

// certificate notes a certificate whose name is no user's.
func (d *denials) certificate(s *Session) {
	if show, skipped := d.note(s, metrics.DeniedLogin, "certificate", brief([]byte(s.certified))); show {
		s.warnOf("the client's certificate names no user", skipped, "name", brief([]byte(s.certified)))
	}
}

// warnOf writes an event to the log that is about this client, and how many of its kind were not written before it.
func (s *Session) warnOf(event string, skipped int, more ...any) {
	args := append([]any{"pool", s.pool.shared.cfg.Name, "client", s.peer}, more...)
	if skipped > 0 {
		args = append(args, "not_shown", skipped)
	}
	s.worker.log.Warn(event, args...)
}

// note keeps a denial, and says whether it is to be written to the log.
func (d *denials) note(s *Session, reason metrics.Denial, object, username string) (show bool, skipped int) {
	s.pool.stats.Denials[reason]++
	now := s.worker.loop.Now()
	e := &denial{count: 1, reason: reason, context: "toplevel", object: object, username: username, client: strings.TrimSuffix(s.line(0), "\n"), at: now}
	if s.tx != nil {
		e.context = "multi"
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	recent := d.list[:min(likeDenials, len(d.list))]
	if i := slices.IndexFunc(recent, e.like); i >= 0 {
		e.count += d.list[i].count
		d.list = slices.Delete(d.list, i, i+1)
	}
	d.list = slices.Insert(d.list, 0, e)
	d.list = d.list[:min(mostDenials, len(d.list))]
	return d.audited[reason].take(now)
}

// like reports whether two entries are one with a count.
func (e *denial) like(o *denial) bool {
	return e.reason == o.reason && e.context == o.context && e.object == o.object && e.username == o.username &&
		time.Duration(e.at-o.at).Abs() <= denialAge
}

// append appends the last denials as ACL LOG tells them.
func (d *denials) append(dst []byte, resp3 bool, most int, now int64) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.list[:min(most, len(d.list))]
	dst = resp.AppendArray(dst, len(list))
	str := resp.AppendBulkString
	for _, e := range list {
		dst = resp.AppendMap(dst, resp3, 7)
		dst = resp.AppendInt(str(dst, "count"), e.count)
		dst = str(str(dst, "reason"), e.reason.String())
		dst = str(str(dst, "context"), e.context)
		dst = str(str(dst, "object"), e.object)
		dst = str(str(dst, "username"), e.username)
		dst = resp.AppendDouble(str(dst, "age-seconds"), resp3, float64(time.Duration(now-e.at).Milliseconds())/1000)
		dst = str(str(dst, "client-info"), e.client)
	}
	return dst
}

func (d *denials) reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = nil
}

// brief is what is kept of a name or a key.
func brief(b []byte) string { return string(b[:min(mostDeniedLen, len(b))]) }
