package proxy

import (
	"net/netip"

	"ringway/internal/acl"
	"ringway/internal/command"
	"ringway/internal/config"
	"ringway/internal/metrics"
	"ringway/resp"
)

// dangerous are the commands that concern everybody who uses the servers: they end all data, hold up or cut off other clients, show what others do, or change
// how servers work. None is on the short way of requests with one key.
var dangerous = []string{
	"flushall", "flushdb", "swapdb", "keys", "debug", "monitor", "shutdown", "save", "bgsave", "bgrewriteaof",
	"config|set", "config|rewrite", "config|resetstat", "client|kill", "client|pause", "client|unpause",
	"script|flush", "script|kill", "function|flush", "function|kill", "function|restore", "function|delete",
}

// forLocals returns what only clients on this machine may send, and users whose rules allow it. dangerous_commands says so, in the manner of redis.conf's
// enable-debug-command; nil if it is no concern.
func forLocals(p *config.Pool) *acl.Commands {
	if p.Dangerous != "local" {
		return nil
	}
	list := &acl.Commands{}
	for _, name := range dangerous {
		list.Set(command.Named([]byte(name)), true)
	}
	for _, name := range p.AllowCommands {
		for _, c := range command.All() {
			if name == "@all" || isCalled(c, name) {
				list.Put(c.ID, false)
			}
		}
	}
	return list
}

// onThisMachine reports whether a client's address is one of this machine's loopback, or no address, as that of a unix socket.
func onThisMachine(peer string) bool {
	addr, err := netip.ParseAddrPort(peer)
	return err != nil || addr.Addr().Unmap().IsLoopback()
}

// ruled reports whether the client has logged in as a user for whom somebody has written rules, here or, with passthrough, at the nodes: then those say what
// it may do, wherever it is. Without that it is whoever gets here, or knows the one password that all know.
func (s *Session) ruled() bool {
	g := s.pool.shared.guard
	if s.user.Name() != acl.DefaultName {
		return g.own || g.through
	}
	return g.ownDefault && !s.user.NoPassword()
}

// tooFar refuses a command that is for clients on this machine. It returns false if the client may send it.
func (s *Session) tooFar(c *command.Command, a *resp.Args) (refused bool) {
	g := s.pool.shared.guard
	if g.local == nil || !g.local.Has(c.ID) || s.ruled() {
		return false
	}
	s.last = c
	s.pool.shared.denials.request(s, c, a, acl.Verdict{Reason: acl.NoCommand})
	s.refuseQueued(metrics.Denied, "NOPERM '"+c.Name+"' is for clients on Ringway's own machine: for others name it in allow_commands, say dangerous_commands: allow, or give them a user whose rules have it")
	return true
}
