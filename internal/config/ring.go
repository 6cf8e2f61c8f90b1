package config

import (
	"errors"
	"fmt"
	"slices"

	"ringway/hashring"
)

// ErrNoRing is the error of Ring for a pool whose file doesn't say where keys are.
var ErrNoRing = errors.New("the file alone does not place its keys")

// Ring gives the ring of the pool: node i of it is Backends[i], or Sentinel.Masters[i]. A pool that was loaded has one,
// or the error is ErrNoRing and Placement says who places its keys.
func (p *Pool) Ring() (*hashring.Ring, error) {
	if by := p.Placement(); by != "" {
		return nil, fmt.Errorf("pool %s: %w: they are placed %s", quote(p.Name), ErrNoRing, by)
	}
	nodes, opt := p.placement()
	if b := p.built; b != nil && b.opt == opt && slices.Equal(b.nodes, nodes) {
		return b.ring, nil
	}
	return hashring.New(nodes, opt)
}

// builtRing is the ring that loading made to see whether there is one. It is kept, since a large one takes seconds.
type builtRing struct {
	nodes []hashring.Node
	opt   hashring.Options
	ring  *hashring.Ring
}

// Placement is empty for a pool that has a ring. Otherwise it says who places the keys, in words that follow "placed".
func (p *Pool) Placement() string {
	switch {
	case p.Cluster != nil:
		return "by the cluster's slots"
	case len(p.Routes) > 0:
		return "by the pools that its routes lead to"
	}
	for _, b := range p.Backends {
		if b.InDNS() && !b.Single {
			return "on the addresses that " + b.Address + " has"
		}
	}
	return ""
}

// Nodes gives the nodes of the ring. The masters of Sentinel have no address here.
func (p *Pool) Nodes() []Backend {
	if p.Sentinel == nil {
		return p.Backends
	}
	var nodes []Backend
	for _, m := range p.Sentinel.Masters {
		nodes = append(nodes, Backend{Name: m.Name, Weight: m.Weight, Line: m.Line})
	}
	return nodes
}

// RouteOf gives the route of a key, the one with the longest prefix, or nil if none is for it.
func (p *Pool) RouteOf(key []byte) *Route {
	var best *Route
	for i := range p.Routes {
		r := &p.Routes[i]
		if (best == nil || len(r.Prefix) > len(best.Prefix)) && len(key) >= len(r.Prefix) && string(key[:len(r.Prefix)]) == r.Prefix {
			best = r
		}
	}
	return best
}

func (p *Pool) placement() ([]hashring.Node, hashring.Options) {
	from := p.Nodes()
	nodes := make([]hashring.Node, len(from))
	for i, b := range from {
		nodes[i] = hashring.Node{Name: b.Name, Weight: b.Weight}
	}
	return nodes, hashring.Options{
		Distribution: p.Distribution,
		Hash:         p.Hash,
		HashTag:      p.HashTag,
		VirtualNodes: p.VirtualNodes,
		LoadBound:    p.LoadBound,
		RingSize:     p.RingSize,
		MaxRingSize:  p.MaxRingSize,
		TableSize:    p.TableSize,
		UnsignedChar: p.UnsignedChar,
	}
}

// ring makes the ring of a pool in which nothing was found to be wrong, since before.
func (r *reader) ring(p *Pool, line, before int) {
	if len(r.problems) > before || r.ringless || p.Placement() != "" {
		return
	}
	nodes, opt := p.placement()
	ring, err := hashring.New(nodes, opt)
	if err != nil {
		r.fail(line, "%s", err)
		return
	}
	p.built = &builtRing{nodes, opt, ring}
}

// RingOptions says how the ring of the pool is made, for one over a part of its nodes.
func (p *Pool) RingOptions() hashring.Options {
	_, opt := p.placement()
	return opt
}
