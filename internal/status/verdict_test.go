package status

import (
	"strings"
	"testing"
)

func TestVerdictSaysWhatIsWorst(t *testing.T) {
	nodes := func(change func(n []Node)) []Node {
		n := []Node{{Name: "a", State: Up, Keys: 0.25, Load: 0.25}, {Name: "b", State: Up, Keys: 0.25, Load: 0.25}, {Name: "c", State: Up, Keys: 0.5, Load: 0.5}}
		change(n)
		return n
	}
	busy := nodes(func(n []Node) { n[1].Load, n[2].Load = 0.6, 0.15 })
	hot := func(tier, why string) []HotKey {
		return []HotKey{{Key: "k", Node: "b", Share: 0.5, Tier: tier, Why: why}}
	}
	for _, c := range []struct {
		name, level, text, node string
		pool                    Pool
	}{
		{"nothing to do", "ok", "No requests", "", Pool{Nodes: nodes(func([]Node) {})}},
		{"even", "ok", "All is well: no node", "", Pool{Requests: 1000, Nodes: nodes(func([]Node) {})}},
		{"one is down", "bad", "b is down", "b", Pool{Requests: 1000, Nodes: nodes(func(n []Node) { n[1].State = Down })}},
		{"two are down", "bad", "2 nodes are down: a, b.", "a", Pool{Nodes: nodes(func(n []Node) { n[0].State, n[1].State = Down, Down })}},
		{"down before busy", "bad", "a is down", "a", Pool{Requests: 1000, Nodes: nodes(func(n []Node) { n[0].State, n[1].Load = Down, 0.9 })}},
		{"errors", "bad", "5 % of the requests fail, most often with shed.", "", Pool{Requests: 1000, Errors: 50, ErrorsByKind: []Count{{"shed", 9}}, Nodes: nodes(func([]Node) {})}},
		{"ejected", "warn", "Off the ring", "c", Pool{Requests: 1000, Nodes: nodes(func(n []Node) { n[2].State = Ejected })}},
		{"busy for one key", "warn", `b gets 60 % of the load with 25 % of the keys: the key "k" alone is 50 % of the requests.`, "b", Pool{Requests: 1000, Nodes: busy, HotKeys: hot("collapse", "")}},
		{"busy for a key that can't be spread", "warn", "cannot be spread (too large)", "b", Pool{Requests: 1000, Nodes: busy, HotKeys: hot("collapse", "too large")}},
		{"busy for many keys", "warn", "No single key stands out", "b", Pool{Requests: 1000, Nodes: busy}},
		{"busy and nobody looks", "warn", "hot_keys is off", "b", Pool{Requests: 1000, Nodes: busy, HotMode: "off"}},
		{"busy with next to nothing", "ok", "All is well", "", Pool{Requests: 5, Nodes: busy}},
		{"much weight is no excess", "ok", "All is well", "", Pool{Requests: 1000, Nodes: nodes(func(n []Node) { n[2].Load, n[0].Load, n[1].Load = 0.7, 0.15, 0.15 })}},
		{"spread", "ok", `hot key "k" is spread over 3 nodes`, "", Pool{Requests: 1000, Nodes: nodes(func([]Node) {}), HotKeys: []HotKey{{Key: "k", Tier: "copies", Copies: 3}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if v := judge(&c.pool); v.Level != c.level || !strings.Contains(v.Text, c.text) || v.Node != c.node {
				t.Errorf("%+v, want %s, %q about %q", v, c.level, c.text, c.node)
			}
		})
	}
}
