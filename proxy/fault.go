package proxy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"ringway/internal/command"
	"ringway/internal/config"
	"ringway/internal/loop"
	"ringway/internal/metrics"
)

// fault makes some requests of a pool late, or fail, so that one can see what one's application makes of it. A delay stops the parser of the client
// whose request it is, as a slow server would: what the client sends behind it waits too, what it has sent before is answered, and others
// notice nothing.
type fault struct {
	chance chance
	delay  time.Duration
	reply  string // the error; "" to serve the request
	hits   []bool // by command
}

// fate is what became of the request that a session is about to handle. A request may be handled several times until it is taken, and must
// draw its lot once.
type fate uint8

const (
	undecided fate = iota
	spared
	delayed // it is late enough when it comes again
)

// newFault returns the fault of a pool's configuration, nil if it has none.
func newFault(cfg *config.Fault) (*fault, error) {
	if cfg == nil {
		return nil, nil
	}
	f := &fault{chance: chanceOf(cfg.Percent), delay: cfg.Delay, reply: cfg.Error, hits: make([]bool, command.Count())}
	if len(cfg.Commands) == 0 {
		for _, c := range command.All() { // what goes to nodes
			f.hits[c.ID] = c.Plan != command.Session || c.Name == "exec"
		}
	}
	for _, name := range cfg.Commands {
		known := false
		for _, c := range command.All() {
			if isCalled(c, name) {
				f.hits[c.ID], known = true, true
			}
		}
		if !known {
			return nil, fmt.Errorf("fault: there is no command %s", describeName(name))
		}
	}
	return f, nil
}

// isCalled reports whether a name is the command's, that of its container, or "@" and one of its categories.
func isCalled(c *command.Command, name string) bool {
	if category, is := strings.CutPrefix(name, "@"); is {
		return slices.Contains(c.Categories.Names(), category)
	}
	return c.Name == name || c.Parent() != nil && c.Parent().Name == name
}

func describeName(name string) string {
	if strings.HasPrefix(name, "@") {
		return fmt.Sprintf("of the category %q", name)
	}
	return fmt.Sprintf("called %q", name)
}

// Check says what is wrong with a configuration that only who knows the commands, and looks into the files that it names, can tell.
func Check(cfg *config.Config) error {
	if err := checkFaults(cfg); err != nil {
		return err
	}
	if _, err := openGuards(cfg); err != nil {
		return err
	}
	_, err := openKeyring(cfg, nil)
	return err
}

func checkFaults(cfg *config.Config) error {
	for i := range cfg.Pools {
		p := &cfg.Pools[i]
		if _, err := newFault(p.Fault); err != nil {
			return fmt.Errorf("%s:%d: pool %q: %w", cfg.File, p.Fault.Line, p.Name, err)
		}
	}
	return nil
}

// suffer does to a request what the pool's fault has for it. stop says that the request is dealt with for now, taken that it need not come
// again.
func (s *Session) suffer(c *command.Command) (stop, taken bool) {
	f := s.pool.shared.fault
	if s.fate == spared || s.fate == undecided && (!f.hits[c.ID] || !f.chance.hits()) {
		s.fate = spared
		return false, false
	}
	if s.fate == undecided && f.delay > 0 {
		s.fate = delayed
		s.pool.stats.Faults[metrics.FaultDelay]++
		s.stall(metrics.StallFault)
		if s.late == nil {
			s.late = loop.NewTimer(func() { s.relieve(metrics.StallFault) })
		}
		s.worker.loop.SetTimer(s.late, f.delay)
		return true, false
	}
	if f.reply == "" {
		s.fate = spared
		return false, false
	}
	s.fate = undecided
	s.pool.stats.Faults[metrics.FaultError]++
	if c.Name == "exec" || c.Name == "discard" { // an error ends the transaction, as a node's would
		if s.tx != nil {
			s.endTransaction()
		}
		s.unwatch()
	}
	s.refuseQueued(metrics.Injected, f.reply)
	return true, true
}
