package proxy

import (
	"errors"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"

	"ringway/internal/metrics"
	"ringway/resp"
)

// Who may come in. All clients of a pool come by its door, on one loop, which asks before anything is made of them; that loop also has the rate.
// What counts clients is for all loops, and touched when one comes and when it goes.

const (
	errTooManyFromAddress = "ERR max number of clients from this address reached"
	errConnectionRate     = "ERR too many new connections; try again later"
)

// addresses counts the clients of a pool by where they come from.
type addresses struct {
	mu      sync.Mutex
	clients map[netip.Addr]int
}

// enter counts one, unless there are as many as may be. 0: any number.
func (as *addresses) enter(from netip.Addr, most int) bool {
	as.mu.Lock()
	defer as.mu.Unlock()
	if most > 0 && as.clients[from] >= most {
		return false
	}
	if as.clients == nil {
		as.clients = map[netip.Addr]int{}
	}
	as.clients[from]++
	return true
}

func (as *addresses) leave(from netip.Addr) {
	as.mu.Lock()
	defer as.mu.Unlock()
	if as.clients[from]--; as.clients[from] <= 0 {
		delete(as.clients, from)
	}
}

// origin is what a client counts for: its address, or its network if it comes by IPv6, where who has one address has as many as he likes.
// A client of a unix socket has none.
func origin(peer string) (from netip.Addr, ok bool) {
	ap, err := netip.ParseAddrPort(peer)
	if err != nil {
		return from, false
	}
	from = ap.Addr().Unmap().WithZone("")
	if from.Is6() {
		network, _ := from.Prefix(64)
		from = network.Addr()
	}
	return from, true
}

// admit counts a client that has come by a door, or says why it may not come in.
func (srv *Server) admit(d *door, sp *sharedPool, now int64, peer string) (kind metrics.Kind, refusal string) {
	cfg := sp.cfg
	if cfg.ConnectionRate > 0 {
		if d.newcomers == nil || d.newcomers.rate != cfg.ConnectionRate {
			d.newcomers = newBucket("", cfg.ConnectionRate, 0, d.newcomers)
		}
		if d.newcomers.take(now, 1) == 0 {
			return metrics.ConnectionRate, errConnectionRate
		}
	}
	if srv.memory.short.Load() {
		return metrics.OutOfMemory, errOutOfMemory
	}
	if n := sp.clients.Add(1); cfg.MaxClients > 0 && n > int64(cfg.MaxClients) {
		sp.clients.Add(-1)
		return metrics.TooManyClients, errMaxClients
	}
	if from, ok := origin(peer); ok && !sp.addresses.enter(from, cfg.MaxPerAddress) {
		sp.clients.Add(-1)
		return metrics.TooManyFromAddress, errTooManyFromAddress
	}
	return 0, ""
}

// discount is called when a client that was admitted is gone.
func (sp *sharedPool) discount(peer string) {
	if from, ok := origin(peer); ok {
		sp.addresses.leave(from)
	}
	sp.clients.Add(-1)
}

// turnAway tells a client why it can't come in, if it can read that, and closes it.
func (ps *poolState) turnAway(kind metrics.Kind, refusal string, fd int, peer string) {
	ps.stats.Errors[kind]++
	if ps.shared.tls == nil {
		unix.Write(fd, []byte("-"+refusal+"\r\n"))
	}
	unix.Close(fd)
	if show, skipped := ps.mayLog(kind); show {
		args := []any{"pool", ps.shared.cfg.Name, "client", peer, "reason", kind.String()}
		if skipped > 0 {
			args = append(args, "not_shown", skipped)
		}
		ps.worker.log.Warn("client refused", args...)
	}
}

// mayLog says whether what has met a limit may be told in the log, and how much was not told before it: each loop tells a few of a kind.
func (ps *poolState) mayLog(kind metrics.Kind) (show bool, skipped int) {
	return ps.audited[kind].take(ps.worker.loop.Now())
}

// letGo closes a client for a limit.
func (s *Session) letGo(kind metrics.Kind, reason string) {
	s.pool.stats.Errors[kind]++
	if show, skipped := s.pool.mayLog(kind); show {
		s.warnOf("client closed", skipped, "reason", reason)
	}
	s.drop()
}

// strangersLimits are those for clients that have not logged in: Redis', unless the pool's are lower.
func strangersLimits(l resp.Limits) resp.Limits {
	l.MaxArgs, l.MaxBulk = min(l.MaxArgs, 10), min(l.MaxBulk, 16<<10)
	return l
}

// limits are those of a request of this client.
func (s *Session) limits() *resp.Limits {
	if s.authed {
		return &s.pool.shared.limits
	}
	return &s.pool.shared.strangers
}

// beyond says how a malformed request is counted, and what the client hears. Who has not logged in hears that, in Redis' words.
func (s *Session) beyond(err error) (metrics.Kind, string) {
	var pe *resp.ProtocolError
	if !errors.As(err, &pe) {
		return metrics.Protocol, err.Error()
	}
	switch pe.Bound() {
	case resp.BoundArgs:
		if !s.authed {
			return metrics.TooManyArguments, "ERR Protocol error: unauthenticated multibulk length"
		}
		return metrics.TooManyArguments, err.Error()
	case resp.BoundBulk:
		if !s.authed {
			return metrics.RequestTooBig, "ERR Protocol error: unauthenticated bulk length"
		}
		return metrics.RequestTooBig, err.Error()
	case resp.BoundRequest, resp.BoundInline:
		return metrics.RequestTooBig, err.Error()
	}
	return metrics.Protocol, err.Error()
}
