package status

import (
	"fmt"
	"strings"
)

// Verdict says in a sentence how a pool is, for who has a minute.
type Verdict struct {
	Level string `json:"level"` // ok, warn or bad
	Text  string `json:"text"`
	Node  string `json:"node,omitempty"` // that it is about
}

// A node is called busy from so many times its part of the load on, in pools that do so many requests a second at least.
const (
	busyFactor = 1.5
	busyRate   = 20
)

// judge looks at what is worst first: nodes that are down, errors, a node that has too much to do.
func judge(p *Pool) Verdict {
	var down, ejected []string
	for _, n := range p.Nodes {
		switch n.State {
		case Down:
			down = append(down, n.Name)
		case Ejected:
			ejected = append(ejected, n.Name)
		}
	}
	switch {
	case len(down) == 1:
		return Verdict{"bad", fmt.Sprintf("%s is down: requests for its keys get errors.", down[0]), down[0]}
	case len(down) > 1:
		return Verdict{"bad", fmt.Sprintf("%d nodes are down: %s.", len(down), strings.Join(down, ", ")), down[0]}
	case p.Requests > 0 && p.Errors > p.Requests/100:
		return Verdict{Level: "bad", Text: fmt.Sprintf("%.0f %% of the requests fail%s.", 100*p.Errors/max(p.Requests, p.Errors), mostOften(p.ErrorsByKind))}
	case len(ejected) > 0:
		return Verdict{"warn", fmt.Sprintf("Off the ring, and their keys with the others: %s.", strings.Join(ejected, ", ")), ejected[0]}
	}
	if v, busy := judgeLoad(p); busy {
		return v
	}
	return Verdict{Level: "ok", Text: calm(p)}
}

func mostOften(kinds []Count) string {
	if len(kinds) == 0 {
		return ""
	}
	return ", most often with " + kinds[0].What
}

// judgeLoad finds the node that does most beside its part of the keys, and what makes it so.
func judgeLoad(p *Pool) (v Verdict, busy bool) {
	var worst *Node
	excess := 0.0
	for i := range p.Nodes {
		n := &p.Nodes[i]
		if n.Primary == "" && n.Keys > 0 && n.Load-n.Keys > excess {
			worst, excess = n, n.Load-n.Keys
		}
	}
	if worst == nil || p.Requests < busyRate || worst.Load < busyFactor*worst.Keys {
		return v, false
	}
	text := fmt.Sprintf("%s gets %.0f %% of the load with %.0f %% of the keys", worst.Name, 100*worst.Load, 100*worst.Keys)
	for _, k := range p.HotKeys {
		if k.Node == worst.Name && k.Share > excess/4 {
			return Verdict{"warn", fmt.Sprintf("%s: the key %q alone is %.0f %% of the requests%s.", text, brief(k.Key), 100*k.Share, treatment(&k)), worst.Name}, true
		}
	}
	if p.HotMode == "off" {
		return Verdict{"warn", text + ". Which of them are asked for most nobody knows: hot_keys is off.", worst.Name}, true
	}
	return Verdict{"warn", text + ". No single key stands out: many keys of its part are asked for often.", worst.Name}, true
}

// treatment is what is done about a hot key.
func treatment(k *HotKey) string {
	switch {
	case k.Tier == "none" || k.Tier == "":
		return ", and nothing is done about it"
	case k.Why != "":
		return ", and cannot be spread (" + k.Why + ")"
	}
	return ""
}

func calm(p *Pool) string {
	if p.Requests == 0 {
		return "No requests at the moment."
	}
	for _, k := range p.HotKeys {
		switch k.Tier {
		case "copies":
			return fmt.Sprintf("All is well. The hot key %q is spread over %d nodes.", brief(k.Key), k.Copies)
		case "near":
			return fmt.Sprintf("All is well. Reads of the hot key %q are answered here.", brief(k.Key))
		case "collapse":
			return fmt.Sprintf("All is well. Reads of the hot key %q share requests.", brief(k.Key))
		}
	}
	return "All is well: no node has much more to do than its part of the keys."
}

func brief(key string) string {
	if runes := []rune(key); len(runes) > 40 {
		return string(runes[:40]) + "..."
	}
	return key
}
