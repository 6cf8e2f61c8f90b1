package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"ringway/internal/bench/process"
)

// speed is what the clients saw of one run.
type speed struct {
	rps, p50, p99 float64 // requests per second; milliseconds
}

// runLoad sends the requests of a scenario and waits for the end. redis-benchmark ends at the first error reply,
// with a status that says so; against a port that refuses it, it would go on for ever, so there is a deadline.
func runLoad(ctx context.Context, s scenario, port, requests int, patience time.Duration) (speed, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "redis-benchmark", s.load(port, requests)...)
	cmd.SysProcAttr = process.OurChild()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if said := complaint(stderr.String() + stdout.String()); said != "" {
		return speed{}, errors.New(said)
	}
	if ctx.Err() != nil {
		return speed{}, fmt.Errorf("no end of %d requests after %v", requests, patience)
	}
	if err != nil {
		return speed{}, fmt.Errorf("redis-benchmark: %w", err)
	}
	return parseLoad(stdout.String())
}

// complaint finds the line in redis-benchmark's output that makes a run void. It always warns about a server without
// CONFIG, which a proxy may be.
func complaint(output string) string {
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		lower := strings.ToLower(line)
		if strings.HasPrefix(line, "WARNING") || strings.HasPrefix(line, `"`) {
			continue
		}
		if strings.Contains(lower, "error") || strings.Contains(lower, "could not") || strings.Contains(lower, "closed the connection") {
			return line
		}
	}
	return ""
}

// parseLoad reads what redis-benchmark --csv prints: a row of names, then a row for the one command.
func parseLoad(output string) (speed, error) {
	var v speed
	r := csv.NewReader(strings.NewReader(output))
	r.LazyQuotes, r.FieldsPerRecord = true, -1
	rows, err := r.ReadAll()
	if err != nil {
		return v, fmt.Errorf("cannot read the output of redis-benchmark: %w", err)
	}
	for len(rows) > 0 && rows[0][0] != "test" {
		rows = rows[1:]
	}
	if len(rows) < 2 || len(rows[1]) != len(rows[0]) {
		return v, errors.New("redis-benchmark printed no row of figures (7.0 or later is needed)")
	}
	wanted := map[string]*float64{"rps": &v.rps, "p50_latency_ms": &v.p50, "p99_latency_ms": &v.p99}
	for i, name := range rows[0] {
		if place := wanted[name]; place != nil {
			if *place, err = strconv.ParseFloat(rows[1][i], 64); err != nil {
				return v, fmt.Errorf("cannot read %s of redis-benchmark: %w", name, err)
			}
			delete(wanted, name)
		}
	}
	if len(wanted) > 0 || v.rps <= 0 {
		return v, errors.New("redis-benchmark printed no rps, p50_latency_ms and p99_latency_ms (7.0 or later is needed)")
	}
	return v, nil
}
