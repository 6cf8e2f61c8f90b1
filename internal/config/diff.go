package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ringway/hashring"
)

// Diff is what a configuration changes in the one before it. Passwords are not in it, only that they are others.
type Diff struct {
	Old     string     `json:"old"` // the files
	New     string     `json:"new"`
	Changes []Change   `json:"changes,omitempty"`
	Pools   []PoolDiff `json:"pools,omitempty"` // those with a change, in the order of the new file, then those removed
	Restart []string   `json:"needs_restart"`   // see NeedsRestart; empty: a reload takes all of it
}

// Change is an option of another value.
type Change struct {
	Option string `json:"option"`
	Old    string `json:"old,omitempty"`
	New    string `json:"new,omitempty"`
	Secret bool   `json:"secret,omitempty"` // neither Old nor New is told
}

func (c Change) String() string {
	if c.Secret {
		return c.Option + ": changed"
	}
	return c.Option + ": " + c.Old + " -> " + c.New
}

// PoolDiff is what changes in one pool.
type PoolDiff struct {
	Name    string       `json:"name"`
	Kind    string       `json:"kind"` // added, removed or changed
	Listen  string       `json:"listen,omitempty"`
	Changes []Change     `json:"changes,omitempty"`
	Nodes   []NodeChange `json:"nodes,omitempty"`
	Moves   *Moves       `json:"moves,omitempty"` // nil: nothing that places keys has changed, or it can't be told
	Notes   []string     `json:"notes,omitempty"` // what it means, a sentence each
}

// NodeChange is a node that comes, goes or is another than before.
type NodeChange struct {
	Name string `json:"name"`
	Kind string `json:"kind"` // added, removed, renamed, or the option that has changed: address, weight, ...
	Old  string `json:"old,omitempty"`
	New  string `json:"new,omitempty"`
}

func (n NodeChange) String() string {
	switch n.Kind {
	case "added":
		return fmt.Sprintf("node %s: added, %s", n.Name, n.New)
	case "removed":
		return fmt.Sprintf("node %s: removed, %s", n.Name, n.Old)
	case "renamed":
		return fmt.Sprintf("node %s: was %s, at the same address", n.Name, n.Old)
	}
	return fmt.Sprintf("node %s: %s %s -> %s", n.Name, n.Kind, n.Old, n.New)
}

// Moves says which share of the keys has another node than before.
type Moves struct {
	Exact bool    `json:"exact"` // otherwise by a sample of keys
	List  []Move  `json:"list"`
	Total float64 `json:"total"`
	Ideal float64 `json:"ideal"` // the least that any placement had to move: the sum of what nodes gain in fair share
}

// Move is the share of all keys that goes from one node to another.
type Move struct {
	From  string  `json:"from"`
	To    string  `json:"to"`
	Share float64 `json:"share"`
}

// Compare says what changes when next takes the place of old. Both were loaded.
func Compare(old, next *Config) *Diff {
	d := &Diff{
		Old: old.File, New: next.File,
		Changes: changes(topSettings(old), topSettings(next)),
		Restart: NeedsRestart(old, next),
	}
	for i := range next.Pools {
		p := &next.Pools[i]
		before := old.pool(p.Name)
		if before == nil {
			d.Pools = append(d.Pools, PoolDiff{Name: p.Name, Kind: "added", Listen: p.Listen})
		} else if pd := comparePools(before, p); len(pd.Changes)+len(pd.Nodes) > 0 {
			d.Pools = append(d.Pools, pd)
		}
	}
	for _, p := range old.Pools {
		if next.pool(p.Name) == nil {
			d.Pools = append(d.Pools, PoolDiff{Name: p.Name, Kind: "removed", Listen: p.Listen})
		}
	}
	return d
}

// Empty is true when nothing changes.
func (d *Diff) Empty() bool { return len(d.Changes)+len(d.Pools) == 0 }

// restartOptions are those of the process that it reads once, and restartListenOptions those of a socket that listens
// already. This is the one place that says so.
var (
	restartOptions       = []string{"threads", "admin.listen", "admin.pprof", "stats_compat.listen", "log.format", "tracing.endpoint", "tracing.protocol", "tracing.sample", "tracing.keys"}
	restartListenOptions = []string{"listen_mode", "backlog", "reuseport"}
)

// NeedsRestart lists the options that next changes and that a running process can't take, as threads or as
// pool "cache": backlog. It never is nil.
func NeedsRestart(old, next *Config) []string {
	options := []string{}
	for _, c := range changes(topSettings(old), topSettings(next)) {
		if slices.Contains(restartOptions, c.Option) {
			options = append(options, c.Option)
		}
	}
	if (old.Admin.TLS == nil) != (next.Admin.TLS == nil) {
		options = append(options, "admin.tls")
	}
	for i := range next.Pools {
		p := &next.Pools[i]
		before := old.pool(p.Name)
		if before == nil || before.Listen != p.Listen || p.Listen == "" {
			continue
		}
		for _, name := range restartListenOptions {
			if o := findOption(name); o.text(before) != o.text(p) {
				options = append(options, fmt.Sprintf("pool %s: %s", quote(p.Name), name))
			}
		}
	}
	return options
}

func (c *Config) pool(name string) *Pool {
	for i := range c.Pools {
		if c.Pools[i].Name == name {
			return &c.Pools[i]
		}
	}
	return nil
}

func topSettings(c *Config) []setting {
	secure := ""
	if c.Admin.TLS != nil {
		secure = serverTLSKind.text(c.Admin.TLS)
	}
	stats := ""
	if c.Stats != nil {
		stats = c.Stats.Listen
	}
	top := []setting{
		{name: "threads", value: strconv.Itoa(c.Threads)},
		{name: "max_memory", value: printSize(c.MaxMemory)},
		{name: "admin.listen", value: c.Admin.Listen},
		{name: "admin.tls", value: secure},
		{name: "admin.pprof", value: strconv.FormatBool(c.Admin.Pprof)},
		{name: "stats_compat.listen", value: stats},
		{name: "log.level", value: c.Log.Level},
		{name: "log.format", value: c.Log.Format},
		{name: "reload.watch_file", value: strconv.FormatBool(c.Reload.Watch)},
	}
	for _, o := range startOptions {
		top = append(top, setting{name: "start." + o.name, value: o.text(&c.Start)})
	}
	for _, o := range shutdownOptions {
		top = append(top, setting{name: "shutdown." + o.name, value: o.text(&c.Shutdown)})
	}
	for _, o := range tracingOptions {
		top = append(top, setting{name: "tracing." + o.name, value: o.text(&c.Tracing)})
	}
	return top
}

// changes compares two lists of the same names.
func changes(old, next []setting) []Change {
	var all []Change
	for i, s := range next {
		switch {
		case s.value == old[i].value:
		case s.secret:
			all = append(all, Change{Option: s.name, Secret: true})
		default:
			all = append(all, Change{Option: s.name, Old: orNone(old[i].value), New: orNone(s.value)})
		}
	}
	return all
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func comparePools(old, p *Pool) PoolDiff {
	d := PoolDiff{Name: p.Name, Kind: "changed"}
	for _, o := range poolOptions {
		if o.name == "backends" || o.name == "routes" || o.name == "users" { // below, one by one
			continue
		}
		var was, is []setting
		if o.parts != nil {
			was, is = o.parts(old), o.parts(p)
		}
		if len(was) == 0 || len(is) == 0 {
			was, is = []setting{{o.name, o.text(old), o.secret}}, []setting{{o.name, o.text(p), o.secret}}
		}
		for _, c := range changes(was, is) {
			if c.Option != "sentinel.masters" {
				d.Changes = append(d.Changes, c)
			}
		}
	}
	d.Changes = append(d.Changes, compareUsers(old.Users, p.Users)...)
	routes := compareRoutes(old.Routes, p.Routes)
	d.Changes = append(d.Changes, routes...)
	renamed := d.compareNodes(old.Nodes(), p.Nodes())
	d.compareOrder(old, p)
	if len(routes) > 0 {
		d.note("What a prefix led to stays where it is: keys that lead to another pool now are not found there.")
	}
	d.compareKeys(old, p, renamed)
	return d
}

func (d *PoolDiff) note(format string, args ...any) {
	d.Notes = append(d.Notes, fmt.Sprintf(format, args...))
}

// compareUsers shows what a user may do, and of passwords only that they are others.
func compareUsers(old, next []User) (all []Change) {
	find := func(users []User, name string) (shown, whole string) {
		for i := range users {
			if users[i].Name != name {
				continue
			}
			for _, s := range settings("", userOptions, &users[i]) {
				whole += s.name + s.value + "\n"
			}
			return userKind.text(&users[i]), whole
		}
		return "none", ""
	}
	seen := map[string]bool{}
	for _, u := range slices.Concat(next, old) {
		if seen[u.Name] {
			continue
		}
		seen[u.Name] = true
		was, wasWhole := find(old, u.Name)
		is, isWhole := find(next, u.Name)
		switch {
		case was != is:
			all = append(all, Change{Option: "user " + quote(u.Name), Old: was, New: is})
		case wasWhole != isWhole:
			all = append(all, Change{Option: "user " + quote(u.Name), Secret: true})
		}
	}
	return all
}

func compareRoutes(old, next []Route) []Change {
	text := func(routes []Route, prefix string) string {
		for _, r := range routes {
			if r.Prefix == prefix {
				return "pool " + r.Pool + when(r.StripPrefix, " without the prefix")
			}
		}
		return ""
	}
	var was, is []setting
	seen := map[string]bool{}
	for _, r := range slices.Concat(next, old) {
		if !seen[r.Prefix] {
			seen[r.Prefix] = true
			name := "route " + quote(r.Prefix)
			was, is = append(was, setting{name: name, value: text(old, r.Prefix)}), append(is, setting{name: name, value: text(next, r.Prefix)})
		}
	}
	return changes(was, is)
}

// compareNodes lists what changes, and gives the old name of each node that has another one at the same address: its
// keys are there already.
func (d *PoolDiff) compareNodes(old, next []Backend) (renamed map[string]string) {
	named := func(nodes []Backend) map[string]*Backend {
		m := map[string]*Backend{}
		for i := range nodes {
			m[nodes[i].Name] = &nodes[i]
		}
		return m
	}
	was, is := named(old), named(next)
	gone := map[string]string{}
	for _, b := range old {
		if is[b.Name] == nil && b.Address != "" {
			gone[sameAddress(b.Address)] = b.Name
		}
	}
	renamed = map[string]string{}
	for _, b := range next {
		before := was[b.Name]
		if before == nil && b.Address != "" {
			if name, ok := gone[sameAddress(b.Address)]; ok {
				renamed[b.Name], before = name, was[name]
				d.Nodes = append(d.Nodes, NodeChange{Name: b.Name, Kind: "renamed", Old: name})
			}
		}
		if before == nil {
			d.Nodes = append(d.Nodes, NodeChange{Name: b.Name, Kind: "added", New: about(b)})
			continue
		}
		for i := range backendOptions {
			o := &backendOptions[i]
			was, is := o.text(before), o.text(&b)
			if was == is || o.name == "name" || o.name == "address" && sameAddress(was) == sameAddress(is) {
				continue
			}
			if o.secret {
				was, is = when(was != "", hidden), when(is != "", hidden)
			}
			if o.name == "address" {
				was, is = cmp.Or(was, "as sentinel says"), cmp.Or(is, "as sentinel says")
			}
			d.Nodes = append(d.Nodes, NodeChange{b.Name, o.name, orNone(was), orNone(is)})
			if o.name == "address" {
				d.note("The keys of node %s are expected at its new address; nothing brings them there.", b.Name)
			}
		}
	}
	for _, b := range old {
		taken := false
		for _, name := range renamed {
			taken = taken || name == b.Name
		}
		if is[b.Name] == nil && !taken {
			d.Nodes = append(d.Nodes, NodeChange{Name: b.Name, Kind: "removed", Old: about(b)})
		}
	}
	return renamed
}

// compareOrder tells of another order of the same nodes, where that places the keys.
func (d *PoolDiff) compareOrder(old, p *Pool) {
	if old.Distribution != "list" || p.Distribution != "list" {
		return
	}
	was, is := nodeNames(old), nodeNames(p)
	if !slices.Equal(was, is) && slices.Equal(slices.Sorted(slices.Values(was)), slices.Sorted(slices.Values(is))) {
		d.Changes = append(d.Changes, Change{Option: "order of the nodes", Old: join(was), New: join(is)})
	}
}

func nodeNames(p *Pool) (names []string) {
	for _, n := range p.Nodes() {
		names = append(names, n.Name)
	}
	return names
}

func about(b Backend) string {
	return sentence([]string{b.Address, fmt.Sprintf("weight %d", b.Weight)})
}

// compareKeys says which keys move, and what that means.
func (d *PoolDiff) compareKeys(old, p *Pool, renamed map[string]string) {
	oldNodes, oldOptions := old.placement()
	nodes, options := p.placement()
	if old.Placement() == p.Placement() && options == oldOptions && sameNodes(options, oldNodes, nodes) {
		return
	}
	for _, pool := range []*Pool{old, p} {
		if by := pool.Placement(); by != "" {
			d.note("Which keys move can't be told from the files: they are placed %s.", by)
			return
		}
		if pool.Distribution == "random" {
			d.note("With distribution random no key has a place: every node must hold the same.")
			return
		}
	}
	a, err := old.Ring()
	if err != nil {
		return
	}
	b, err := p.Ring()
	if err != nil {
		return
	}
	flows, exact := hashring.Flows(a, b)
	m := &Moves{Exact: exact, List: []Move{}, Ideal: leastMoved(oldNodes, nodes, renamed)}
	for _, f := range flows {
		from, to := a.Node(f.From).Name, b.Node(f.To).Name
		if from != to && renamed[to] != from {
			m.List = append(m.List, Move{from, to, f.Share})
			m.Total += f.Share
		}
	}
	d.Moves = m
	if old.HashTag != p.HashTag {
		d.note("The figures are for keys without a hash tag; of those that have one, most move.")
	}
	if old.UnsignedChar != p.UnsignedChar {
		d.note("The figures are for keys in ASCII; of the others, most move.")
	}
	switch share := percentText(m.Total); {
	case m.Total == 0:
	case p.Migration.Mode == "warm":
		d.note("Reads of %s of the keys are brought along by migration: warm, for %s%s; the old nodes have to run until then.", share,
			printDuration(p.Migration.Window), when(p.Migration.MoverRate > 0, fmt.Sprintf(", and %s a second besides", count(p.Migration.MoverRate, "key"))))
	default:
		d.note("Reads of %s of the keys will miss: a cache is cold for them, and data is lost to its clients.%s", share,
			when(p.OnFailure != "eject", " migration: warm would bring them along."))
	}
}

func sameNodes(opt hashring.Options, a, b []hashring.Node) bool {
	if opt.Distribution == "list" {
		return slices.Equal(a, b)
	}
	byName := func(a, b hashring.Node) int { return strings.Compare(a.Name, b.Name) }
	a, b = slices.Clone(a), slices.Clone(b)
	slices.SortFunc(a, byName)
	slices.SortFunc(b, byName)
	return slices.Equal(a, b)
}

// leastMoved is the sum of what the nodes gain in fair share.
func leastMoved(old, next []hashring.Node, renamed map[string]string) float64 {
	fair := func(nodes []hashring.Node) map[string]float64 {
		total := 0.0
		for _, n := range nodes {
			total += float64(n.Weight)
		}
		shares := map[string]float64{}
		for _, n := range nodes {
			shares[n.Name] = float64(n.Weight) / total
		}
		return shares
	}
	had, has, least := fair(old), fair(next), 0.0
	for _, n := range next {
		name := n.Name
		if before, ok := renamed[name]; ok {
			name = before
		}
		least += max(0, has[n.Name]-had[name])
	}
	return least
}

// percentText never makes nothing of a little.
func percentText(share float64) string {
	if share > 0 && share < 0.0005 {
		return "< 0.1 %"
	}
	return fmt.Sprintf("%.1f %%", 100*share)
}
