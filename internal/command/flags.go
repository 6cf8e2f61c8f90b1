package command

import "math/bits"

// Flags are what a command is and does, as COMMAND prints them.
type Flags uint32

// The flags, in the order in which COMMAND prints them.
const (
	Write Flags = 1 << iota
	ReadOnly
	DenyOOM
	Module
	Admin
	PubSub
	NoScript
	Blocking
	Loading
	Stale
	SkipMonitor
	SkipSlowlog
	Asking
	Fast
	NoAuth
	MayReplicate
	NoMandatoryKeys
	NoAsyncLoading
	NoMulti
	AllowBusy
	MovableKeys
)

var flagNames = [...]string{
	"write", "readonly", "denyoom", "module", "admin", "pubsub", "noscript", "blocking", "loading", "stale",
	"skip_monitor", "skip_slowlog", "asking", "fast", "no_auth", "may_replicate", "no_mandatory_keys",
	"no_async_loading", "no_multi", "allow_busy", "movablekeys",
}

// Has says whether any flag of x is set.
func (f Flags) Has(x Flags) bool { return f&x != 0 }

// Names returns the names of the flags that are set.
func (f Flags) Names() []string { return names(uint32(f), flagNames[:]) }

// Categories are the ACL categories of a command.
type Categories uint32

// The categories, in the order in which COMMAND prints them; those of the modules behind.
const (
	CatKeyspace Categories = 1 << iota
	CatRead
	CatWrite
	CatSet
	CatSortedSet
	CatList
	CatHash
	CatString
	CatBitmap
	CatHyperLogLog
	CatGeo
	CatStream
	CatPubSub
	CatAdmin
	CatFast
	CatSlow
	CatBlocking
	CatDangerous
	CatConnection
	CatTransaction
	CatScripting
	CatVectorSet
	CatJSON
	CatBloom
	CatCuckoo
	CatCMS
	CatTopK
	CatTDigest
	CatTimeSeries
	CatSearch
	CatArray
)

var categoryNames = [...]string{
	"keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap", "hyperloglog", "geo",
	"stream", "pubsub", "admin", "fast", "slow", "blocking", "dangerous", "connection", "transaction", "scripting",
	"vectorset", "json", "bloom", "cuckoo", "cms", "topk", "tdigest", "timeseries", "search", "array",
}

// Has says whether any category of x is set.
func (c Categories) Has(x Categories) bool { return c&x != 0 }

// Names returns the names of the categories that are set, without the '@'.
func (c Categories) Names() []string { return names(uint32(c), categoryNames[:]) }

func names(set uint32, of []string) []string {
	all := make([]string, 0, bits.OnesCount32(set))
	for i, n := range of {
		if set&(1<<i) != 0 {
			all = append(all, n)
		}
	}
	return all
}
