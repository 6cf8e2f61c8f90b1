package proxy

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ringway/internal/acl"
	"ringway/internal/command"
	"ringway/internal/config"
	"ringway/internal/loop"
	"ringway/internal/metrics"
	"ringway/resp"
)

// guard is who may log in to a pool and do what, and what nobody may do. It does not change; a reload puts another in its place.
//
// A session has the user that it is, default before it logs in. If that one may do everything, and the pool denies nothing, the session is
// not judged, and requests cost what they cost without users. Otherwise each is judged when it is read, before anything else is made
// of it: the plain ones with a look at a bitmap and at the patterns of the user's keys (mayPlainly), all others by judge. What is queued
// in a transaction is judged then, and at EXEC once more if there are other rules by then.
type guard struct {
	users      *acl.Users
	denied     *acl.Commands // nil: nothing
	local      *acl.Commands // what is for clients on this machine; nil: nothing
	file       string        // of the users; empty: they are in the configuration
	digest     [32]byte      // of what the file held
	own        bool          // there are users beside the one that every pool has
	ownDefault bool          // the user default is one of them
	through    bool          // the nodes say who may log in, and do what
}

// openGuards reads what a configuration and the files that it names say of the users of each pool, by its name.
func openGuards(cfg *config.Config) (map[string]*guard, error) {
	all := map[string]*guard{}
	for i := range cfg.Pools {
		p := &cfg.Pools[i]
		g, line, err := newGuard(p, filepath.Dir(cfg.File))
		if err != nil {
			return nil, fmt.Errorf("%s:%d: pool %q: %w", cfg.File, line, p.Name, err)
		}
		all[p.Name] = g
	}
	return all, nil
}

// newGuard makes one. With an error comes the line that it is about.
func newGuard(p *config.Pool, dir string) (g *guard, line int, err error) {
	g = &guard{own: len(p.Users) > 0 || p.UsersFile != "", through: p.Passthrough}
	var users []*acl.User
	for i := range p.Users {
		u, err := userOf(&p.Users[i])
		if err != nil {
			return nil, p.Users[i].Line, fmt.Errorf("user %q: %w", p.Users[i].Name, err)
		}
		users = append(users, u)
	}
	if p.UsersFile != "" {
		if g.file = p.UsersFile; !filepath.IsAbs(g.file) {
			g.file = filepath.Join(dir, g.file)
		}
		if users, g.digest, err = readUsers(g.file); err != nil {
			return nil, p.Line, err
		}
	}
	g.ownDefault = slices.ContainsFunc(users, func(u *acl.User) bool { return u.Name() == acl.DefaultName })
	switch {
	case g.through:
		users = append(users, acl.NewUser(acl.DefaultName)) // who has not logged in is nobody
	case !g.ownDefault:
		users = append(users, acl.NewDefault(p.RequirePass.Reveal()))
	case p.RequirePass != "":
		return nil, p.Line, fmt.Errorf("%s has the user default, and requirepass is its password as well; keep one", g.file)
	}
	if g.users, err = acl.NewUsers(users...); err != nil {
		return nil, p.Line, err
	}
	if g.denied, err = deniedCommands(p); err != nil {
		return nil, p.Line, err
	}
	g.local = forLocals(p)
	return g, 0, nil
}

// warn tells of users that protect nothing, and of limits that are nobody's. Of those in the configuration it has told itself.
func (g *guard) warn(srv *Server, p *config.Pool) {
	pool := p.Name
	for _, l := range p.UserLimits {
		if g.file != "" && g.users.Find([]byte(l.User)) == nil {
			srv.log.Warn("user_limits is about a user who is not in the file", "pool", pool, "user", l.User, "file", g.file)
		}
	}
	if d := g.users.Default(); g.file != "" && d.On() && d.NoPassword() && d.Unlimited() {
		srv.log.Warn("who does not log in is the user default, who may do everything; for an end to that add a line: user default off", "pool", pool, "file", g.file)
	}
}

func userOf(cfg *config.User) (*acl.User, error) {
	u := acl.NewUser(cfg.Name)
	rules := []string{"on"}
	for _, p := range cfg.Passwords {
		rules = append(rules, ">"+p.Reveal())
	}
	for _, d := range cfg.Digests {
		rules = append(rules, "#"+d.Reveal())
	}
	if cfg.NoPassword {
		rules = append(rules, "nopass")
	}
	return u, u.ApplyAll(append(rules, strings.Fields(cfg.Rules)...))
}

// readUsers returns the users of a file, and a digest of what it holds.
func readUsers(file string) (users []*acl.User, digest [32]byte, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, digest, fmt.Errorf("cannot read users_file %s: %w", file, err)
	}
	if users, err = acl.ParseFile(file, data); err != nil {
		return nil, digest, fmt.Errorf("users_file:\n%w", err)
	}
	return users, sha256.Sum256(data), nil
}

// usersFiles lists the files of users of all pools.
func (srv *Server) usersFiles() (list []string) {
	for _, sp := range srv.open() {
		if sp.guard.file != "" {
			list = append(list, sp.guard.file)
		}
	}
	return list
}

// rereadUsers takes over files of users that hold something else than when they were read. One that can't be used is told of once, and
// nothing changes. It is for one goroutine.
func (srv *Server) rereadUsers() {
	changed := false
	found := sha256.New()
	for _, sp := range srv.open() {
		if g := sp.guard; g.file != "" {
			data, err := os.ReadFile(g.file)
			digest := sha256.Sum256(data)
			changed = changed || err != nil || digest != g.digest
			found.Write(digest[:])
		}
	}
	last := srv.foundUsers
	if srv.foundUsers = string(found.Sum(nil)); !changed || srv.foundUsers == last {
		return
	}
	if err := srv.reloadUsers(); err != nil {
		srv.ReloadFailed()
		srv.log.Error("cannot take over changed users; those before stay", "error", err)
		return
	}
	srv.log.Info("users reloaded", "files", strings.Join(srv.usersFiles(), " "))
}

// deniedCommands is what deny_commands and allow_commands come to.
func deniedCommands(p *config.Pool) (*acl.Commands, error) {
	denied := &acl.Commands{}
	put := func(option string, names []string, in bool) error {
		for _, name := range names {
			known := false
			for _, c := range command.All() {
				if (name == "@all" || isCalled(c, name)) && !c.Flags.Has(command.NoAuth) {
					denied.Put(c.ID, in)
				}
				known = known || name == "@all" || isCalled(c, name)
			}
			if !known {
				return fmt.Errorf("%s: there is no command %s", option, describeName(name))
			}
		}
		return nil
	}
	if err := put("deny_commands", p.DenyCommands, true); err != nil {
		return nil, err
	}
	if p.Dangerous == "deny" {
		put("dangerous_commands", dangerous, true)
	}
	if err := put("allow_commands", p.AllowCommands, false); err != nil {
		return nil, err
	}
	if denied.Empty() {
		return nil, nil
	}
	return denied, nil
}

// become makes the session's client a user, who has logged in with the password of this digest, or needed none.
func (s *Session) become(u *acl.User, digest string) {
	s.user, s.digest, s.authed = u, digest, true
	s.update()
}

// unknown makes the session's client who it is before it logs in: the user that its certificate names, or the user default, who may have to log in.
func (s *Session) unknown() {
	users := s.pool.shared.guard.users
	s.user, s.digest = users.Default(), ""
	s.unknownAt = s.worker.loop.Now()
	s.authed = s.user.On() && s.user.NoPassword()
	if s.certified != "" {
		if u := users.Find([]byte(s.certified)); u != nil && u.On() {
			s.user, s.authed = u, true
		}
	}
	s.update()
}

// certified is the name in the certificate of a client, if that is to be its user's; "" if it has none.
func (ps *poolState) certified(link loop.Link) string {
	cfg := ps.shared.cfg.TLS
	if link.TLS == nil || cfg == nil || cfg.UserFromCert != "cn" {
		return ""
	}
	if chain := link.TLS.State().VerifiedChains; len(chain) > 0 {
		return chain[0][0].Subject.CommonName
	}
	return ""
}

// mayPlainly says for certain that a request with the one key that its command always has is allowed. Those for which it
// does not are judged with all others.
func (s *Session) mayPlainly(c *command.Command, a *resp.Args) bool {
	key := a.At(1)
	if s.total >= s.fees.paid && s.pay() != nil || len(key) > s.pool.shared.longestKey {
		return false
	}
	if s.amongCopies && len(key) > 0 && key[0] == copyPrefix[0] && isCopy(key) {
		return false
	}
	if !s.limited {
		return true
	}
	d := s.pool.shared.guard.denied
	return (d == nil || !d.Has(c.ID)) && s.user.JudgePlain(c, a)
}

// judge refuses a request that is not allowed. It returns false if it is.
func (s *Session) judge(c *command.Command, a *resp.Args) (refused bool) {
	if s.beyondLimits(c, a) {
		return true
	}
	if !s.limited {
		return s.amongCopies && s.refuseCopies(c, a)
	}
	v, why := s.pool.shared.guard.judge(s.user, c, a, &s.worker.keys)
	if v.Reason == acl.Allowed {
		return s.amongCopies && s.refuseCopies(c, a)
	}
	s.last = c // for what ACL LOG says of the client
	s.pool.shared.denials.request(s, c, a, v)
	s.refuseJudged(metrics.Denied, c, why)
	return true
}

// refuseJudged refuses a request that was judged.
func (s *Session) refuseJudged(kind metrics.Kind, c *command.Command, why string) {
	s.last = c
	if c.Name == "exec" { // Redis ends the transaction over it
		s.endTransaction()
		s.unwatch()
		s.refuse(kind, errExecDenied+why)
		return
	}
	s.refuseQueued(kind, why)
}

// judge says whether a user may send a request, and what he hears if not.
func (g *guard) judge(u *acl.User, c *command.Command, a *resp.Args, keys *[]int) (v acl.Verdict, why string) {
	if g.denied != nil && g.denied.Has(c.ID) {
		return acl.Verdict{Reason: acl.NoCommand}, "NOPERM '" + c.Name + "' is denied to all clients of this pool"
	}
	if v = u.Judge(c, a, keys); v.Reason == acl.Allowed {
		v = u.JudgePatterns(c, a, keys)
	}
	if v.Reason == acl.Allowed {
		return v, ""
	}
	return v, v.Refusal(c, a)
}

// stillAllowed judges what is queued in a transaction once more, if there are other rules than when it was queued.
func (s *Session) stillAllowed(tx *transaction) bool {
	g := s.pool.shared.guard
	if tx.guard == g && tx.user == s.user || !s.judged {
		return true
	}
	return s.pool.eachRequest(tx.batch, func(c *command.Command, a *resp.Args) bool {
		v, _ := g.judge(s.user, c, a, &s.worker.keys)
		if v.Reason != acl.Allowed {
			s.pool.shared.denials.request(s, c, a, v)
		}
		return v.Reason == acl.Allowed
	})
}

// rejudge is called with other rules: who may not be connected any more is closed, and who may not listen to what he listens to. As with
// ACL SETUSER, who is left may do from now on what the rules say now.
func (ps *poolState) rejudge(before *guard) {
	closed := 0
	for s := ps.worker.sessions; s != nil; {
		next := s.next
		if s.pool == ps && !s.rejudge(before) {
			s.drop()
			closed++
		}
		s = next
	}
	if closed > 0 {
		ps.worker.log.Info("clients closed", "pool", ps.shared.cfg.Name, "clients", closed,
			"reason", "their users are gone, or off, or have other passwords, or may not listen to their channels any more")
	}
}

func (s *Session) rejudge(before *guard) (stays bool) {
	g := s.pool.shared.guard
	if g.through || before.through {
		return g.through == before.through
	}
	u, old := g.users.Find([]byte(s.user.Name())), s.user
	if u == nil {
		return false
	}
	s.user = u
	if !s.authed {
		if u.On() && u.NoPassword() && u.Name() == acl.DefaultName {
			s.authed = true
		}
	} else if !u.Same(old) {
		switch {
		case !u.On():
			return false
		case s.digest != "" && !u.NoPassword() && !u.Takes(s.digest) && (g.own || before.own):
			return false
		}
	}
	s.update()
	return s.subs == nil || s.subs.reachedBy(u)
}

// reachedBy reports whether a user may listen to all that is listened to.
func (sub *subscriptions) reachedBy(u *acl.User) bool {
	for k := range sub.topics {
		for name := range sub.topics[k] {
			if !u.Reaches([]byte(name), topicKind(k) == patternTopic) {
				return false
			}
		}
	}
	return true
}

// errExecDenied comes before why.
const errExecDenied = "EXECABORT Transaction discarded because of: "

// errRulesChanged is Redis's, but for the reason, which may be another for each of the requests.
const errRulesChanged = errExecDenied + "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call"
