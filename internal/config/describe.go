package config

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Describe prints what was understood, for a person: each pool, its backends with the share of keys each will have,
// and the warnings. Passwords are not shown, only whether there are any.
func (c *Config) Describe(w io.Writer) {
	threads := fmt.Sprint(c.Threads)
	if c.Threads == 0 {
		threads = "one per four CPUs"
	}
	admin := c.Admin.Listen
	if admin == "" {
		admin = "off"
	}
	admin += when(c.Admin.TLS != nil, " with TLS")
	admin += when(c.Admin.Pprof, " with pprof")
	if c.Stats != nil {
		admin += "; twemproxy's stats: " + c.Stats.Listen
	}
	threads += when(c.MaxMemory > 0, "; memory: "+printSize(c.MaxMemory))
	fmt.Fprintf(w, "%s: %s. Event loops: %s; admin: %s; log: %s, as %s%s.\n",
		c.File, count(len(c.Pools), "pool"), threads, admin, c.Log.Level, c.Log.Format, when(!c.Reload.Watch, "; the file is not watched"))
	for i := range c.Pools {
		c.Pools[i].describe(w)
	}
	if len(c.Warnings) > 0 {
		fmt.Fprintln(w)
	}
	for _, warning := range c.Warnings {
		fmt.Fprintf(w, "warning: %s\n", warning)
	}
}

func (p *Pool) describe(w io.Writer) {
	where := " on " + p.Listen + when(p.ListenMode != 0, ", mode "+printMode(p.ListenMode))
	if p.Listen == "" {
		where = ", reached from other pools only"
	}
	fmt.Fprintf(w, "\npool %s%s\n", p.Name, where)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name string, parts ...string) {
		if text := sentence(parts); text != "" {
			fmt.Fprintf(tw, "  %s\t%s\n", name, text)
		}
	}
	front := len(p.Routes) > 0
	if !front {
		p.describeServers(row)
	}
	open := p.Listen != ""
	row("limits", when(open, orUnlimited(p.MaxClients)), when(p.MaxPerAddress > 0, fmt.Sprintf("%d from one address", p.MaxPerAddress)),
		when(p.ConnectionRate > 0, fmt.Sprintf("%d new in a second", p.ConnectionRate)), when(p.RequestRate > 0, count(p.RequestRate, "request")+" in a second"),
		p.describeUserLimits(),
		when(open, fmt.Sprintf("%s in flight for each", count(p.Window, "request"))),
		when(open, "arguments of "+printSize(p.MaxRequestSize)), when(p.MaxKeyLength > 0, "keys of "+printSize(p.MaxKeyLength)), when(open, printSize(p.ClientOutputLimit)+" unsent to a client"),
		when(!front, printSize(p.NodeOutputLimit)+" unsent to a backend"),
		when(p.NodeRequests > 0, fmt.Sprintf("%s in flight to a backend", count(p.NodeRequests, "request"))),
		when(p.NodeBytes > 0, printSize(p.NodeBytes)+" in flight to a backend"))
	row("access", when(open, p.describeUsers()),
		when(open && p.LoginTimeout > 0 && p.asksLogin(), printDuration(p.LoginTimeout)+" to log in"),
		when(p.IdleTimeout > 0, "closed after "+printDuration(p.IdleTimeout)+" without a request"),
		when(p.Given(), "backends are given one"+when(p.Username != "", " for the user "+p.Username)),
		when(p.Database != 0, fmt.Sprintf("database %d", p.Database)))
	row("dangerous", map[string]string{"allow": "commands that concern everybody are for clients of all machines", "deny": "commands that concern everybody are denied"}[p.Dangerous])
	row("commands", when(len(p.DenyCommands) > 0, "denied are "+join(p.DenyCommands)+when(len(p.AllowCommands) > 0, ", but for "+join(p.AllowCommands))))
	row("tls", p.TLS.describe(), p.BackendTLS.describe())
	row("socket", when(open, fmt.Sprintf("backlog %d", p.Backlog)), when(p.ReusePort, "reuseport"), when(p.TCPKeepAlive, "tcp keepalive"))
	if h := p.HotKeys; h.Mode != "auto" || len(h.Exclude) > 0 {
		row("hot keys", h.Mode, when(h.Mode != "off" && len(h.Exclude) > 0, "but for "+join(h.Exclude)))
	}
	if m := p.Mirror; m != nil {
		row("mirror", printFloat(m.Percent)+" % of the "+when(m.ExcludeReads, "writes")+when(!m.ExcludeReads, "requests")+" to pool "+m.Pool)
	}
	if f := p.Fault; f != nil {
		of := "requests"
		if len(f.Commands) > 0 {
			of = join(f.Commands)
		}
		row("fault", printFloat(f.Percent)+" % of "+of, when(f.Delay > 0, "later by "+printDuration(f.Delay)), when(f.Error != "", "answered "+f.Error))
	}
	_ = tw.Flush()
	p.describeNodes(w)
}

func (p *Pool) describeUserLimits() string {
	var all []string
	for _, l := range p.UserLimits {
		all = append(all, count(l.RequestRate, "request")+" in a second of user "+l.User)
	}
	return sentence(all)
}

func (p *Pool) describeUsers() string {
	others := "clients need no password"
	if p.RequirePass != "" {
		others = "clients need a password"
	}
	switch {
	case p.Passthrough:
		return "clients log in at the backends"
	case p.UsersFile != "":
		return "users are in " + p.UsersFile + when(p.RequirePass != "", ", others need a password")
	case len(p.Users) == 0:
		return others
	}
	var names []string
	for _, u := range p.Users {
		if names = append(names, u.Name); u.Name == defaultUser {
			others = ""
		}
	}
	return sentence([]string{"users " + join(names), strings.Replace(others, "clients", "others", 1)})
}

// asksLogin reports whether the pool has users, or a password.
func (p *Pool) asksLogin() bool { return p.RequirePass != "" || p.UsersFile != "" || len(p.Users) > 0 }

func (t *ServerTLS) describe() string {
	if t == nil {
		return ""
	}
	certs := ""
	if t.ClientCA != "" {
		certs = "clients may have a certificate"
		if t.RequireClientCert {
			certs = "clients need a certificate"
		}
	}
	return sentence([]string{"for clients, " + t.MinVersion + " or later", certs})
}

func (t *ClientTLS) describe() string {
	if t == nil {
		return ""
	}
	return sentence([]string{"for backends, " + t.MinVersion + " or later", when(t.Cert != "", "with a certificate"),
		when(t.ServerName != "", "known as "+t.ServerName), when(t.InsecureSkipVerify, "whoever they are")})
}

func (p *Pool) describeServers(row func(name string, parts ...string)) {
	if p.Cluster != nil {
		row("keys", "placed by the cluster's slots")
	} else {
		row("keys", p.Distribution,
			when(p.Hash != "", "hash "+p.Hash),
			when(p.HashTag != "", "hash tag "+p.HashTag)+when(p.HashTag == "", "no hash tag"),
			when(p.Distribution == "consistent", fmt.Sprintf("%d virtual nodes", p.VirtualNodes)),
			when(p.Distribution == "consistent", "load bound "+printFloat(p.LoadBound)),
			when(p.Distribution == "ring_hash", fmt.Sprintf("%d to %d points", p.RingSize, p.MaxRingSize)),
			when(p.Distribution == "maglev", fmt.Sprintf("a table of %d", p.TableSize)),
			when(p.UnsignedChar, "chars unsigned"))
	}
	special := func(what string, d time.Duration) string {
		return when(d != AsTimeout && d != p.Timeout, what+" "+orFor(d, "none"))
	}
	row("timeouts", "reply "+orFor(p.Timeout, "none"), special("read", p.ReadTimeout), special("write", p.WriteTimeout),
		special("script", p.ScriptTimeout), "connect "+orFor(p.ConnectTimeout, "none"), "stalled client "+orFor(p.ClientStall, "none"))
	row("failure", p.failure(), when(p.Sentinel != nil || p.Cluster != nil, "new requests wait "+orFor(p.FailoverWait, "not at all")+" for a new primary"),
		when(p.RetryShare() > 0, fmt.Sprintf("lost reads are sent again, up to %d %%", p.RetryShare())), when(p.Preconnect, "connected at start"))
	row("health", p.health())
	if p.NodeInfo > 0 {
		row("node info", "asked every "+printDuration(p.NodeInfo))
	}
	if p.ReadPolicy != "primary" {
		row("reads", p.ReadPolicy, when(p.Zone != "", "this is zone "+p.Zone), when(p.MaxLag > 0, "at most "+printDuration(p.MaxLag)+" behind"),
			when(p.ReadOwnWrites > 0, "from the primary for "+printDuration(p.ReadOwnWrites)+" after a write"))
	}
	if p.Migration.Mode != "off" {
		row("migration", p.Migration.Mode, "for "+printDuration(p.Migration.Window),
			when(p.Migration.MoverRate > 0, fmt.Sprintf("%s a second moved in the background", count(p.Migration.MoverRate, "key"))))
	}
}

func (p *Pool) health() string {
	if p.Health.Interval == 0 {
		return "not asked for"
	}
	return fmt.Sprintf("asked every %s, %s for the answer, down after %s in a row, up after %s", printDuration(p.Health.Interval),
		printDuration(p.Health.Timeout), count(p.Health.Failures, "failure"), count(p.Health.Successes, "success"))
}

func (p *Pool) describeNodes(w io.Writer) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer tw.Flush()
	switch {
	case p.Cluster != nil:
		fmt.Fprintf(w, "  the cluster at %s\n", join(p.Cluster.Seeds))
		return
	case len(p.Routes) > 0:
		fmt.Fprintf(w, "  %s\n", count(len(p.Routes), "route"))
		rest := false
		for _, r := range p.Routes {
			rest = rest || r.Prefix == ""
			fmt.Fprintf(tw, "    %q\tto pool %s%s\n", r.Prefix, r.Pool, when(r.StripPrefix, ", without the prefix"))
		}
		if !rest {
			fmt.Fprintf(tw, "    other keys\tare refused\n")
		}
		return
	case p.Sentinel != nil:
		fmt.Fprintf(w, "  %s of the sentinels at %s\n", count(len(p.Sentinel.Masters), "master"), join(p.Sentinel.Addresses))
	default:
		fmt.Fprintf(w, "  %s\n", count(len(p.Backends), "backend"))
	}
	shares := p.shares()
	for i, b := range p.Nodes() {
		fmt.Fprintf(tw, "    %s\t", b.Name)
		if b.Address != "" {
			fmt.Fprintf(tw, "%s\t", b.Address)
		}
		fmt.Fprintf(tw, "weight %d\t", b.Weight)
		switch {
		case shares != nil:
			fmt.Fprintf(tw, "%.1f %% of the keys", 100*shares[i])
		case strings.HasPrefix(b.Address, dnsScheme) && !b.Single:
			fmt.Fprint(tw, "a node for each of its addresses")
		default:
			fmt.Fprint(tw, "one node")
		}
		fmt.Fprintln(tw, when(b.Zone != "", ", zone "+b.Zone)+when(len(b.Replicas) > 0, ", "+count(len(b.Replicas), "replica")))
	}
}

func (p *Pool) failure() string {
	if p.OnFailure == "eject" {
		return sentence([]string{
			fmt.Sprintf("a node is ejected after %s in a row, for %s", count(p.FailureLimit, "failure"), printDuration(p.RetryTimeout)),
			fmt.Sprintf("at most %d %% of them at a time", p.MaxEjected),
			when(p.FlushOnReturn, "flushed before its return"),
			when(p.SlowStart > 0, "its share back over "+printDuration(p.SlowStart)),
		})
	}
	return "a node that is down fails its own keys"
}

// shares is nil for a pool that has no ring.
func (p *Pool) shares() []float64 {
	r, err := p.Ring()
	if err != nil {
		return nil
	}
	return r.Shares()
}

func when(is bool, text string) string {
	if is {
		return text
	}
	return ""
}

func sentence(parts []string) string {
	var said []string
	for _, s := range parts {
		if s != "" {
			said = append(said, s)
		}
	}
	return strings.Join(said, ", ")
}

func orFor(d time.Duration, none string) string {
	if d == 0 {
		return none
	}
	return printDuration(d)
}

func orUnlimited(n int) string {
	if n == 0 {
		return "clients unlimited"
	}
	return count(n, "client")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %s", n, plural(what))
}

func plural(what string) string {
	if strings.HasSuffix(what, "s") {
		return what + "es"
	}
	return what + "s"
}
