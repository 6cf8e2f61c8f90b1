package config

// taken remembers the names and addresses that may stand in a file only once, and on which line they stood.
type taken struct {
	names     map[string]int
	addresses map[string]int
	listens   []listen
	silent    []int // the pools without a listen, by their places in the list
}

type listen struct {
	address string
	line    int
	owner   string
}

func claim(m *map[string]int, key string, line int) (first int, ok bool) {
	if first, ok := (*m)[key]; ok {
		return first, false
	}
	if *m == nil {
		*m = map[string]int{}
	}
	(*m)[key] = line
	return 0, true
}

func (r *reader) claimName(used *taken, name string, line int) {
	if first, ok := claim(&used.names, name, line); !ok {
		r.fail(line, "the name is taken by the pool on line %d; expected another", first)
	}
}

// claimBackend refuses a second name for one server as well: it would get twice the keys.
func (r *reader) claimBackend(used *taken, b Backend) {
	if first, ok := claim(&used.names, b.Name, b.Line); !ok {
		r.fail(b.Line, "backend name %s is taken by the backend on line %d; expected another", quote(b.Name), first)
	} else if first, ok := claim(&used.addresses, sameAddress(b.Address), b.Line); !ok {
		r.fail(b.Line, "backend address %s is that of the backend on line %d; give one a higher weight instead", quote(b.Address), first)
	}
	for _, replica := range b.Replicas {
		if first, ok := claim(&used.addresses, sameAddress(replica.Address), replica.Line); !ok {
			r.fail(replica.Line, "replica address %s is that of the server on line %d; keep one", quote(replica.Address), first)
		}
	}
}

func (r *reader) claimListen(used *taken, address string, line int, owner string) {
	for _, l := range used.listens {
		if !clash(l.address, address) {
			continue
		}
		if line == 0 { // the admin's default address, which stands nowhere
			r.where = ""
			r.fail(l.line, "%s listens on %s, which is the default of admin; expected another port, or admin: {listen: off}",
				l.owner, quote(l.address))
			return
		}
		if l.line == 0 {
			r.fail(line, "listen %s is the default of %s; expected another address, or %s: {listen: off}", quote(address), l.owner, l.owner)
			return
		}
		as := ""
		if l.address != address {
			as = ", as " + quote(l.address)
		}
		r.fail(line, "listen %s is taken by %s on line %d%s; expected another address", quote(address), l.owner, l.line, as)
		return
	}
	used.listens = append(used.listens, listen{address, line, owner})
}
