// Package command is the table of every command Ringway knows: what it is called, how many arguments it takes,
// where its keys are, and how it travels (its plan).
//
// The rows come from what a real server prints (gen reads it), from gen/later.txt, where the commands younger
// than that server are written by hand, and from gen/plan.txt, where our routing is. The table is read-only
// data, laid out by the compiler: nothing is built at the start but the index that Lookup uses.
//
// The package reads requests and appends replies. It knows no socket, no node and no session.
package command

//go:generate go run ./gen

// Command is one row of the table. Rows are shared and must not be changed.
type Command struct {
	ID     int    // 0..Count()-1, dense, in order of name: an index for counters
	Name   string // lower case: "get"; a subcommand is "client|setname"
	Arity  int    // arguments with the name; negative: at least so many
	Flags  Flags
	Plan   Plan  // how it travels; see For, which also looks at the arguments
	Merge  Merge // how the answers of several nodes become one
	finder finder

	blockFrom uint8 // Private only with BLOCK among the options, which begin at this argument; 0: always

	// SingleKey says that there is exactly one key, at argument 1, in every request of the right arity.
	SingleKey bool

	// RouteArg is the argument whose hash chooses the node of a request that has no keys but belongs to one
	// node all the same: the channel of PUBLISH, the index of FT.SEARCH. 0: there is none.
	RouteArg int

	// FirstKey, LastKey and Step are the key positions as COMMAND prints them. LastKey counts from the end if
	// negative. FirstKey is 0 if there are no keys or they have no fixed place (MovableKeys).
	FirstKey, LastKey, Step int

	KeySpecs   []KeySpec
	Categories Categories
	Tips       []string
	Group      string // as in COMMAND DOCS: "string", "sorted-set", "server", ...
	Refusal    string // what a client gets if Plan is Refuse: an error without the leading '-'
	Source     string // where the row is from: "redis 7.0.15", or "redis 7.4.0" for a row written by hand

	parent             int16  // ID of the container, -1 for none
	subFirst, subCount int16  // subcommands stand together, after their container
	docFirst, docEnd   uint32 // its piece of docs
	helpEnd            uint32 // of a HELP: its text is behind, up to here
}

// Sub returns the subcommand of c that arg names, in any case, or nil.
func (c *Command) Sub(arg []byte) *Command {
	first := int(c.subFirst)
	for i := first; i < first+int(c.subCount); i++ {
		s := &table[i]
		if sameFold(s.Name[len(c.Name)+1:], arg) {
			return s
		}
	}
	return nil
}

// Container says whether c is a mere container: its subcommands do the work.
func (c *Command) Container() bool { return c.subCount > 0 }

// Subcommands returns the subcommands of a container in order of name, and nothing for others. The slice is
// shared and must not be changed.
func (c *Command) Subcommands() []*Command {
	return rows[c.subFirst : c.subFirst+c.subCount]
}

// Parent returns the container of a subcommand, nil for other commands.
func (c *Command) Parent() *Command {
	if c.parent < 0 {
		return nil
	}
	return &table[c.parent]
}

// CheckArity says whether a request of n arguments, the name included, has as many as c takes.
func (c *Command) CheckArity(n int) bool {
	if c.Arity >= 0 {
		return n == c.Arity
	}
	return n >= -c.Arity
}

// All returns every row, subcommands behind their container, in order of name. The slice is shared and must
// not be changed.
func All() []*Command { return rows[:] }

// Count returns the number of rows, subcommands included.
func Count() int { return len(rows) }
