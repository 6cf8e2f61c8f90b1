package proxy

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"ringway/internal/config"
	"ringway/pool/discover"
)

// WriteMigration prints what the Ringways of a pool with warm scaling have written on its nodes: which ring is in force, who is there, in which
// mode and for which ring, and how far the keys have been walked. It looks twice, a heartbeat apart: whose record does not change between is silent.
func WriteMigration(w io.Writer, cfg *config.Config, p *config.Pool) error {
	if !warmScaling(p) {
		return fmt.Errorf("pool %s has no migration: warm", p.Name)
	}
	keys, err := openKeyring(cfg, nil)
	if err != nil {
		return err
	}
	opt := keys.asking(p)
	first, err := lookAtRegistry(p, opt)
	if err != nil {
		return err
	}
	time.Sleep(warmTimings.heartbeat + warmTimings.hasty)
	rp, err := lookAtRegistry(p, opt)
	if err != nil {
		return err
	}
	rp.write(w, p.Name, first)
	return nil
}

// registryReport is what is on the nodes.
type registryReport struct {
	force   force
	rings   map[string]*ringSpec
	members map[string]record
	down    map[string]error // nodes
	nodes   int
}

func lookAtRegistry(p *config.Pool, opt discover.Options) (*registryReport, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	rp := &registryReport{rings: map[string]*ringSpec{}, members: map[string]record{}, down: map[string]error{}}
	todo := map[string]string{}
	for _, b := range p.Backends {
		if !b.InDNS() {
			todo[b.Name] = b.Address
		}
	}
	if len(todo) == 0 {
		return nil, errors.New("the file does not say where the nodes of the pool are; give one that lists them as backends")
	}
	for seen := map[string]bool{}; len(todo) > 0; {
		name := slices.Sorted(maps.Keys(todo))[0]
		address := todo[name]
		delete(todo, name)
		if seen[name] {
			continue
		}
		seen[name] = true
		rp.nodes++
		fields, err := readRegistry(ctx, opt, address, p.Name)
		if err != nil {
			rp.down[name] = err
			continue
		}
		for field, value := range fields {
			id, isMember := strings.CutPrefix(field, "m:")
			digest, isRing := strings.CutPrefix(field, "r:")
			switch {
			case field == "force":
				var f force
				if json.Unmarshal([]byte(value), &f) == nil && f.N > rp.force.N {
					rp.force = f
				}
			case isMember:
				var rec record
				if json.Unmarshal([]byte(value), &rec) == nil && rec.Seq >= rp.members[id].Seq {
					rp.members[id] = rec
				}
			case isRing:
				sp := new(ringSpec)
				if json.Unmarshal([]byte(value), sp) == nil {
					rp.rings[digest] = sp
				}
			}
		}
		for _, d := range []string{rp.force.Mode.y, rp.force.Mode.z} {
			if sp := rp.rings[d]; sp != nil {
				for _, n := range sp.Nodes {
					if !seen[n.Name] && n.Address != "" {
						todo[n.Name] = n.Address
					}
				}
			}
		}
	}
	return rp, nil
}

func readRegistry(ctx context.Context, opt discover.Options, address, pool string) (map[string]string, error) {
	c, err := discover.Connect(ctx, opt, address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	replies, err := c.Exchange([]string{"HGETALL", registryKey(pool)})
	if err != nil {
		return nil, err
	}
	if replies[0][0] == '-' {
		return nil, errors.New(trimmed(replies[0]))
	}
	fields := map[string]string{}
	flat := elements(replies[0])
	for i := 0; i+1 < len(flat); i += 2 {
		fields[string(text(flat[i]))] = string(text(flat[i+1]))
	}
	return fields, nil
}

// ring names a ring for people: its digest, and its nodes if they are known.
func (rp *registryReport) ring(digest string) string {
	sp := rp.rings[digest]
	if sp == nil {
		return digest
	}
	var names []string
	for _, n := range sp.Nodes {
		names = append(names, n.Name)
	}
	if len(names) > 8 {
		names = append(names[:8], "..")
	}
	return fmt.Sprintf("%s (%d nodes: %s)", digest, len(sp.Nodes), strings.Join(names, ", "))
}

func (rp *registryReport) write(w io.Writer, pool string, before *registryReport) {
	fmt.Fprintf(w, "pool %s\n", pool)
	switch f := rp.force; f.Mode.kind {
	case warmNone:
		fmt.Fprintln(w, "in force   nothing is known: no Ringway has served the pool yet")
	case warmPlain:
		fmt.Fprintf(w, "in force   ring %s\n", rp.ring(f.Mode.y))
	default:
		since := time.UnixMilli(f.Since)
		fmt.Fprintf(w, "in force   a change, since %s (%v)\n", since.Format(time.DateTime), time.Since(since).Round(time.Second))
		fmt.Fprintf(w, "  from     ring %s\n  to       ring %s\n", rp.ring(f.Mode.y), rp.ring(f.Mode.z))
	}
	for _, name := range slices.Sorted(maps.Keys(rp.down)) {
		fmt.Fprintf(w, "node %s does not answer: %v\n", name, rp.down[name])
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "Ringway\tmode\tasks for\tis")
	walked, walk, done := map[string]int64{}, map[string]int64{}, map[string]bool{}
	for _, id := range slices.Sorted(maps.Keys(rp.members)) {
		m := rp.members[id]
		is := "alive"
		if m.Seq == before.members[id].Seq {
			is = "silent"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", id, m.Mode.kind, cmp.Or(m.Asks, "-"), is)
		for name, n := range m.Walk {
			if n[1] > walk[name] || n[0] > walked[name] {
				walked[name], walk[name] = n[0], n[1]
			}
		}
		for _, name := range m.Walked {
			done[name] = true
		}
	}
	tw.Flush()
	if rp.force.Mode.kind != warmWarm {
		return
	}
	if sp := rp.rings[rp.force.Mode.y]; sp != nil {
		for _, n := range sp.Nodes {
			switch {
			case done[n.Name]:
				fmt.Fprintf(w, "node %s has been walked: nothing is left to move\n", n.Name)
			case walk[n.Name] > 0:
				fmt.Fprintf(w, "node %s: %d%% of %d keys walked\n", n.Name, min(100*walked[n.Name]/walk[n.Name], 100), walk[n.Name])
			}
		}
	}
}
