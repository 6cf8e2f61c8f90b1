// Package config reads the configuration of the router: our own proxy.yml, or as they are a twemproxy nutcracker.yml, a predixy.conf and the
// Redis proxies of an Envoy bootstrap file.
//
// What it returns is complete (every default filled in) and checked: a Config that loads can be served. Reading is
// strict. Unknown options, doubled names and impossible values are refused, all of them at once, each with file and
// line, what was found and what is expected. Nothing here opens a socket or looks up a name.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// Config is one checked configuration file.
type Config struct {
	Threads int // event loops; 0: one per four CPUs, at least one

	MaxMemory int // bytes that the process may hold before it sheds; 0: no bound

	Admin    Admin
	Stats    *StatsCompat // nil: none
	Log      Log
	Reload   Reload
	Start    Start
	Shutdown Shutdown
	Tracing  Tracing
	Pools    []Pool // at least one, in the order of the file

	File     string   // the name it was read under
	Warnings []string // what was accepted but means nothing here, each with file and line
}

// Tracing is where some requests are told as traces of OpenTelemetry.
type Tracing struct {
	Endpoint string  // http://host:port or https://host:port; empty: nowhere
	Protocol string  // http or grpc
	Sample   float64 // which part of the requests, above 0 and up to 1
	Keys     bool    // with their first key
}

// Admin is the HTTP side of the process.
type Admin struct {
	Listen string     // "host:port"; empty: no admin listener
	TLS    *ServerTLS // nil: plain
	Pprof  bool       // serve /debug/pprof/
}

// StatsCompat is a port that answers as twemproxy's stats port does.
type StatsCompat struct {
	Listen string // "host:port"
	Line   int    // where it stands in the file
}

// ServerTLS is how a listener speaks TLS.
type ServerTLS struct {
	Cert, Key         string // files
	ClientCA          string // a file; empty: clients' certificates are not asked for
	RequireClientCert bool   // means something with ClientCA only
	UserFromCert      string // off, or cn: who has a certificate with the name of a user is that user
	MinVersion        string // 1.2 or 1.3
	HandshakeTimeout  time.Duration
	Line              int // where it stands in the file
}

// ClientTLS is how servers are spoken to.
type ClientTLS struct {
	CA                 string // a file; empty: the system's authorities
	Cert, Key          string // files; empty: no certificate is shown
	ServerName         string // empty: the host of the address
	InsecureSkipVerify bool
	MinVersion         string // 1.2 or 1.3
	Line               int    // where it stands in the file
}

// Identity is what a server is told of who connects to it.
type Identity struct {
	Username string
	Password Secret // empty: see the others, of which there is one at most

	PasswordEnv  string // the environment variable that has it
	PasswordFile string // the file that has it, as its first line
}

// Given reports whether there is a password.
func (i Identity) Given() bool {
	return i.Password != "" || i.PasswordEnv != "" || i.PasswordFile != ""
}

// Log says what is logged and how.
type Log struct {
	Level  string // debug, info, warn or error
	Format string // text or json
}

// Reload says when the file is read again while the process runs.
type Reload struct {
	Watch bool // when the file changes
}

// Start says what has to be there before clients are accepted.
type Start struct {
	Require string        // none, some or all: which nodes of each pool must answer
	Wait    time.Duration // how long they are waited for; 0: they are asked once
}

// Shutdown says how the process ends when it is told to.
type Shutdown struct {
	DrainDelay   time.Duration // while it is not ready, and serves as before
	DrainTimeout time.Duration // after that, for letting clients go
}

// Pool is one listening address and the servers behind it. Where its servers come from is said by exactly one of
// Backends, Sentinel, Cluster and Routes; the last is a pool that has no servers itself and leads to other pools.
type Pool struct {
	Name string
	Line int // where it stands in the file

	Listen       string      // "host:port", "[::1]:port" or "unix:///path"; empty: only routes and mirrors lead here
	ListenMode   os.FileMode // of the unix socket; 0: as the umask leaves it
	Backlog      int
	ReusePort    bool
	TCPKeepAlive bool

	Distribution string // consistent, ketama, modula, random, crc16, ring_hash, maglev or list
	Hash         string // empty for random, crc16 and maglev, which have none to choose
	HashTag      string // empty, or the two characters that enclose the part of a key that is hashed
	VirtualNodes int
	LoadBound    float64
	RingSize     int // points of ring_hash, at least and at most
	MaxRingSize  int
	TableSize    int  // places of maglev
	UnsignedChar bool // hash bytes above 0x7f as a twemproxy built on ARM does

	Timeout        time.Duration // for a reply; 0: for ever
	ReadTimeout    time.Duration // for the reply to a read; 0: for ever; AsTimeout: see ReplyTimeout
	WriteTimeout   time.Duration // likewise, to a write
	ScriptTimeout  time.Duration // likewise, to a script or function
	ConnectTimeout time.Duration // for a connection; 0: for ever
	Preconnect     bool

	Window            int           // requests in flight per client
	MaxRequestSize    int           // bytes in one argument of a request
	ClientInputLimit  int           // bytes in one request
	MaxArguments      int           // of one request
	MaxKeyLength      int           // bytes; 0: as MaxRequestSize
	ClientOutputLimit int           // unsent reply bytes at which a client's parser stops
	ClientStall       time.Duration // a client that reads none of its replies for so long is closed; 0: never
	NodeOutputLimit   int           // unsent request bytes per lane at which its clients wait
	MaxClients        int           // 0: unlimited
	MaxPerAddress     int           // clients; 0: unlimited
	ConnectionRate    int           // new clients in a second; 0: unlimited
	LoginTimeout      time.Duration // who has to log in and has not by then is closed; 0: never
	IdleTimeout       time.Duration // a client that asks nothing for so long is closed; 0: never
	RequestRate       int           // requests of all clients in a second; 0: unlimited
	RequestBurst      int           // of them at once; 0: as many as RequestRate
	NodeRequests      int           // in flight to one node over all loops, beyond which they are shed; 0: unlimited
	NodeBytes         int           // of requests in flight, sent or queued, to one node; 0: unlimited
	MaxReplySize      int           // bytes of one reply of a node; 0: unlimited
	PrivateLanes      int           // private connections per loop
	ReadRetries       int           // percent of the requests: reads sent a second time after their node was lost

	TLS        *ServerTLS // of clients; nil: plain
	BackendTLS *ClientTLS // of nodes, sentinels and seeds; nil: plain

	Identity           // sent to the backends
	RequirePass Secret // demanded from clients
	Database    int    // the database a client starts in

	Users         []User      // in the order of the file; empty: all clients are the user default
	UsersFile     string      // where they are otherwise, in the syntax of Redis' aclfile
	UserLimits    []UserLimit // of users, wherever they are
	DenyCommands  []string    // in lower case, or categories such as @admin. Whether there are such is not checked here.
	AllowCommands []string    // likewise: which of these are not denied
	Dangerous     string      // who may send what concerns everybody: local, allow or deny

	Passthrough bool // clients are at the servers who they say they are

	HitPrefixes   []string      // whose keys' hits and misses are counted apart, at most MostHitPrefixes
	RequestPhases bool          // the time of requests is told by phases
	SlowThreshold time.Duration // from which on a request is in the slow log; NoSlowlog: none
	SlowLength    int           // entries of the slow log
	NodeInfo      time.Duration // between two questions for each node's INFO; 0: none is asked

	ClusterMode bool // answer CLUSTER as a cluster of one node

	OnFailure     string // fail or eject
	FailureLimit  int    // failures in a row that eject a node
	RetryTimeout  time.Duration
	Health        Health
	MaxEjected    int           // percent of the nodes; one may be ejected unless it is 0, the last one never
	FlushOnReturn bool          // an ejected node is emptied before it gets its keys back
	SlowStart     time.Duration // over which a returning node takes its share back; 0: at once
	FailoverWait  time.Duration // how long requests that are not sent yet wait for a new primary; 0: not at all

	ReadPolicy    string        // primary, prefer-replica, replica, any or nearest
	MaxLag        time.Duration // a replica further behind its primary is not read; 0: no bound
	ReadOwnWrites time.Duration // so long after a write a client's reads go to the primary
	Zone          string        // of this Ringway, for nearest; "": by latency

	Backends    []Backend     // in the order of the file
	Sentinel    *Sentinel     // nil: none
	Cluster     *Cluster      // nil: none
	DNSInterval time.Duration // between look-ups of dns:// backends
	Migration   Migration

	HotKeys HotKeys

	Routes []Route // in the order of the file
	Mirror *Mirror // nil: none
	Fault  *Fault  // nil: none

	built *builtRing
}

// User is one who may log in to a pool.
type User struct {
	Name       string
	Passwords  []Secret
	Digests    []Secret // of passwords: their SHA-256
	NoPassword bool     // any password will do
	Rules      string   // what the user may do, as in Redis' ACL; no passwords. Whether it can be so is not checked here.

	RequestRate  int // requests of all of the user's clients in a second; 0: unlimited
	RequestBurst int // of them at once; 0: as many as RequestRate

	Line int // where it stands in the file
}

// UserLimit is what one user of a pool may ask, of whom the rest is said elsewhere.
type UserLimit struct {
	User         string
	RequestRate  int // requests of all of the user's clients in a second
	RequestBurst int // of them at once; 0: as many as RequestRate

	Line int // where it stands in the file
}

// NoSlowlog in SlowThreshold means that there is no slow log.
const NoSlowlog time.Duration = -1

// AsTimeout in ReadTimeout, WriteTimeout or ScriptTimeout means that Timeout holds.
const AsTimeout time.Duration = -1

// AutoRetries in ReadRetries means that reads are sent again where there is another server for them.
const AutoRetries = -1

// RetryShare resolves ReadRetries: the percentage of the requests that may be reads sent a second time.
func (p *Pool) RetryShare() int {
	switch {
	case p.ReadRetries != AutoRetries:
		return p.ReadRetries
	case p.Sentinel != nil || p.Cluster != nil || slices.ContainsFunc(p.Backends, func(b Backend) bool { return len(b.Replicas) > 0 }):
		return 10
	}
	return 0
}

// ReplyTimeout resolves ReadTimeout, WriteTimeout or ScriptTimeout. 0: for ever.
func (p *Pool) ReplyTimeout(of time.Duration) time.Duration {
	if of == AsTimeout {
		return p.Timeout
	}
	return of
}

// Backend is one Redis server. The ring places keys by its Name, never by its Address.
type Backend struct {
	Name     string
	Address  string // "host:port", "[::1]:port", "unix:///path" or "dns://host:port"
	Single   bool   // of a dns:// backend: all its addresses are one node
	Weight   int    // at least 1
	Zone     string
	Replicas []Replica
	Identity     // sent to it and its replicas; without a password: the pool's
	Line     int // where it stands in the file
}

// InDNS reports whether the backend's address is a name whose addresses are looked up again and again.
func (b Backend) InDNS() bool { return strings.HasPrefix(b.Address, dnsScheme) }

// Replica is a server that has the keys of a backend, some time later.
type Replica struct {
	Address string // "host:port", "[::1]:port" or "unix:///path"
	Zone    string
	Line    int // where it stands in the file
}

// Health says how nodes are asked whether they live. An Interval of 0: not at all.
type Health struct {
	Interval  time.Duration
	Timeout   time.Duration // for the answer
	Failures  int           // in a row, until a node is taken for down
	Successes int           // in a row, until it is taken for up again
}

// Sentinel is where the primaries of a pool are asked for. Keys are placed by the masters' names.
type Sentinel struct {
	Addresses []string // at least one
	Masters   []Master // at least one, in the order of the file
	Identity           // sent to the sentinels
	Line      int      // where it stands in the file
}

// Master is a primary and its replicas, as Sentinel names them.
type Master struct {
	Name   string
	Weight int // at least 1
	Line   int // where it stands in the file
}

// Cluster is a Redis Cluster behind the pool, whose slots place the keys.
type Cluster struct {
	Seeds []string // at least one
	Line  int      // where it stands in the file
}

// Migration says what happens to keys whose node changes with the list of nodes.
type Migration struct {
	Mode      string        // off or warm
	Window    time.Duration // for which the old places are asked
	MoverRate int           // keys per second that are moved in the background; 0: none
}

// HotKeys says what is done about keys that get far more than their share of the requests.
type HotKeys struct {
	Mode    string   // auto, near, copies, collapse or off
	Exclude []string // patterns as KEYS takes them; a key that fits one is never hot
	Pin     []string // patterns likewise; a key that fits one is hot as soon as it is seen a few times

	MaxStaleness time.Duration // how long ago the node must have been heard of; 0: nothing is kept
	MaxAge       time.Duration // how long what was read may be kept in any case

	NearMaxValue int // bytes of a reply that is kept by the router
	NearMemory   int // bytes of them in all, of the process

	CopyMaxValue int           // bytes of a value that is copied to other nodes
	CopyTTL      time.Duration // for which a copy lives that nobody reads
	CopyDatabase int           // the database of copies

	MinReads    int // of a version of a key, on average, for it to be worth while
	Validations int // of a key at its node, in a second
}

// Route leads the keys with a prefix to another pool; the longest prefix counts.
type Route struct {
	Prefix      string // empty: all other keys
	Pool        string
	StripPrefix bool // the servers see the keys without it
	Line        int  // where it stands in the file
}

// Mirror sends a copy of the requests to another pool, whose answers are thrown away.
type Mirror struct {
	Pool         string
	Percent      float64 // of the requests; more than 0, at most 100
	ExcludeReads bool
	Line         int // where it stands in the file
}

// Fault makes some requests slow, or fail, to see what clients make of it. It has a Delay or an Error.
type Fault struct {
	Percent  float64 // of the requests; more than 0, at most 100
	Delay    time.Duration
	Error    string   // the reply, without its minus sign; empty: the request is served, late
	Commands []string // in lower case, or a category such as @write; empty: all. Whether there are such is not checked here.
	Line     int      // where it stands in the file
}

// Load reads path, which is a proxy.yml, a nutcracker.yml, a predixy.conf or an Envoy bootstrap file.
func Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, fmt.Errorf("cannot read the configuration %s: %w", path, err)
	}
	return (&reader{file: path, readFile: os.ReadFile}).parse(data)
}

// Parse reads data, a proxy.yml, a nutcracker.yml, a predixy.conf or an Envoy bootstrap file: which one is told by what it holds. The name is only
// used to say where a mistake is, so that a predixy.conf can't include others. The error is of type Problems when the file was read but can't be right.
func Parse(name string, data []byte) (*Config, error) {
	return (&reader{file: name}).parse(data)
}

func (r *reader) parse(data []byte) (*Config, error) {
	c := Default()
	c.File = r.file
	if isPredixy(data) {
		r.predixy(data, &c)
	} else if root := r.document(data); root == nil {
		return nil, r.err()
	} else if isEnvoy(root) {
		r.envoy(root, &c)
	} else if isTwemproxy(root) {
		r.twemproxy(root, &c)
	} else {
		r.proxy(root, &c)
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	c.Warnings = r.warningTexts()
	return &c, nil
}
