package config

import (
	"time"

	"ringway/hashring"
)

// Default is what a proxy.yml without a line means: no pools yet, everything else set.
func Default() Config {
	return Config{
		Admin:  Admin{Listen: "127.0.0.1:9121"},
		Log:    Log{Level: "info", Format: "text"},
		Reload: Reload{Watch: true},

		Start:    Start{Require: "none", Wait: 30 * time.Second},
		Shutdown: Shutdown{DrainTimeout: 10 * time.Second},
		Tracing:  Tracing{Protocol: "http", Sample: 0.001},
	}
}

// DefaultPool is a pool of a proxy.yml that says nothing but its name, its address and its backends.
func DefaultPool() Pool {
	return Pool{
		Backlog: 512,

		Distribution: "consistent",
		Hash:         ownHash,
		HashTag:      "{}",
		VirtualNodes: hashring.DefaultVirtualNodes,
		LoadBound:    hashring.DefaultLoadBound,
		RingSize:     hashring.DefaultRingSize,
		MaxRingSize:  hashring.DefaultMaxRingSize,
		TableSize:    hashring.DefaultTableSize,

		Timeout:        time.Second,
		ReadTimeout:    AsTimeout,
		WriteTimeout:   AsTimeout,
		ScriptTimeout:  AsTimeout,
		ConnectTimeout: 500 * time.Millisecond,

		Window:            256,
		MaxRequestSize:    512 << 20,
		ClientInputLimit:  1 << 30,
		MaxArguments:      1 << 20,
		MaxReplySize:      1 << 30,
		ClientOutputLimit: 256 << 10,
		ClientStall:       time.Minute,
		NodeOutputLimit:   1 << 20,
		MaxClients:        10000,
		LoginTimeout:      time.Minute,
		PrivateLanes:      10000,
		ReadRetries:       AutoRetries,

		Dangerous: "local",

		RequestPhases: true,
		SlowThreshold: 10 * time.Millisecond,
		SlowLength:    128,

		OnFailure:    "fail",
		FailureLimit: 3,
		RetryTimeout: 30 * time.Second,
		Health:       Health{Interval: time.Second, Timeout: time.Second, Failures: 3, Successes: 2},
		MaxEjected:   50,
		FailoverWait: 5 * time.Second,

		ReadPolicy: "primary",
		MaxLag:     10 * time.Second,

		HotKeys: HotKeys{
			Mode: "auto", MaxStaleness: 500 * time.Millisecond, MaxAge: 10 * time.Second,
			NearMaxValue: 16 << 10, NearMemory: 16 << 20,
			CopyMaxValue: 256 << 10, CopyTTL: 10 * time.Second, CopyDatabase: 15,
			MinReads: 8, Validations: 10,
		},

		DNSInterval: 5 * time.Second,
		Migration:   Migration{Mode: "off", Window: 10 * time.Minute, MoverRate: 1000},
	}
}
