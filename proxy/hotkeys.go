package proxy

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"ringway/hotkey"
	"ringway/internal/loop"
	"ringway/internal/metrics"
	"ringway/resp"
)

// HotKey is what is told of a key by HOTKEYS, INFO hotkeys and /hotkeys. The figures are of the last second or so, and by a sample, but for
// those that say otherwise.
type HotKey struct {
	Key    string  `json:"key"`
	Node   string  `json:"node"`  // that owns it
	Share  float64 `json:"share"` // of the pool's requests with one key
	Reads  int64   `json:"reads_per_second"`
	Writes int64   `json:"writes_per_second"`
	Bytes  int64   `json:"bytes_per_second"` // of replies
	Tier   string  `json:"tier"`             // near, copies, collapse, or none: it is not hot
	Saved  uint64  `json:"reads_saved"`      // since it became hot, exactly: reads that were answered with the reply to another's
	Near   uint64  `json:"reads_near"`       // likewise: with a reply that is kept
	Copied uint64  `json:"reads_copies"`     // likewise: by a copy on one of the nodes
	Copies int     `json:"copied_to"`        // how many nodes have one
	Pushes uint64  `json:"invalidations"`    // likewise: times that the node has told of a change
	Asked  uint64  `json:"validations"`      // likewise: times that it was asked to
	Why    string  `json:"why,omitempty"`    // why nothing is kept
	Since  int64   `json:"hot_seconds"`      // for how long it has been hot
}

// PoolHotKeys are those of a pool: the ones that are hot, and some of those next to it.
type PoolHotKeys struct {
	Pool string   `json:"pool"`
	Mode string   `json:"mode"`
	Keys []HotKey `json:"keys"`
}

// mostTold is how many keys are told of, unless more are hot.
const mostTold = 16

// heatReport gathers what the loops have counted of hot keys.
type heatReport struct {
	index  int // of the pool
	saved  map[uint64]uint64
	near   map[uint64]uint64
	copied map[uint64]uint64
}

// loop gathers what a loop knows. It runs on that loop.
func (r *heatReport) loop(w *worker) {
	if r.saved == nil {
		r.saved, r.near, r.copied = map[uint64]uint64{}, map[uint64]uint64{}, map[uint64]uint64{}
	}
	if ps := w.poolAt(r.index); ps != nil && ps.hot != nil {
		hot := ps.hot
		for i, k := range hot.keys {
			r.saved[hot.set.Keys[i].Hash] += k.saved
			r.near[hot.set.Keys[i].Hash] += k.near
			r.copied[hot.set.Keys[i].Hash] += k.copied
		}
	}
}

// keys makes the list, the largest share first.
func (r *heatReport) keys(t *topology, tally *hotkey.Tally, now int64) []HotKey {
	list := []HotKey{}
	for _, h := range tally.Top(mostTold) {
		k := HotKey{
			Key: string(h.Key), Tier: "none", Share: math.Round(h.Share*1e4) / 1e4,
			Reads: int64(h.Reads + 0.5), Writes: int64(h.Writes + 0.5), Bytes: int64(h.Bytes + 0.5),
		}
		if node := t.find(h.Key); node != nowhere {
			k.Node = t.name(node)
		}
		if h.Hot {
			k.Tier, k.Saved, k.Near, k.Since = "collapse", r.saved[h.Hash], r.near[h.Hash], int64(time.Duration(now-h.Since)/time.Second)
			k.Copied = r.copied[h.Hash]
			k.tell(h.Entry, now)
		}
		list = append(list, k)
	}
	return list
}

// tell adds what is kept of the key.
func (k *HotKey) tell(e *hotkey.Entry, now int64) {
	k.Pushes, k.Asked = e.Pushes.Load(), e.Watches.Load()
	watched := e.Watched(now) != nil
	if v := e.Version(); v != nil && watched && e.Stands(v.Watch) {
		for i := range v.Using() {
			if v.Ready(i) {
				k.Copies++
			}
		}
	}
	if k.Copies > 0 {
		k.Tier = "copies"
	} else if watched && k.Near > 0 {
		k.Tier = "near"
	} else if why := e.Why.Load(); why != nil {
		k.Why = *why
	}
}

// HotKeys tells of the hot keys of each pool.
func (srv *Server) HotKeys() []PoolHotKeys {
	list := []PoolHotKeys{}
	for _, sp := range srv.open() {
		r := &heatReport{index: sp.index}
		var t *topology
		srv.onLoops(func(w *worker) {
			r.loop(w)
			if ps := w.poolAt(sp.index); ps != nil {
				t = ps.topo
			}
		})
		if t != nil {
			list = append(list, PoolHotKeys{Pool: sp.cfg.Name, Mode: sp.cfg.HotKeys.Mode, Keys: r.keys(t, sp.tally, loop.Clock())})
		}
	}
	return list
}

// hotKeys is HOTKEYS and HOTKEYS GET.
func (s *Session) hotKeys(a *resp.Args) {
	if a.Len() > 2 {
		s.refuse(metrics.BadCommand, errSyntax)
		return
	}
	r := &heatReport{index: s.pool.shared.index}
	s.askLoops(r.loop, func() []byte {
		keys := r.keys(s.pool.topo, s.pool.shared.tally, s.worker.loop.Now())
		b := resp.AppendArray(nil, len(keys))
		for i := range keys {
			b = keys[i].append(b, s.resp3)
		}
		return b
	})
}

func (k *HotKey) append(b []byte, resp3 bool) []byte {
	text := func(name, value string) { b = resp.AppendBulkString(resp.AppendBulkString(b, name), value) }
	number := func(name string, n int64) { b = resp.AppendInt(resp.AppendBulkString(b, name), n) }
	b = resp.AppendMap(b, resp3, 15)
	text("key", k.Key)
	text("node", k.Node)
	b = resp.AppendDouble(resp.AppendBulkString(b, "share"), resp3, k.Share)
	number("reads-per-second", k.Reads)
	number("writes-per-second", k.Writes)
	number("bytes-per-second", k.Bytes)
	text("tier", k.Tier)
	text("why", k.Why)
	number("reads-saved", int64(k.Saved))
	number("reads-near", int64(k.Near))
	number("reads-copies", int64(k.Copied))
	number("copied-to", int64(k.Copies))
	number("validations", int64(k.Asked))
	number("invalidations", int64(k.Pushes))
	number("hot-seconds", k.Since)
	return b
}

// hotkeys is the section of INFO: what is hot now.
func (r *infoReport) hotkeys() {
	sp := r.session.pool.shared
	var saved, near, copied uint64
	for i := range r.shards {
		saved += r.shards[i].Collapsed
		near += r.shards[i].Near
		copied += r.shards[i].CopyReads
	}
	r.add("hot_keys_mode", sp.cfg.HotKeys.Mode)
	r.add("hot_keys", len(sp.tally.Set().Keys))
	r.add("hot_key_promotions", sp.tally.Promotions())
	r.add("hot_key_demotions", sp.tally.Demotions())
	r.add("collapsed_reads", saved)
	r.add("near_reads", near)
	r.add("copy_reads", copied)
	n := 0
	for _, k := range r.heat.keys(r.session.pool.topo, sp.tally, r.session.worker.loop.Now()) {
		if k.Tier == "none" {
			continue
		}
		r.add("hotkey"+strconv.Itoa(n), fmt.Sprintf("node=%s,share=%g,reads=%d,writes=%d,bytes=%d,tier=%s,saved=%d,near=%d,copies=%d,key=%s",
			k.Node, k.Share, k.Reads, k.Writes, k.Bytes, k.Tier, k.Saved, k.Near, k.Copied, strconv.Quote(k.Key)))
		n++
	}
}
