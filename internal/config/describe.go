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
	fmt.Fprintf(w, "%s: %s. Event loops: %s; admin: %s; log: %s, as %s.\n",
		c.File, count(len(c.Pools), "pool"), threads, admin, c.Log.Level, c.Log.Format)
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
	fmt.Fprintf(w, "\npool %s on %s%s\n", p.Name, p.Listen, when(p.ListenMode != 0, ", mode "+printMode(p.ListenMode)))
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name string, parts ...string) {
		fmt.Fprintf(tw, "  %s\t%s\n", name, sentence(parts))
	}
	row("keys", p.Distribution,
		when(p.Hash != "", "hash "+p.Hash),
		when(p.HashTag != "", "hash tag "+p.HashTag)+when(p.HashTag == "", "no hash tag"),
		when(p.Distribution == "consistent", fmt.Sprintf("%d virtual nodes", p.VirtualNodes)),
		when(p.Distribution == "consistent", "load bound "+printFloat(p.LoadBound)),
		when(p.UnsignedChar, "chars unsigned"))
	row("timeouts", "reply "+orFor(p.Timeout, "none"), "connect "+orFor(p.ConnectTimeout, "none"),
		"stalled client "+orFor(p.ClientStall, "none"))
	row("failure", p.failure(), when(p.Preconnect, "connected at start"))
	row("limits", orUnlimited(p.MaxClients), fmt.Sprintf("%s in flight for each", count(p.Window, "request")),
		"arguments of "+printSize(p.MaxRequestSize), printSize(p.ClientOutputLimit)+" unsent to a client",
		printSize(p.NodeOutputLimit)+" unsent to a backend")
	row("access", when(p.RequirePass != "", "clients need a password")+when(p.RequirePass == "", "clients need no password"),
		when(p.Password != "", "backends are given one"+when(p.Username != "", " for the user "+p.Username)),
		when(p.Database != 0, fmt.Sprintf("database %d", p.Database)))
	row("socket", fmt.Sprintf("backlog %d", p.Backlog), when(p.ReusePort, "reuseport"), when(p.TCPKeepAlive, "tcp keepalive"))
	_ = tw.Flush()

	fmt.Fprintf(w, "  %s\n", count(len(p.Backends), "backend"))
	tw = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	shares := p.shares()
	for i, b := range p.Backends {
		fmt.Fprintf(tw, "    %s\t%s\tweight %d\t%.1f %% of the keys\n", b.Name, b.Address, b.Weight, 100*shares[i])
	}
	_ = tw.Flush()
}

func (p *Pool) failure() string {
	if p.OnFailure == "eject" {
		return fmt.Sprintf("a node is ejected after %s in a row, for %s", count(p.FailureLimit, "failure"), printDuration(p.RetryTimeout))
	}
	return "a node that is down fails its own keys"
}

// shares is zero for every backend of a pool that has no ring, which none has that was loaded.
func (p *Pool) shares() []float64 {
	r, err := p.Ring()
	if err != nil {
		return make([]float64, len(p.Backends))
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
	return fmt.Sprintf("%d %ss", n, what)
}
