package main

import (
	"fmt"
	"strconv"
	"strings"
)

// A scenario is one way to load a proxy. Its id is short, for flags; its title is for people.
type scenario struct {
	ID       string
	Title    string
	Clients  int
	Pipeline int
	Keyspace int      // keys are drawn at random from this many
	Threads  int      // of each proxy that can have more than one
	Command  []string // as redis-benchmark takes it, which replaces each __rand_int__ by a random number
	Keys     int      // in one request
	Writes   bool
	Seconds  float64 // that one run should last
	TLS      string  // on which side of the proxy: none, down, up or both; empty: it is not about that

	secure []string // arguments of redis-benchmark for it

	// Ratio is what Ringway's CPU per request may be at most, divided by twemproxy's in the same round; 0: no such
	// target. TailRatio is the same for p99.
	Ratio     float64
	TailRatio float64
}

const (
	keyspace    = 100_000
	bigKeyspace = 10_000 // of 4 KiB values: no more than 40 MB on a server
	randomKey   = "key:__rand_int__"
	smallValue  = "xxx"
)

func allScenarios() []scenario {
	get := []string{"GET", randomKey}
	set := []string{"SET", randomKey, smallValue}
	list := []scenario{
		{ID: "get-p1", Title: "GET", Command: get, Pipeline: 1, Ratio: 0.80},
		{ID: "get-p16", Title: "GET", Command: get, Pipeline: 16, Ratio: 0.25},
		{ID: "get-p128", Title: "GET", Command: get, Pipeline: 128, Ratio: 0.08},
		{ID: "set-p1", Title: "SET", Command: set, Pipeline: 1, Ratio: 0.80},
		{ID: "set-p16", Title: "SET", Command: set, Pipeline: 16, Ratio: 0.25},
		{ID: "set-p128", Title: "SET", Command: set, Pipeline: 128, Ratio: 0.08},
		{ID: "set4k-p16", Title: "SET of 4 KiB", Pipeline: 16, Keyspace: bigKeyspace, Ratio: 0.60,
			Command: []string{"SET", "big:__rand_int__", strings.Repeat("x", 4096)}},
		{ID: "get-c1", Title: "GET", Command: get, Clients: 1, Pipeline: 1, Ratio: 1.0},
		{ID: "get-c1000", Title: "GET", Command: get, Clients: 1000, Pipeline: 1, Seconds: 2.5, TailRatio: 1.0},
		{ID: "mset10-p4", Title: "MSET of 10", Pipeline: 4, Ratio: 0.30,
			Command: append([]string{"MSET"}, repeat(10, randomKey, smallValue)...)},
		{ID: "mget100-p1", Title: "MGET of 100", Pipeline: 1, Ratio: 0.35,
			Command: append([]string{"MGET"}, repeat(100, randomKey)...)},
		{ID: "get-p16-2t", Title: "2 threads, GET", Command: get, Pipeline: 16, Threads: 2},
	}
	return completed(list)
}

// completed fills in what a scenario does not say.
func completed(list []scenario) []scenario {
	for i := range list {
		s := &list[i]
		if s.Clients == 0 {
			s.Clients = 50
		}
		if s.Keyspace == 0 {
			s.Keyspace = keyspace
		}
		if s.Threads == 0 {
			s.Threads = 1
		}
		if s.Seconds == 0 {
			s.Seconds = 1.5
		}
		s.Keys = 1
		switch s.Command[0] {
		case "SET":
			s.Writes = true
		case "MSET":
			s.Writes, s.Keys = true, (len(s.Command)-1)/2
		case "MGET":
			s.Keys = len(s.Command) - 1
		}
		clients := fmt.Sprintf("%d clients", s.Clients)
		if s.Clients == 1 {
			clients = "1 client"
		}
		s.Title += fmt.Sprintf(", %s, pipeline %d", clients, s.Pipeline)
	}
	return list
}

func scenarioIDs() []string {
	var ids []string
	for _, s := range allScenarios() {
		ids = append(ids, s.ID)
	}
	return ids
}

func repeat(n int, words ...string) []string {
	var all []string
	for range n {
		all = append(all, words...)
	}
	return all
}

// load is the command line of the clients, without the program's name.
func (s scenario) load(port, requests int) []string {
	args := []string{
		"-h", "127.0.0.1", "-p", strconv.Itoa(port), "-c", strconv.Itoa(s.Clients), "-P", strconv.Itoa(s.Pipeline),
		"-r", strconv.Itoa(s.Keyspace), "-n", strconv.Itoa(requests), "--csv",
	}
	return append(append(args, s.secure...), s.Command...)
}

// String is the command line as a person would type it, the endless ones cut short.
func (s scenario) String() string {
	words := s.Command
	switch {
	case len(words) > 5:
		words = append(append([]string{}, words[:3]...), "...")
	case len(words) == 3 && len(words[2]) > 100:
		words = []string{words[0], words[1], "<4096 bytes>"}
	}
	return fmt.Sprintf("redis-benchmark -c %d -P %d -r %d %s", s.Clients, s.Pipeline, s.Keyspace, strings.Join(words, " "))
}

// requests is how many to send so that a run takes about as long as it should, in whole pipelines for every client.
func (s scenario) requests(perSecond, scale float64) int {
	step := s.Clients * s.Pipeline
	n := int(perSecond * s.Seconds * scale)
	return max(n/step, 4) * step
}
