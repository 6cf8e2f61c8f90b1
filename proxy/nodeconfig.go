package proxy

import (
	"strconv"
	"strings"

	"ringway/internal/command"
	"ringway/internal/loop"
	"ringway/internal/metrics"
	"ringway/resp"
)

// mergeConfigs makes one answer to CONFIG GET: what the nodes have in common, the first one's value where they differ, and Ringway's
// own where a parameter is about connections. One node that answers is enough. maxmemory, too, is what one node has, so that what was read
// can be set again; INFO has the pool's.
func (s *Session) mergeConfigs(answers []nodeAnswer) []byte {
	replies, e := good(answers)
	if e != nil {
		return e
	}
	values := map[string]string{}
	var order []string
	for _, reply := range replies {
		list := elements(reply)
		for i := 0; i+1 < len(list); i += 2 {
			name := string(text(list[i]))
			value := string(text(list[i+1]))
			if _, known := values[name]; !known {
				values[name] = value
				order = append(order, name)
			}
		}
	}
	b := resp.AppendMap(nil, s.resp3, len(order))
	for _, name := range order {
		value := values[name]
		if own, is := s.ownParameter(name); is {
			value = own
		}
		b = resp.AppendBulkString(resp.AppendBulkString(b, name), value)
	}
	return b
}

// ownParameter returns Ringway's value of a parameter that is about connections. The nodes' passwords are not told.
func (s *Session) ownParameter(name string) (value string, is bool) {
	cfg := s.pool.shared.cfg
	host, port := splitAddress(loop.LocalAddr(s.conn.FD()))
	switch name {
	case "port":
		return strconv.Itoa(port), true
	case "bind":
		return host, true
	case "maxclients":
		return strconv.Itoa(cfg.MaxClients), true
	case "databases":
		return strconv.Itoa(databases), true
	case "proto-max-bulk-len":
		return strconv.Itoa(cfg.MaxRequestSize), true
	case "tcp-backlog":
		return strconv.Itoa(cfg.Backlog), true
	case "requirepass":
		return cfg.RequirePass.Reveal(), true
	case "timeout", "tls-port", "unixsocketperm":
		return "0", true
	case slowerThan, slowMaxLen:
		return s.pool.slowTerms.parameter(name), true
	case "cluster-enabled", "protected-mode":
		return "no", true
	case "masterauth", "masteruser", "unixsocket", "tls-key-file-pass", "tls-client-key-file-pass":
		return "", true
	}
	return "", false
}

// fixed says why a parameter can't be set through Ringway; "" if it can.
func fixed(name string) string {
	switch name {
	case "port", "bind", "tls-port", "unixsocket", "unixsocketperm", "protected-mode", "tcp-backlog", "cluster-enabled", "bind-source-addr":
		return "it would move the nodes away from the router"
	case "requirepass", "masterauth", "masteruser", "aclfile", "user":
		return "it would lock the router out of its nodes"
	case "maxclients", "timeout", "proto-max-bulk-len", "databases":
		return "it is about clients, and the nodes' only client is the router"
	}
	return ""
}

// configSet is CONFIG SET name value...: for all nodes, unless it is about connections. What is slow it says to Ringway as well, until the
// configuration is read again.
func (s *Session) configSet(c *command.Command, a *resp.Args) (taken bool) {
	terms := s.pool.slowTerms
	for i := 2; i < a.Len(); i += 2 {
		name := strings.ToLower(string(a.At(i)))
		if why := fixed(name); why != "" {
			s.refuse(metrics.BadCommand, "ERR CONFIG SET "+name+" is refused: "+why+"; set it in the router's configuration, or on each node")
			return true
		}
		if i+1 < a.Len() {
			terms.set(name, a.At(i+1))
		}
	}
	var also func(*worker)
	if index := s.pool.shared.index; terms != s.pool.slowTerms {
		also = func(w *worker) {
			if ps := w.poolAt(index); ps != nil {
				ps.callSlow(terms)
			}
		}
	}
	return s.surveyAnd(c, s.requestOf(a), also, strict(func(replies [][]byte) []byte { return replies[0] }))
}
