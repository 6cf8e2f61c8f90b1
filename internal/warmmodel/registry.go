package warmmodel

import "fmt"

const (
	maxMembers = 3
	maxNodes   = 2
)

// nobody is what a node has of a member that it has never seen, or forgotten. A record of none is one of a member that claims nothing.
const nobody mode = fresh + 1

// member is a Ringway. It serves under its mode as long as it has a lease on any node.
type member struct {
	mode   mode
	target mode            // what it attempts to claim; none if nothing
	looked uint8           // nodes on which nothing was in the way of it, as bits
	done   uint8           // nodes that have taken the claim
	young  [maxNodes]uint8 // whose lease on the node was given during the attempt
}

// registryState is the records of all members on all nodes.
type registryState struct {
	members [maxMembers]member
	records [maxNodes][maxMembers]mode
	leases  [maxNodes]uint8 // who has had a good answer from the node within a lease, as bits
	forgot  uint8           // how often nodes have forgotten
	watched [maxNodes]uint8 // who has found its own record on the node for so long that every lease from before has ended
}

type registryFault uint32

const (
	checkThenClaim  registryFault = 1 << iota // the others' records are read before the own is written, not with it
	noQuarantine                              // a node that has forgotten everything is believed at once
	anyNode                                   // one node is enough for a claim
	noLookRound                               // it claims at once, without having looked at all nodes
	slowAttempt                               // an attempt may take longer than a lease
	resume                                    // who has had no lease at all for a while just renews one
	claimBeforeStop                           // the records are weakened first, then the service
)

// registryMachine is members that take the pool from the old ring to the new one, or start anywhere on the way.
//
// Time is left out. A lease may end at any moment; and who has to wait until others' leases have ended, or until its own watch is long enough,
// can go on only in states in which they have. That is what the timings in the record are for.
type registryMachine struct {
	members, nodes int
	forget         uint8 // how often nodes may forget
	faults         registryFault
}

func (m *registryMachine) is(f registryFault) bool { return m.faults&f != 0 }

func (m *registryMachine) Start() (s registryState) {
	for i := range m.members {
		s.members[i].mode = old
		for n := range m.nodes {
			s.records[n][i] = old
			s.leases[n] |= 1 << i
			s.watched[n] |= 1 << i
		}
	}
	return s
}

// canon drops what makes no difference, and sorts the members: what a record says does not count without a lease, nor a watch without a record.
func (m *registryMachine) Canon(s registryState) registryState {
	for n := range m.nodes {
		for i := range m.members {
			switch {
			case s.records[n][i] == nobody:
				s.watched[n] &^= 1 << i
			case s.leases[n]>>i&1 == 0:
				s.records[n][i] = none
			}
		}
	}
	weight := func(i int) (w uint64) {
		w = uint64(s.members[i].mode)<<7 | uint64(s.members[i].target)<<4 | uint64(s.members[i].looked)<<2 | uint64(s.members[i].done)
		for n := range m.nodes {
			w = w<<8 | uint64(s.records[n][i])<<2 | uint64(s.leases[n]>>i&1)<<1 | uint64(s.watched[n]>>i&1)
		}
		return w
	}
	for i := range m.members {
		for j := range i {
			if weight(i) >= weight(j) {
				continue
			}
			s.members[i], s.members[j] = s.members[j], s.members[i]
			flip := func(b *uint8) {
				if *b>>i&1 != *b>>j&1 {
					*b ^= 1<<i | 1<<j
				}
			}
			for n := range m.nodes {
				s.records[n][i], s.records[n][j] = s.records[n][j], s.records[n][i]
				flip(&s.leases[n])
				flip(&s.watched[n])
				for k := range m.members {
					flip(&s.members[k].young[n])
				}
			}
		}
	}
	return s
}

func (m *registryMachine) serves(s *registryState, i int) bool {
	md := s.members[i].mode
	return md != none && md != hold && (s.leases[0]|s.leases[1])>>i&1 != 0
}

func (m *registryMachine) Broken(s registryState) string {
	for i := range m.members {
		for j := range i {
			a, b := s.members[i].mode, s.members[j].mode
			if m.serves(&s, i) && m.serves(&s, j) && !compatible(a, b) {
				return fmt.Sprintf("member %d serves under %q, member %d under %q", i, a, j, b)
			}
		}
	}
	return ""
}

func (m *registryMachine) Name(e event) string {
	if e.Who < 0 {
		return e.What
	}
	return fmt.Sprintf("member %d: %s", e.Who, e.What)
}

// conflict reports whether node n has another member's record that excludes md. One that is as old as a lease does not count: its member
// has no lease on this node any more.
func (m *registryMachine) conflict(s *registryState, n, i int, md mode) bool {
	for j := range m.members {
		if r := s.records[n][j]; j != i && r != nobody && !compatible(r, md) && s.leases[n]>>j&1 != 0 {
			return true
		}
	}
	return false
}

var (
	textLook    = [maxNodes]string{"looks at node 0", "looks at node 1"}
	textClaimed = [maxNodes]string{"claims it on node 0", "claims it on node 1"}
	textRefused = [maxNodes]string{"claims it on node 0, in vain", "claims it on node 1, in vain"}
	textRenew   = [maxNodes]string{"renews on node 0", "renews on node 1"}
	textLapse   = [maxNodes]string{"its lease on node 0 ends", "its lease on node 1 ends"}
	textWatched = [maxNodes]string{"has watched node 0 long enough", "has watched node 1 long enough"}
	textForget  = [maxNodes]string{"(node 0 forgets everything)", "(node 1 forgets everything)"}
	textStart   = [...]string{"", "wants the old ring", "", "wants to be warm", "wants to drain", "wants the new ring"}
)

func (m *registryMachine) Steps(s registryState, visit func(event, registryState)) {
	for n := range m.nodes {
		if s.forgot == m.forget {
			break
		}
		t := s
		t.forgot++
		for i := range m.members {
			t.records[n][i] = nobody
		}
		visit(event{Who: -1, What: textForget[n]}, t)
	}
	for i := range m.members {
		for n := range m.nodes {
			m.atNode(s, i, n, visit)
		}
		if s.members[i].target == none {
			m.decide(s, i, visit)
		}
	}
}

// atNode is what happens between a member and a node.
func (m *registryMachine) atNode(s registryState, i, n int, visit func(event, registryState)) {
	me, bit := s.members[i], uint8(1)<<i
	known := s.records[n][i] != nobody
	t := s
	if s.leases[n]&bit != 0 && !m.tooYoung(&s, i, n) {
		t.leases[n] &^= bit
		if (t.leases[0]|t.leases[1])&bit == 0 && !m.is(resume) {
			t.members[i] = member{} // it serves nothing until it has claimed anew
		}
		visit(event{Who: int8(i), What: textLapse[n]}, t)
	}
	if t = s; known && s.watched[n]&bit == 0 && (m.is(noQuarantine) || !m.unseen(&s, n)) {
		t.watched[n] |= bit
		visit(event{Who: int8(i), What: textWatched[n]}, t)
	}
	t = s
	if !known {
		t.watched[n] &^= bit
	}
	if me.target == none {
		t.records[n][i] = me.mode
		if me.mode != none && !m.conflict(&s, n, i, me.mode) {
			t.lease(i, n)
		}
		visit(event{Who: int8(i), What: textRenew[n]}, t)
		return
	}
	all := uint8(1)<<m.nodes - 1
	if me.looked != all {
		if me.looked>>n&1 == 0 {
			if t.members[i].looked |= 1 << n; m.conflict(&s, n, i, me.target) || t.watched[n]&bit == 0 {
				t.members[i] = member{mode: me.mode}
			}
			visit(event{Who: int8(i), What: textLook[n]}, t)
		}
		return
	}
	if me.done>>n&1 != 0 {
		return
	}
	t.records[n][i] = me.target
	if m.conflict(&s, n, i, me.target) && !m.is(checkThenClaim) || t.watched[n]&bit == 0 {
		t.members[i] = member{mode: me.mode}
		visit(event{Who: int8(i), What: textRefused[n]}, t)
		return
	}
	t.lease(i, n)
	t.members[i].done |= 1 << n
	if t.members[i].done == all || m.is(anyNode) {
		t.members[i] = member{mode: me.target}
	}
	visit(event{Who: int8(i), What: textClaimed[n]}, t)
}

// lease gives member i a lease on node n.
func (s *registryState) lease(i, n int) {
	s.leases[n] |= 1 << i
	for j := range s.members {
		if j != i && s.members[j].target != none {
			s.members[j].young[n] |= 1 << i
		}
	}
}

// tooYoung reports whether the lease of i on n was given during an attempt that is still going on: attempts are shorter than leases.
func (m *registryMachine) tooYoung(s *registryState, i, n int) bool {
	for j := range m.members {
		if s.members[j].young[n]>>i&1 != 0 && !m.is(slowAttempt) {
			return true
		}
	}
	return false
}

// unseen reports whether there is a lease on node n that its records don't show.
func (m *registryMachine) unseen(s *registryState, n int) bool {
	for j := range m.members {
		if s.leases[n]>>j&1 != 0 && s.records[n][j] == nobody {
			return true
		}
	}
	return false
}

// decide is what a member does of itself. To serve under less it stops first, and its records follow; to serve under more it claims first.
func (m *registryMachine) decide(s registryState, i int, visit func(event, registryState)) {
	claim := func(target mode) {
		t := s
		t.members[i].target = target
		if m.is(noLookRound) {
			t.members[i].looked = 1<<m.nodes - 1
		}
		visit(event{Who: int8(i), What: textStart[target]}, t)
	}
	weaken := func(to mode, text string) {
		t := s
		t.members[i].mode = to
		if m.is(claimBeforeStop) {
			t.members[i].mode = s.members[i].mode
			for n := range m.nodes {
				t.records[n][i] = to
			}
		}
		visit(event{Who: int8(i), What: text}, t)
	}
	switch s.members[i].mode {
	case none:
		claim(old)
		claim(warm)
		claim(fresh)
	case old:
		weaken(hold, "holds")
	case hold:
		claim(old)
		claim(warm)
	case warm:
		weaken(drain, "drains")
	case drain:
		claim(fresh)
	}
}
