package proxy

import (
	"math/rand/v2"
	"strings"
	"time"

	"ringway/internal/acl"
	"ringway/internal/loop"
	"ringway/internal/metrics"
	"ringway/pool"
	"ringway/resp"
)

// With passthrough the nodes say who may log in and do what. A client's name and password are shown to one node; if that takes them, the client's requests
// travel from then on by lanes that log in with them, to every node:
//
//	AUTH app secret --> proof: a connection of its own to one node, AUTH app secret, PING --> answered: the session is the person app
//	GET k ------------> the set of lanes of that person, one lane a node, shared with all clients of the loop that are the same person
//
// A session has its set at hand, whosever it is, so a request costs what it costs without passthrough. No lane carries requests of two persons, so each reply is
// what the node tells that person: nothing is kept, collapsed or copied for others (findHeat), and what Ringway does with connections of its own, in its own name, is
// refused (throughRules).

// person is a name and a password that a node has taken, on one loop.
type person struct {
	name, password string
	sessions       int
	left           int64     // when the last of them has gone
	user           *acl.User // what may be done without asking a node
}

// persons are those of a pool on one loop.
type persons struct {
	known map[[2]string]*person
	sweep *loop.Timer
}

const (
	// mostPersons bounds the connections that clients can have made in other names than the pool's, by loop and pool.
	mostPersons = 1024

	// lingering is how long a person without clients has lanes still: who comes back soon finds them open, and what the last client had asked is carried out.
	lingering = 10 * time.Second
)

// throughRules leave to the nodes what they can judge. The rest would be done by Ringway itself, or in its own name: to look at all clients and to end them, to listen on
// connections that all share, to end scripts.
const throughRules = "on nopass ~* &* +@all -@admin -subscribe -psubscribe -ssubscribe -script|kill -function|kill"

const (
	errManyPersons = "ERR too many users are logged in through this pool: its loops keep connections for 1024 each"
	errAuthWatch   = "ERR AUTH between WATCH and EXEC is not supported with passthrough: the watched keys belong to the user before"
)

// passThrough logs the client in at a node. It returns known as false while no node has answered: the request is parsed again then. If the client has not passed, it has been told.
func (s *Session) passThrough(a *resp.Args, name, password []byte) (passed, known bool) {
	if s.watch.lane != nil || s.tx != nil {
		s.refuse(metrics.BadCommand, errAuthWatch)
		return false, true
	}
	p := s.proof
	if p == nil {
		if !s.barrier() {
			return false, false
		}
		p = s.ask(string(name), string(password))
	}
	if !p.done {
		s.stall(metrics.StallBarrier)
		return false, false
	}
	s.proof = nil
	switch {
	case strings.HasPrefix(p.refusal, "WRONGPASS "):
		s.refuseLogin(a, name)
	case p.refusal != "":
		s.refuse(metrics.Unauthorized, p.refusal)
	case p.failure != "":
		s.refuse(metrics.NodeDown, p.failure)
	case !s.becomePerson(p.name, p.password):
		s.refuse(metrics.Unauthorized, errManyPersons)
	default:
		return true, true
	}
	return false, true
}

// becomePerson gives the session the lanes of a person. It returns false if there are too many.
func (s *Session) becomePerson(name, password string) bool {
	all := &s.pool.persons
	who := all.known[[2]string{name, password}]
	if who == nil {
		if len(all.known) >= mostPersons {
			s.pool.forgetPersons(0)
		}
		if len(all.known) >= mostPersons {
			return false
		}
		who = &person{name: name, password: password, user: acl.NewUser(name)}
		who.user.ApplyAll(strings.Fields(throughRules))
		if all.known == nil {
			all.known = map[[2]string]*person{}
		}
		all.known[[2]string{name, password}] = who
	}
	who.sessions++
	s.leavePerson()
	s.person = who
	s.moveTo(s.db, s.resp3)
	s.become(who.user, "")
	return true
}

// leavePerson is for a session that is somebody else from now on, or nobody. Whoever calls gives it another set, if it needs one.
func (s *Session) leavePerson() {
	who := s.person
	if who == nil {
		return
	}
	s.person = nil
	if who.sessions--; who.sessions == 0 {
		who.left = s.worker.loop.Now()
		s.pool.sweepLater()
	}
}

func (ps *poolState) sweepLater() {
	if ps.persons.sweep == nil {
		ps.persons.sweep = loop.NewTimer(func() { ps.forgetPersons(lingering) })
	}
	if !ps.persons.sweep.Set() {
		ps.worker.loop.SetTimer(ps.persons.sweep, lingering)
	}
}

// forgetPersons closes the lanes of those for whom there has been no client for some time, and nothing to wait for.
func (ps *poolState) forgetPersons(after time.Duration) {
	for id, who := range ps.persons.known {
		if who.sessions > 0 {
			continue
		}
		busy := time.Duration(ps.worker.loop.Now()-who.left) < after
		for key, set := range ps.sets {
			if busy || key.User != who.name || key.Password != who.password {
				continue
			}
			if busy = !set.Idle(); busy {
				continue
			}
			for i := range ps.topo.nodes {
				ps.privates -= set.Retire(i)
			}
			delete(ps.sets, key)
		}
		if busy {
			ps.sweepLater()
			continue
		}
		delete(ps.persons.known, id)
	}
}

// proof is the question to a node whether it takes a name and a password.
type proof struct {
	session        *Session
	name, password string
	lane           *pool.Lane
	done           bool
	refusal        string // what the node has said
	failure        string // why no node has said anything
}

// ask begins a proof. The node is any that is up: where others have other users, they say so themselves.
func (s *Session) ask(name, password string) *proof {
	ps := s.pool
	p := &proof{session: s, name: name, password: password}
	s.proof = p
	node := ps.anyNode()
	switch {
	case name == "": // lanes without a name would be the pool's own
		p.done, p.refusal = true, errWrongPass
		return p
	case node < 0:
		p.done, p.failure = true, "ERR this pool has no node that could say who may log in"
		return p
	case ps.privates >= ps.shared.cfg.PrivateLanes:
		p.done, p.failure = true, errPrivate
		return p
	}
	ps.privates++
	p.lane = pool.NewLane(ps.worker.loop, ps.topo.nodes[node], node, pool.Key{User: name, Password: password})
	p.lane.Send(pingRequest, p, 0)
	return p
}

// anyNode returns a node that is up, or else one that is not; -1 if there is none.
func (ps *poolState) anyNode() int {
	found, n := -1, len(ps.topo.used)
	if n == 0 {
		return -1
	}
	for i, first := 0, rand.IntN(n); i < n; i++ {
		if node := (first + i) % n; ps.topo.used[node] {
			if ps.topo.nodes[node].Up() {
				return node
			}
			found = node
		}
	}
	return found
}

// Reply is part of pool.Owner. Whatever the node says, PING may be denied to that user, it has let him in.
func (p *proof) Reply(_ uint64, _ byte, _ []byte, done bool) {
	if done {
		p.end()
	}
}

// Fail is part of pool.Owner.
func (p *proof) Fail(_ uint64, reason string, _ bool) {
	if p.done {
		return
	}
	if words, is := p.lane.Refused(); is {
		p.refusal = words
	} else {
		p.failure = reason
	}
	p.end()
}

// end has the session parse its request again.
func (p *proof) end() {
	p.done = true
	ps := p.session.pool
	ps.privates--
	own := ps.set(pool.Key{})
	if i := p.lane.Index; p.failure != "" && !p.lane.Node.Up() && ps.topo.used[i] && !ps.left { // somebody has to see when it is back
		own.Lane(i).Send(pingRequest, nobody{}, 0)
	}
	own.DiscardLater(p.lane)
	p.session.relieve(metrics.StallBarrier)
}

// abandon is for a session that is gone.
func (p *proof) abandon() {
	if !p.done {
		p.done = true
		p.session.pool.privates--
		p.session.pool.set(pool.Key{}).Discard(p.lane)
	}
}
