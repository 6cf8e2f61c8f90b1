package discover

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// sentinel finds primaries and replicas as clients of Sentinel should:
// https://redis.io/docs/latest/develop/reference/sentinel-clients/
//
// One sentinel is asked every Interval and listened to in between. That is a narrow look. A wide look asks all sentinels at the
// same time and believes the one with the newest configuration: at the start, for a nudge, every tenth time, and when the
// one that is asked is gone, knows less than is known already, or names a primary that says it is none. So a sentinel that
// is cut off from the others, and does not know it, is believed for ten looks at most, and never over a newer one.
type sentinel struct {
	bell
	opt                Options
	configured         []string
	username, password string // of the sentinels
	patience           time.Duration

	masters []*master
	others  []string           // sentinels that sentinels have told of
	links   map[string]*client // to sentinels
	current string             // the sentinel of narrow looks
	ear     *ear               // on the current sentinel
	deaf    bool               // the ear has failed, and that was logged
	lost    bool               // no sentinel answers, and that was logged
}

const (
	// wideEvery is how many looks there are from one wide look to the next.
	wideEvery = 10
	// patience is how long a majority of the sentinels must go on telling an older configuration than is known before it is
	// believed that they were set up anew, and count from 0 again. They tell each other of a newer one every two seconds.
	patience = 30 * time.Second
)

// master is one node of the pool, under the name that the sentinels know.
type master struct {
	node        Node
	epoch       int       // of the configuration that node was made of
	behindSince time.Time // a majority of the sentinels tells an older epoch since then
	complaint   string    // what is wrong with it, as it was logged
}

// NewSentinel makes a source of the primaries that the sentinels at the addresses know as masters, and their replicas. Each
// master is a node of weight 1. The first update comes after the first look, whatever that has found. username and password
// are for the sentinels; those in opt are for the nodes, which are asked whether they are primaries.
func NewSentinel(addresses, masters []string, username, password string, opt Options) Source {
	s := &sentinel{
		bell: newBell(), opt: opt.filled(time.Second), configured: slices.Clone(addresses),
		username: username, password: password, patience: patience, links: make(map[string]*client),
	}
	for _, name := range masters {
		s.masters = append(s.masters, &master{node: Node{Name: name, Weight: 1}})
	}
	return s
}

func (s *sentinel) Run(ctx context.Context, publish func(Update)) {
	out := outlet{publish: publish}
	var ears sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		ears.Wait()
		for _, link := range s.links {
			link.close()
		}
	}()
	wide := true
	for n := 1; ; n++ {
		soon := s.look(ctx, wide)
		if ctx.Err() != nil {
			return
		}
		out.put(s.update())
		s.listen(ctx, &ears)
		d := s.opt.Interval
		if soon {
			d /= 5
		}
		nudged := s.wait(ctx, jitter(d))
		if ctx.Err() != nil {
			return
		}
		wide = nudged || soon || n%wideEvery == 0
	}
}

// look asks one sentinel or all and takes what is new into the masters. It tells whether to look again soon.
func (s *sentinel) look(ctx context.Context, wide bool) (soon bool) {
	var heard []*testimony
	if wide = wide || s.current == ""; !wide {
		heard = s.hear(ctx, []string{s.current})
		wide = len(heard) == 0 || !s.content(heard[0])
	}
	if wide {
		heard = s.hear(ctx, s.candidates())
	}
	if ctx.Err() != nil {
		return false
	}
	if len(heard) == 0 {
		s.current = ""
		return false
	}

	chosen := make([]view, len(s.masters))
	early := make([]bool, len(s.masters))
	var wait sync.WaitGroup
	for i, m := range s.masters {
		chosen[i] = choose(heard, i, m.node.Address)
		wait.Go(func() { early[i] = s.take(ctx, m, chosen[i], len(heard)) })
	}
	wait.Wait()
	if wide {
		s.follow(heard, chosen)
	}
	return slices.Contains(early, true)
}

// candidates are all sentinels, the current one first, then in the order of the configuration.
func (s *sentinel) candidates() (list []string) {
	add := func(addresses ...string) {
		for _, a := range addresses {
			if a != "" && !slices.Contains(list, a) {
				list = append(list, a)
			}
		}
	}
	add(s.current)
	add(s.configured...)
	add(s.others...)
	return list
}

// content tells whether a sentinel knows all that is known.
func (s *sentinel) content(t *testimony) bool {
	for i, m := range s.masters {
		if !t.views[i].known || t.views[i].epoch < m.epoch {
			return false
		}
	}
	return true
}

// choose returns what is to be believed of a master: the highest epoch, then what most sentinels tell, then what was believed
// until now, then what comes first.
func choose(heard []*testimony, i int, now string) (best view) {
	votes := make(map[string]int)
	for _, t := range heard {
		switch v := t.views[i]; {
		case !v.known:
		case !best.known || v.epoch > best.epoch:
			best = v
			clear(votes)
			votes[v.address] = 1
		case v.epoch == best.epoch:
			votes[v.address]++
		}
	}
	for _, t := range heard {
		v := t.views[i]
		if !v.known || v.epoch < best.epoch || v.address == best.address {
			continue
		}
		if more := votes[v.address] - votes[best.address]; more > 0 || more == 0 && v.address == now {
			best = v
		}
	}
	return best
}

// take makes what is told of a master what is known, unless it is older or the primary itself denies it. It tells whether to
// look again soon. It touches nothing but the master, for all are taken at the same time.
func (s *sentinel) take(ctx context.Context, m *master, v view, heard int) (soon bool) {
	log := s.opt.Log.With("node", m.node.Name)
	complain := func(msg string, args ...any) {
		if m.complaint != msg {
			m.complaint = msg
			log.Warn(msg, args...)
		}
	}
	if !v.known {
		complain("no sentinel knows the master")
		return false
	}
	if v.epoch < m.epoch && !m.renewed(heard, v.others+1, s.patience) {
		complain("sentinels tell of an older configuration", "primary", v.address, "epoch", v.epoch, "known_epoch", m.epoch)
		return false
	}
	if v.address != m.node.Address {
		// One that does not answer, or has no ROLE for us, is believed to be what the sentinels say.
		if role, err := s.role(ctx, v.address); ctx.Err() != nil {
			return false
		} else if err == nil && role != "master" {
			complain("primary says it is none", "primary", v.address, "role", role, "keeps", m.node.Address)
			return true
		}
		if m.node.Address == "" {
			log.Info("primary found", "address", v.address)
		} else {
			log.Info("primary switched", "from", m.node.Address, "to", v.address)
		}
		m.node.Address = v.address
	}
	replicas := slices.DeleteFunc(slices.Clone(v.replicas), func(r Replica) bool { return r.Address == v.address })
	if !slices.Equal(replicas, m.node.Replicas) {
		log.Info("replicas changed", "from", addresses(m.node.Replicas), "to", addresses(replicas))
		m.node.Replicas = replicas
	}
	m.epoch, m.behindSince, m.complaint = v.epoch, time.Time{}, ""
	return false
}

// renewed tells whether an older epoch is the one that counts now: sentinels that lose their files begin anew at 0.
func (m *master) renewed(heard, all int, patience time.Duration) bool {
	if 2*heard <= all {
		m.behindSince = time.Time{}
		return false
	}
	if m.behindSince.IsZero() {
		m.behindSince = time.Now()
	}
	return time.Since(m.behindSince) >= patience
}

// role asks a node what it is: "master" or "slave".
func (s *sentinel) role(ctx context.Context, address string) (string, error) {
	c, err := connectTo(ctx, &s.opt, address)
	if err != nil {
		return "", err
	}
	defer c.close()
	replies, err := c.ask([]string{"ROLE"})
	if err != nil {
		return "", err
	}
	return replies[0].elem(0).text, replies[0].err()
}

// follow makes the sentinel current whose word was taken most often, and remembers those that have answered, which no other
// one may tell of, and those they have told of.
func (s *sentinel) follow(heard []*testimony, chosen []view) {
	best := -1
	learnt := make(map[string]bool)
	before := s.current
	for _, t := range heard {
		agrees := 0
		for i, v := range t.views {
			if v.known && v.address == chosen[i].address && v.epoch == chosen[i].epoch {
				agrees++
			}
		}
		if agrees > best {
			best, s.current = agrees, t.address
		}
		learnt[t.address] = true
		for _, a := range t.others {
			learnt[a] = true
		}
	}
	if before != s.current {
		s.deaf = false
		s.opt.Log.Info("sentinel followed", "sentinel", s.current, "before", before)
	}
	s.others = slices.Sorted(maps.Keys(learnt))
}

func (s *sentinel) update() Update {
	nodes := make([]Node, len(s.masters))
	for i, m := range s.masters {
		nodes[i] = m.node
	}
	return Update{Nodes: nodes}
}

func addresses(replicas []Replica) []string {
	list := make([]string, len(replicas))
	for i, r := range replicas {
		list[i] = r.Address
	}
	return list
}
