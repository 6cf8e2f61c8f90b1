package discover

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
)

// testimony is what one sentinel tells.
type testimony struct {
	address string
	id      string   // of the sentinel, which may be known by several addresses
	views   []view   // of the masters, in their order
	others  []string // addresses of other sentinels
}

// view is what one sentinel tells of one master.
type view struct {
	known    bool
	address  string // of the primary
	epoch    int    // counts the configurations of this master: each failover makes a newer one
	others   int    // how many other sentinels watch it
	replicas []Replica
}

// hear asks sentinels at the same time and returns what they tell, in their order, each sentinel once. Those that do not
// answer are left out; it is logged when that is all of them.
func (s *sentinel) hear(ctx context.Context, addresses []string) (heard []*testimony) {
	all := make([]*testimony, len(addresses))
	errs := make([]error, len(addresses))
	links := make([]*client, len(addresses))
	var wait sync.WaitGroup
	for i, a := range addresses {
		links[i] = s.links[a]
		wait.Go(func() { all[i], links[i], errs[i] = s.ask(ctx, a, links[i]) })
	}
	wait.Wait()
	ids := make(map[string]bool)
	for i, a := range addresses {
		if delete(s.links, a); links[i] != nil {
			s.links[a] = links[i]
		}
		if t := all[i]; t != nil && !ids[t.id] {
			ids[t.id] = true
			heard = append(heard, t)
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	if len(addresses) > 1 || len(s.candidates()) == 1 {
		s.forget(addresses)
		s.reach(len(heard) > 0, errors.Join(errs...))
	}
	return heard
}

// forget closes the links to sentinels that nobody tells of any more.
func (s *sentinel) forget(addresses []string) {
	for a, link := range s.links {
		if !slices.Contains(addresses, a) {
			link.close()
			delete(s.links, a)
		}
	}
}

// reach logs that the last sentinel is lost, and that one is back.
func (s *sentinel) reach(ok bool, err error) {
	switch {
	case !ok && !s.lost:
		s.opt.Log.Warn("no sentinel answers", "error", err)
	case ok && s.lost:
		s.opt.Log.Info("sentinels answer again")
	}
	s.lost = !ok
}

// ask asks one sentinel for everything, over link if that is of any use still. It returns the link for the next time.
func (s *sentinel) ask(ctx context.Context, address string, link *client) (*testimony, *client, error) {
	if link != nil {
		t, err := s.askOver(link)
		if err == nil {
			return t, link, nil
		}
		link.close()
		if timedOut(err) {
			return nil, nil, err
		}
	}
	link, err := connect(ctx, &s.opt, address, s.username, s.password)
	if err != nil {
		return nil, nil, err
	}
	t, err := s.askOver(link)
	if err != nil {
		link.close()
		return nil, nil, err
	}
	return t, link, nil
}

// askOver sends all questions in one piece, so that the answers are of one moment.
func (s *sentinel) askOver(link *client) (*testimony, error) {
	questions := [][]string{{"SENTINEL", "MYID"}}
	const each = 4
	for _, m := range s.masters {
		questions = append(questions,
			[]string{"SENTINEL", "MASTER", m.node.Name},
			[]string{"SENTINEL", "GET-MASTER-ADDR-BY-NAME", m.node.Name},
			[]string{"SENTINEL", "REPLICAS", m.node.Name},
			[]string{"SENTINEL", "SENTINELS", m.node.Name},
		)
	}
	replies, err := link.ask(questions...)
	if err != nil {
		return nil, err
	}
	t := &testimony{address: link.address, id: link.address}
	if replies[0].err() == nil && replies[0].text != "" { // Redis 6.2 on
		t.id = replies[0].text
	}
	answered := len(s.masters) == 0
	for i := range s.masters {
		r := replies[1+each*i:]
		for _, v := range r[:each] {
			if e := v.err(); e == nil || strings.HasPrefix(e.Error(), "ERR No such master") {
				answered = true
			} else {
				err = e
			}
		}
		t.views = append(t.views, readView(r[0], r[1], r[2]))
		for _, other := range r[3].elems {
			if a := place(other.fields()); a != "" && !slices.Contains(t.others, a) {
				t.others = append(t.others, a)
			}
		}
	}
	if !answered { // it wants a password, or is no sentinel
		return nil, err
	}
	return t, nil
}

// readView reads the replies to SENTINEL MASTER, GET-MASTER-ADDR-BY-NAME and REPLICAS. The second one tells of a promotion while the first
// still has the old address; the epoch is the new one by then.
func readView(about, address, replicas value) (v view) {
	if len(about.elems) == 0 || len(address.elems) != 2 {
		return view{}
	}
	fields := about.fields()
	v.known = true
	v.address = net.JoinHostPort(address.elem(0).text, address.elem(1).text)
	v.epoch = fields["config-epoch"].number()
	v.others = fields["num-other-sentinels"].number()
	for _, r := range replicas.elems {
		if fields := r.fields(); inGoodHealth(fields) {
			v.replicas = append(v.replicas, Replica{Address: place(fields)})
		}
	}
	sortReplicas(v.replicas)
	v.replicas = slices.Compact(v.replicas)
	return v
}

func inGoodHealth(replica map[string]value) bool {
	if place(replica) == "" || replica["master-link-status"].text != "ok" {
		return false
	}
	return !slices.ContainsFunc(strings.Split(replica["flags"].text, ","), func(flag string) bool {
		return flag == "s_down" || flag == "o_down" || flag == "disconnected"
	})
}

// place returns the address of a replica or sentinel, "" if it has none. A host name is passed on as it is.
func place(fields map[string]value) string {
	host, port := fields["ip"].text, fields["port"]
	if host == "" || port.number() == 0 {
		return ""
	}
	return net.JoinHostPort(host, port.text)
}
