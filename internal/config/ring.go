package config

import (
	"slices"

	"ringway/hashring"
)

// Ring gives the ring of the pool: node i of it is Backends[i]. A pool that was loaded has one.
func (p *Pool) Ring() (*hashring.Ring, error) {
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

func (p *Pool) placement() ([]hashring.Node, hashring.Options) {
	nodes := make([]hashring.Node, len(p.Backends))
	for i, b := range p.Backends {
		nodes[i] = hashring.Node{Name: b.Name, Weight: b.Weight}
	}
	return nodes, hashring.Options{
		Distribution: p.Distribution,
		Hash:         p.Hash,
		HashTag:      p.HashTag,
		VirtualNodes: p.VirtualNodes,
		LoadBound:    p.LoadBound,
		UnsignedChar: p.UnsignedChar,
	}
}

// ring makes the ring of a pool in which nothing was found to be wrong, since before.
func (r *reader) ring(p *Pool, line, before int) {
	if len(r.problems) > before || r.ringless {
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
