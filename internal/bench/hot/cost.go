package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"ringway/internal/bench/process"
)

// A contender is a Ringway with clients of its own. All are in front of the same nodes.
type contender struct {
	name string
	*ringway
	load    *load
	figures []float64 // by round
	asked   map[string]int
	opened  int
	sent    int
}

// contenders has off twice: what lies between the two is what the machine adds.
var contenders = [][2]string{{"off", "off"}, {"off again", "off"}, {"auto", "auto"}}

func (b *bench) contend(addrs []string, threads, conns, window int) (list []*contender, end func(), err error) {
	end = func() {
		for _, c := range list {
			if c.load != nil {
				c.load.close()
			}
			c.Stop()
		}
	}
	for _, what := range contenders {
		r, err := b.startRingway(what[1], threads, addrs)
		if err != nil {
			return list, end, err
		}
		c := &contender{name: what[0], ringway: r, asked: map[string]int{}}
		list = append(list, c)
		if c.load, err = newLoad([]string{r.addr}, conns, window, workload{}.popularity(), 0, []byte(value)); err != nil {
			return list, end, err
		}
	}
	return list, end, nil
}

// cost compares the CPU time of a request with nothing hot, in many short turns, and what the servers are asked for.
func (b *bench) cost() error {
	f, err := b.startReal(3)
	if err != nil {
		return err
	}
	defer f.close()
	if err := b.fill(f.addrs()); err != nil {
		return err
	}
	fmt.Fprintln(b.out, "CPU time of a GET with nothing hot, us, and over that with hot_keys: off in the same round (95 % interval of the median)")
	fmt.Fprintln(b.out)
	fmt.Fprintln(b.out, "| pipeline | hot_keys | us | ratio | interval | rounds |\n|---|---|---|---|---|---|")
	for _, pipeline := range []int{1, 16} {
		if err := b.costOf(f, pipeline); err != nil {
			return err
		}
	}
	fmt.Fprintln(b.out)
	return nil
}

func (b *bench) costOf(f *realNodes, pipeline int) error {
	idle, err := f.connections()
	if err != nil {
		return err
	}
	list, end, err := b.contend(f.addrs(), 1, 50, pipeline)
	defer func() { end() }()
	if err != nil {
		return err
	}
	requests := 10_000 * min(pipeline, 8)
	for round := range b.opt.costs + 2 { // the first two are for connections and memory to be there
		for i := range list {
			c := list[(i+round)%len(list)]
			asked, err := f.commands()
			if err != nil {
				return err
			}
			cpu, err := process.CPUTime(c.Pid())
			if err != nil {
				return err
			}
			c.load.send(int64(requests))
			if err := c.load.wait(); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			now, err := process.CPUTime(c.Pid())
			if err != nil {
				return err
			}
			if round == 0 {
				open, err := f.connections()
				if err != nil {
					return err
				}
				c.opened, idle = open-idle, open
			}
			if round < 2 {
				continue
			}
			c.figures = append(c.figures, float64(now-cpu)/1e3/float64(requests))
			c.sent += requests
			if err := c.add(f, asked); err != nil {
				return err
			}
			if err := b.ctx.Err(); err != nil {
				return err
			}
		}
	}
	for _, c := range list {
		ratio, low, high := ratios(c.figures, list[0].figures)
		fmt.Fprintf(b.out, "| %d | %s | %.3f | %.4f | %.4f to %.4f | %d |\n", pipeline, c.name, median(c.figures), ratio, low, high, len(c.figures))
	}
	for _, c := range list {
		tracking, err := c.metric("ringway_tracking_connections")
		if err != nil {
			return err
		}
		hot, err := c.metric("ringway_hot_key_promotions_total")
		if err != nil {
			return err
		}
		var asked []string
		for _, name := range slices.Sorted(maps.Keys(c.asked)) {
			asked = append(asked, fmt.Sprint(name, " ", c.asked[name]))
		}
		b.say("pipeline %d, %s: %d requests; the servers were asked for %v, by %d connections; %.0f tracking connections, %.0f keys were hot",
			pipeline, c.name, c.sent, asked, c.opened, tracking, hot)
		if c.opened != list[0].opened || tracking != 0 || c.asked["get"] != c.sent || len(c.asked) != 1 {
			return fmt.Errorf("%s has the servers do more than it was asked for", c.name)
		}
	}
	return nil
}

// add counts what the servers have been asked since.
func (c *contender) add(f *realNodes, before map[string]int) error {
	after, err := f.commands()
	if err != nil {
		return err
	}
	for name, n := range after {
		if d := n - before[name]; d > 0 {
			c.asked[name] += d
		}
	}
	return nil
}

// ratios returns the median of the ratios of two series by round, and a 95 % interval for it, by the order of the ratios.
func ratios(list, to []float64) (mid, low, high float64) {
	var all []float64
	for i := range list {
		all = append(all, list[i]/to[i])
	}
	slices.Sort(all)
	n := float64(len(all))
	off := int(math.Ceil(0.98 * math.Sqrt(n)))
	at := func(i int) float64 { return all[max(0, min(i, len(all)-1))] }
	return median(all), at(int(n/2) - off), at(int(math.Ceil(n/2)) - 1 + off)
}

// writes compares throughput when one key gets half of the requests and every second of them is a write.
func (b *bench) writes() error {
	fmt.Fprintln(b.out, "One key gets half of the requests, every second of them a SET: requests/s, and over those with hot_keys: off in the same round")
	fmt.Fprintln(b.out)
	fmt.Fprintln(b.out, "| nodes | hot_keys | requests/s | ratio | least to greatest | rounds |\n|---|---|---|---|---|---|")
	f, err := startCapped(8)
	if err != nil {
		return err
	}
	err = b.writesOf("8 capped", f, 64)
	f.close()
	if err != nil {
		return err
	}
	r, err := b.startReal(3)
	if err != nil {
		return err
	}
	defer r.close()
	defer fmt.Fprintln(b.out)
	return b.writesOf("3 redis-servers", r, 50)
}

func (b *bench) writesOf(what string, f nodes, conns int) error {
	list, end, err := b.contend(f.addrs(), b.opt.threads, conns, 1)
	defer func() { end() }()
	if err != nil {
		return err
	}
	for round := range b.opt.rounds {
		for i := range list {
			c := list[(i+round)%len(list)]
			c.load.hot.Store(&hotKey{name: []byte(stormName(0, 0)), share: 0.5, writes: 0.5})
			c.load.start()
			if err := b.pause(b.opt.warm); err != nil {
				return err
			}
			began, done := time.Now(), c.load.done()
			if err := b.pause(2 * b.opt.measure); err != nil {
				return err
			}
			c.figures = append(c.figures, float64(c.load.done()-done)/time.Since(began).Seconds())
			if err := c.load.stop(); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	for _, c := range list {
		ratio, _, _ := ratios(c.figures, list[0].figures)
		var all []float64
		for i := range c.figures {
			all = append(all, c.figures[i]/list[0].figures[i])
		}
		fmt.Fprintf(b.out, "| %s | %s | %.0f | %.3f | %.3f to %.3f | %d |\n", what, c.name, median(c.figures), ratio, slices.Min(all), slices.Max(all), len(all))
	}
	return nil
}
