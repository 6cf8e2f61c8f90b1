package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ringway/internal/bench/process"
)

// A sample is one run: one contender, one scenario, one round.
type sample struct {
	speed
	cpu      float64 // microseconds of the proxy's CPU per request
	redisCPU float64 // and of the three servers together
	resident float64 // MiB of the proxy, after the run
}

// A bout is a contender within a scenario.
type bout struct {
	who      *contender
	proc     *process.Process // nil for direct
	beside   *process.Process // nil unless its work is shared
	port     int
	requests int // of one run
	samples  []sample
	err      error // once set, it takes no further part
}

// processes are those whose cost counts.
func (b *bout) processes() (list []*process.Process) {
	for _, p := range []*process.Process{b.proc, b.beside} {
		if p != nil {
			list = append(list, p)
		}
	}
	return list
}

// measureAll runs the scenarios one after the other on the same servers. Every scenario has fresh proxies, so that
// what one did to their memory is not seen in the next.
func measureAll(ctx context.Context, opt options, rep *report, progress io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "ringway-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	const count = 3
	var sec *secure
	if opt.tls {
		if sec, err = newSecure(dir, count); err != nil {
			return err
		}
	}
	servers, ports, err := process.RedisServers(ctx, dir, count, sec.server)
	defer func() {
		for _, p := range servers {
			p.Stop()
		}
	}()
	if err != nil {
		return err
	}
	if err := preload(ports); err != nil {
		return err
	}
	f := field{dir: dir, ports: ports, secure: sec, scale: opt.scale, progress: progress}
	for _, p := range servers {
		f.pids = append(f.pids, p.Pid())
	}
	for i, s := range opt.scenarios {
		fmt.Fprintf(progress, "%d/%d %s\n", i+1, len(opt.scenarios), s.Title)
		bouts, err := f.play(ctx, s, opt.contenders, opt.rounds)
		if err != nil {
			return err
		}
		rep.add(s, bouts)
		for _, p := range servers {
			if err := p.Ended(); err != nil {
				return err
			}
		}
	}
	return nil
}

// The field is what all scenarios share.
type field struct {
	dir      string
	ports    []int // of the servers
	pids     []int
	secure   *secure
	scale    float64
	progress io.Writer
}

// play runs one scenario. What fails for one contender is noted in its bout; the error is for what ends it all.
func (f *field) play(ctx context.Context, s scenario, list []*contender, rounds int) ([]*bout, error) {
	var bouts []*bout
	defer func() {
		for _, b := range bouts {
			for _, p := range b.processes() {
				p.Stop()
			}
		}
	}()
	if s.down() {
		s.secure = []string{"--tls", "--cacert", f.secure.cert}
	}
	for _, c := range list {
		b := &bout{who: c}
		bouts = append(bouts, b)
		b.err = f.enter(ctx, s, b)
		if b.err == nil {
			b.err = f.calibrate(ctx, s, b)
		}
		if err := f.after(ctx, b); err != nil {
			return bouts, err
		}
	}
	for round := range rounds {
		for i := range bouts {
			b := bouts[(i+round)%len(bouts)]
			if b.err != nil {
				continue
			}
			var one sample
			if one, b.err = f.once(ctx, s, b); b.err == nil {
				b.samples = append(b.samples, one)
			}
			if err := f.after(ctx, b); err != nil {
				return bouts, err
			}
		}
		fmt.Fprintf(f.progress, "  round %d of %d\n", round+1, rounds)
	}
	return bouts, nil
}

// after tells an interruption, which ends it all, from a contender's failure, which is its own affair.
func (f *field) after(ctx context.Context, b *bout) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if b.err != nil {
		if b.proc != nil {
			if ended := b.proc.Ended(); ended != nil {
				b.err = ended // whatever else was seen follows from it
			}
		}
		fmt.Fprintf(f.progress, "  %s failed: %v\n", b.who.name, b.err)
	}
	return nil
}

// enter starts a contender and waits until it serves every command rightly.
func (f *field) enter(ctx context.Context, s scenario, b *bout) error {
	k := b.who.kind
	if k.configure == nil {
		b.port = f.ports[0]
		return nil
	}
	dir := filepath.Join(f.dir, s.ID+"-"+b.who.name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	free, err := process.FreePorts(2)
	if err != nil {
		return err
	}
	b.port = free[0]
	p := place{dir: dir, ports: [2]int(free), servers: f.ports, threads: s.Threads, side: s.TLS, secure: f.secure}
	if k.beside != nil {
		program, args, err := k.beside(&p)
		if err != nil {
			return err
		}
		if program != "" {
			if b.beside, err = process.Start(b.who.name+" (beside)", dir, program, args...); err != nil {
				return err
			}
		}
	}
	args, err := k.configure(p)
	if err != nil {
		return err
	}
	if b.proc, err = process.Start(b.who.name, dir, b.who.path, args...); err != nil {
		return err
	}
	var cfg *tls.Config
	if s.down() {
		cfg = f.secure.client()
	}
	return process.Until(ctx, 15*time.Second, b.proc.Ended, func() error { return verify(b.port, cfg, f.ports, k.shards) })
}

// calibrate warms the contender up with ever longer runs, and settles on the number of requests that takes it about
// as long as a run should.
func (f *field) calibrate(ctx context.Context, s scenario, b *bout) error {
	for n := s.Clients * s.Pipeline * 4; ; {
		v, err := runLoad(ctx, s, b.port, n, time.Minute)
		if err != nil {
			return err
		}
		const enough = 0.2 // seconds
		if took := float64(n) / v.rps; took >= enough {
			b.requests = s.requests(v.rps, f.scale)
			return nil
		} else {
			n *= min(max(int(enough*1.2/took)+1, 2), 20)
		}
	}
}

// once is one run of one contender.
func (f *field) once(ctx context.Context, s scenario, b *bout) (sample, error) {
	var one sample
	before, err := readTally(f.ports)
	if err != nil {
		return one, err
	}
	proxy, servers, err := f.clocks(b)
	if err != nil {
		return one, err
	}
	if one.speed, err = runLoad(ctx, s, b.port, b.requests, time.Minute); err != nil {
		return one, err
	}
	proxyAfter, serversAfter, err := f.clocks(b)
	if err != nil {
		return one, err
	}
	perRequest := func(t time.Duration) float64 { return float64(t) / 1e3 / float64(b.requests) }
	one.cpu, one.redisCPU = perRequest(proxyAfter-proxy), perRequest(serversAfter-servers)
	for _, p := range b.processes() {
		bytes, err := process.ResidentBytes(p.Pid())
		if err != nil {
			return one, err
		}
		one.resident += float64(bytes) / (1 << 20)
	}
	after, err := readTally(f.ports)
	if err != nil {
		return one, err
	}
	return one, after.confirm(before, s, b.requests)
}

func (f *field) clocks(b *bout) (proxy, servers time.Duration, err error) {
	for _, p := range b.processes() {
		used, err := process.CPUTime(p.Pid())
		if err != nil {
			return 0, 0, err
		}
		proxy += used
	}
	servers, err = process.CPUTimes(f.pids)
	return proxy, servers, err
}

// spread is a figure over the rounds.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return spread{Median: (v[(n-1)/2] + v[n/2]) / 2, Min: v[0], Max: v[n-1]}
}

// ratios divides a's figures by b's, round by round. It gives nothing when one of them has not finished all rounds.
func ratios(a, b []sample, figure func(sample) float64) []float64 {
	if len(a) != len(b) {
		return nil
	}
	var out []float64
	for i := range a {
		if figure(b[i]) <= 0 {
			return nil
		}
		out = append(out, figure(a[i])/figure(b[i]))
	}
	return out
}

func figures(samples []sample, figure func(sample) float64) spread {
	var values []float64
	for _, s := range samples {
		values = append(values, figure(s))
	}
	return spreadOf(values)
}
