// Package status is what a person sees of a running Ringway: for each pool what it does a second and how long that takes, where its keys are,
// which node has more to do than the others and why, and what has happened of late. It is behind the status page, /api/v1/ and
// `ringway top`.
//
//	counters --> [0 recorder: each second] --> [1 rates, history] --\
//	topology, hot keys, on request -------------------------------> [2 Status] --> JSON
//	log      --> [0 events: the last ones] -------------------------/
package status

import "time"

// Status is all of it, of one moment.
type Status struct {
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Time    time.Time `json:"time"`
	Ready   bool      `json:"ready"`
	Why     string    `json:"why,omitempty"` // it is not ready
	Pools   []Pool    `json:"pools"`
	Events  []Event   `json:"events"` // the last one first
}

// Pool is what is told of one pool. Rates are of the last second.
type Pool struct {
	Name         string   `json:"name"`
	Listen       string   `json:"listen,omitempty"`
	Distribution string   `json:"distribution"`
	Clients      int      `json:"clients"`
	Requests     float64  `json:"requests_per_second"`
	Errors       float64  `json:"errors_per_second"`
	P50          float64  `json:"p50_ms"`
	P99          float64  `json:"p99_ms"`
	ErrorsByKind []Count  `json:"errors_by_kind"` // since the start
	Verdict      Verdict  `json:"verdict"`
	History      History  `json:"history"`
	Nodes        []Node   `json:"nodes"`
	Ring         []int    `json:"ring,omitempty"` // the owners of equal parts of the ring, as indices of nodes
	HotMode      string   `json:"hot_keys_mode"`
	HotKeys      []HotKey `json:"hot_keys"`
}

// Count is how many there were of something.
type Count struct {
	What string `json:"what"`
	N    uint64 `json:"n"`
}

// History has a value for each second, the last one at the end.
type History struct {
	Requests []float64 `json:"requests_per_second"`
	Errors   []float64 `json:"errors_per_second"`
	P99      []float64 `json:"p99_ms"`
}

// Node is one server of a pool.
type Node struct {
	Name     string    `json:"name"`
	Address  string    `json:"address"`
	Primary  string    `json:"replica_of,omitempty"`
	State    string    `json:"state"`             // up, down or ejected
	Keys     float64   `json:"share_of_keys"`     // by the ring
	Load     float64   `json:"share_of_requests"` // of those of the last seconds, among the pool's nodes
	Requests float64   `json:"requests_per_second"`
	InFlight int       `json:"in_flight"`
	Unsent   int       `json:"unsent_bytes"`
	Lanes    int       `json:"lanes"`
	Losses   uint64    `json:"losses"`
	History  []float64 `json:"history_requests_per_second"`
}

// HotKey is a key that gets more requests than others.
type HotKey struct {
	Key    string  `json:"key"`
	Node   string  `json:"node"`
	Share  float64 `json:"share"`
	Reads  int64   `json:"reads_per_second"`
	Writes int64   `json:"writes_per_second"`
	Tier   string  `json:"tier"`
	Copies int     `json:"copied_to"`
	Why    string  `json:"why,omitempty"`
}

// The states of a node.
const (
	Up      = "up"
	Down    = "down"
	Ejected = "ejected"
)
