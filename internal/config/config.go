// Package config reads the configuration of the router: our own proxy.yml, or a twemproxy nutcracker.yml as it is.
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
	"time"
)

// Config is one checked configuration file.
type Config struct {
	Threads int // event loops; 0: one per four CPUs, at least one
	Admin   Admin
	Log     Log
	Pools   []Pool // at least one, in the order of the file

	File     string   // the name it was read under
	Warnings []string // what was accepted but means nothing here, each with file and line
}

// Admin is the HTTP side of the process.
type Admin struct {
	Listen string // "host:port"; empty: no admin listener
}

// Log says what is logged and how.
type Log struct {
	Level  string // debug, info, warn or error
	Format string // text or json
}

// Pool is one listening address and the servers behind it.
type Pool struct {
	Name string
	Line int // where it stands in the file

	Listen       string      // "host:port", "[::1]:port" or "unix:///path"
	ListenMode   os.FileMode // of the unix socket; 0: as the umask leaves it
	Backlog      int
	ReusePort    bool
	TCPKeepAlive bool

	Distribution string // consistent, ketama, modula, random or crc16
	Hash         string // empty for random and crc16, which have none to choose
	HashTag      string // empty, or the two characters that enclose the part of a key that is hashed
	VirtualNodes int
	LoadBound    float64
	UnsignedChar bool // hash bytes above 0x7f as a twemproxy built on ARM does

	Timeout        time.Duration // for a reply; 0: for ever
	ConnectTimeout time.Duration // for a connection; 0: for ever
	Preconnect     bool

	Window            int           // requests in flight per client
	MaxRequestSize    int           // bytes in one argument of a request
	ClientOutputLimit int           // unsent reply bytes at which a client's parser stops
	ClientStall       time.Duration // a client that reads none of its replies for so long is closed; 0: never
	NodeOutputLimit   int           // unsent request bytes per lane at which its clients wait
	MaxClients        int           // 0: unlimited

	Username    string // sent to the backends
	Password    Secret // sent to the backends
	RequirePass Secret // demanded from clients
	Database    int    // the database a client starts in

	ClusterMode bool // answer CLUSTER as a cluster of one node

	OnFailure    string // fail or eject
	FailureLimit int    // failures in a row that eject a node
	RetryTimeout time.Duration

	Backends []Backend // at least one, in the order of the file

	built *builtRing
}

// Backend is one Redis server. The ring places keys by its Name, never by its Address.
type Backend struct {
	Name    string
	Address string // "host:port", "[::1]:port" or "unix:///path"
	Weight  int    // at least 1
	Line    int    // where it stands in the file
}

// Load reads path, which is a proxy.yml or a nutcracker.yml.
func Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, fmt.Errorf("cannot read the configuration %s: %w", path, err)
	}
	return Parse(path, data)
}

// Parse reads data, a proxy.yml or a nutcracker.yml: which one is told by what it holds. The name is only used to say
// where a mistake is. The error is of type Problems when the file was read but can't be right.
func Parse(name string, data []byte) (*Config, error) {
	return (&reader{file: name}).parse(data)
}

func (r *reader) parse(data []byte) (*Config, error) {
	root := r.document(data)
	if root == nil {
		return nil, r.err()
	}
	c := Default()
	c.File = r.file
	if isTwemproxy(root) {
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
