package proxy

import (
	"math"
	"strconv"
	"sync/atomic"

	"ringway/internal/acl"
	"ringway/internal/command"
	"ringway/internal/config"
	"ringway/internal/metrics"
	"ringway/resp"
)

// Requests per second. A bucket is what all loops share of a limit: one number, the time at which the bucket will be full again. To take from it
// moves that time on, with one atomic exchange and no lock. A loop takes several at once of a high rate and keeps what it does not need at once in
// its meter, so that the exchange is rare; so it may let through later what it has taken sooner, no more than tookAtOnce allows.
//
//	bucket (pool, or user of a pool) <--take a few-- meter (one a loop) <--one a request-- sessions
//
// A session that has a limit is judged, as one whose user may not do everything, so that others pay nothing for there being limits. A request
// is paid for when it is looked at first; one that has to wait and is parsed again has been paid for.

// bucket is how many requests may come in a second, and at once.
type bucket struct {
	what  string // whose, for the error
	rate  int
	each  int64 // nanoseconds for one request
	depth int64 // of what may come at once
	chunk int64 // that a meter takes at once

	full atomic.Int64 // on the clock of the loops
}

const (
	mostAtOnce  = 64
	tookAtOnce  = 1000 // the part of a second's requests that a meter may take at once
	nanoseconds = 1_000_000_000
)

// newBucket returns a bucket that is full, or as full as the one before it; nil: no limit.
func newBucket(what string, rate, burst int, before *bucket) *bucket {
	if rate == 0 {
		return nil
	}
	if burst == 0 {
		burst = rate
	}
	b := &bucket{what: what, rate: rate, each: max(1, (nanoseconds+int64(rate)/2)/int64(rate))}
	b.depth = int64(burst) * b.each
	b.chunk = min(max(1, int64(rate)/tookAtOnce), mostAtOnce)
	if before != nil {
		if before.each == b.each && before.depth == b.depth {
			return before
		}
		b.full.Store(before.full.Load())
	}
	return b
}

// take takes as many as there are, and no more than wanted.
func (b *bucket) take(now, wanted int64) int64 {
	for {
		full := b.full.Load()
		from := max(full, now)
		n := min(wanted, (now+b.depth-from)/b.each)
		if n <= 0 {
			return 0
		}
		if b.full.CompareAndSwap(full, from+n*b.each) {
			return n
		}
	}
}

// meter is a loop's part of a bucket.
type meter struct {
	of   *bucket
	left int64 // taken, and not needed yet
}

func (m *meter) take(now int64) bool {
	if m.left == 0 {
		m.left = m.of.take(now, m.of.chunk)
		if m.left == 0 {
			return false
		}
	}
	m.left--
	return true
}

// quotas are the buckets of a pool.
type quotas struct {
	pool  *bucket            // nil: no limit
	users map[string]*bucket // of those who have a limit; nil: nobody has
}

// newQuotas makes those of a pool's configuration. What has been taken before counts on.
func newQuotas(p *config.Pool, before quotas) (q quotas) {
	q.pool = newBucket("this pool", p.RequestRate, p.RequestBurst, before.pool)
	add := func(user string, rate, burst int) {
		if b := newBucket("user '"+user+"'", rate, burst, before.users[user]); b != nil {
			if q.users == nil {
				q.users = map[string]*bucket{}
			}
			q.users[user] = b
		}
	}
	for i := range p.Users {
		add(p.Users[i].Name, p.Users[i].RequestRate, p.Users[i].RequestBurst)
	}
	for _, l := range p.UserLimits {
		add(l.User, l.RequestRate, l.RequestBurst)
	}
	return q
}

// meter returns this loop's part of a bucket.
func (ps *poolState) meter(b *bucket) *meter {
	if b == nil {
		return nil
	}
	m := ps.meters[b]
	if m == nil {
		if ps.meters == nil {
			ps.meters = map[*bucket]*meter{}
		}
		m = &meter{of: b}
		ps.meters[b] = m
	}
	return m
}

// fees are the limits that a session's requests count for.
type fees struct {
	user, pool *meter // nil: none
	paid       uint64 // as long as total is less, the next request is paid for
}

// findFees finds out which limits hold for a user's client.
func (s *Session) findFees(u *acl.User) {
	q := &s.pool.shared.quotas
	f := &s.fees
	f.pool, f.user = s.pool.meter(q.pool), nil
	if q.users != nil {
		f.user = s.pool.meter(q.users[u.Name()])
	}
	switch {
	case f.pool == nil && f.user == nil:
		f.paid = math.MaxUint64
	case f.paid == math.MaxUint64:
		f.paid = s.total
	}
}

// metered reports whether there is a limit.
func (f *fees) metered() bool { return f.pool != nil || f.user != nil }

// pay pays for the next request. If that can't be, it returns the limit that is used up.
func (s *Session) pay() (over *bucket) {
	f, now := &s.fees, s.worker.loop.Now()
	if f.user != nil && !f.user.take(now) {
		return f.user.of
	}
	if f.pool != nil && !f.pool.take(now) {
		if f.user != nil {
			f.user.left++
		}
		return f.pool.of
	}
	f.paid = s.total + 1
	return nil
}

// beyondLimits refuses a request that is beyond a limit of its client's user, or of the pool. It returns false if it is not.
func (s *Session) beyondLimits(c *command.Command, a *resp.Args) (refused bool) {
	if s.total >= s.fees.paid && !c.Flags.Has(command.NoAuth) {
		if over := s.pay(); over != nil {
			s.refuseJudged(metrics.RateLimited, c, over.refusal())
			if show, skipped := s.pool.mayLog(metrics.RateLimited); show {
				s.warnOf("request refused", skipped, "user", s.user.Name(), "command", c.Name, "reason", over.what+" is beyond max_request_rate")
			}
			return true
		}
	}
	most := s.pool.shared.longestKey
	if most == math.MaxInt {
		return false
	}
	keys, _ := c.Keys(s.worker.keys[:0], a)
	s.worker.keys = keys[:0]
	for _, k := range keys {
		if n := a.Spans[k].Len; int(n) > most {
			s.refuseJudged(metrics.KeyTooLong, c, "ERR a key of "+strconv.Itoa(int(n))+" bytes is longer than max_key_length, "+strconv.Itoa(most)+" bytes")
			return true
		}
	}
	return false
}

// refusal is what a client is told. Libraries send again by themselves what was answered with BUSY, LOADING or TRYAGAIN; this they leave to the
// application.
func (b *bucket) refusal() string {
	return "RATELIMIT " + b.what + " has had its " + strconv.Itoa(b.rate) + " requests a second; try again later"
}
