//lint:file-ignore ST1005 errors are in the words of Redis

// Package acl is who may do what: users in the rule language of Redis' ACL, as Redis 7.0 understands it, and the
// judgement of requests by them.
//
// The rules of a user are compiled as they are applied: the commands to a bitmap by the ID of the command table, the
// patterns to what their shape is compared with fastest. To judge a request reads only, allocates nothing, and may be
// done on any goroutine; a User must not be changed any more once it is in a Users.
//
// The package knows requests and the command table. It knows no connection, and writes nothing down.
//
// It differs from Redis in three things. A request that is so malformed that not all of its keys can be told is judged by
// those that were found; Redis 7.0 then lets any key pass, and carries PFMERGE with one key out. The commands of modules
// belong to their categories, as in Redis 8. What a user may do is told in the rules that were given, those without effect
// left out, as since Redis 7.2; Redis 7.0 finds others with the same effect.
package acl

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// DefaultName is the user that a connection is before it logs in.
const DefaultName = "default"

// User is a name with passwords, and what may be done by it.
type User struct {
	name      string
	on        bool
	nopass    bool
	sanitize  sanitizing
	passwords []string // digests, in hexadecimal digits
	selectors []*selector
	unlimited bool
	text      string // as String has it, once the user is in a set
}

// sanitizing is what a user says about RESTORE, which nodes decide; it is kept to be told again.
type sanitizing uint8

const (
	sanitizeUnsaid sanitizing = iota
	sanitizeSkip
	sanitizeDo
)

// NewUser returns a user who may do nothing, and can't log in.
func NewUser(name string) *User { return &User{name: name, selectors: []*selector{{}}} }

// NewDefault returns the user default as a server without any configuration has it: who may do everything, without a
// password, or with this one.
func NewDefault(password string) *User {
	u := NewUser(DefaultName)
	for _, rule := range []string{"on", "nopass", "~*", "&*", "+@all"} {
		u.mustApply(rule)
	}
	if password != "" {
		u.mustApply(">" + password)
	}
	return u
}

func (u *User) mustApply(rule string) {
	if err := u.Apply(rule); err != nil {
		panic(err)
	}
}

// Name returns the user's name.
func (u *User) Name() string { return u.name }

// On reports whether the user may log in.
func (u *User) On() bool { return u.on }

// NoPassword reports whether any password will do.
func (u *User) NoPassword() bool { return u.nopass }

// CanLogIn reports whether there is a password with which the user may log in.
func (u *User) CanLogIn() bool { return u.on && (u.nopass || len(u.passwords) > 0) }

// Unlimited reports whether the user may do everything, with every key and channel: such a one need not be judged.
func (u *User) Unlimited() bool { return u.unlimited }

// Same reports whether two users, each in its set, have the same passwords and may do the same, as far as their rules tell.
func (u *User) Same(other *User) bool { return u.text == other.text }

// Users is a set of users that does not change. There always is a default one.
type Users struct {
	byName map[string]*User
	sorted []*User
}

// NewUsers returns the set of these, and of an unlimited default user without a password if there is none among them.
func NewUsers(users ...*User) (*Users, error) {
	us := &Users{byName: map[string]*User{}}
	for _, u := range users {
		if us.byName[u.name] != nil {
			return nil, fmt.Errorf("duplicate user %q; a user can only be defined once", u.name)
		}
		us.byName[u.name] = u
	}
	if us.byName[DefaultName] == nil {
		us.byName[DefaultName] = NewDefault("")
	}
	for _, u := range us.byName {
		u.unlimited, u.text = u.selectors[0].unlimited(), u.String()
	}
	us.sorted = slices.SortedFunc(maps.Values(us.byName), func(a, b *User) int { return strings.Compare(a.name, b.name) })
	return us, nil
}

// All returns the users in order of name. The slice must not be changed.
func (us *Users) All() []*User { return us.sorted }

// Find returns the user of a name, nil if there is none.
func (us *Users) Find(name []byte) *User { return us.byName[string(name)] }

// Default returns the user that connections are before they log in.
func (us *Users) Default() *User { return us.byName[DefaultName] }

// LogIn returns the user of a name if this is a password of theirs, nil otherwise. With it comes the password's digest, ""
// if any would have done.
func (us *Users) LogIn(name, password []byte) (u *User, digest string) {
	digest = Digest(password) // also for who does not exist: how long it takes says nothing
	u = us.byName[string(name)]
	switch {
	case u == nil || !u.on:
		return nil, ""
	case u.nopass:
		return u, ""
	case u.Takes(digest):
		return u, digest
	}
	return nil, ""
}

var errName = errors.New("Usernames can't contain spaces or null characters")

// CheckName says what is wrong with the name of a user.
func CheckName(name string) error {
	if strings.ContainsFunc(name, isSpaceOrNull) || name == "" {
		return errName
	}
	return nil
}

func isSpaceOrNull(r rune) bool { return r == ' ' || '\t' <= r && r <= '\r' || r == 0 }
