package main

import (
	"context"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
	"ringway/proxy"
)

// TestHotDemoEvensOut has the demo's clients ask until what is to be seen is there: the node of the hot key has several times the mean, and when
// hot keys are on hardly more than the others. (Collapsing alone does not spread a key.)
func TestHotDemoEvensOut(t *testing.T) {
	for _, mode := range []string{"auto", "copies"} {
		t.Run(mode, func(t *testing.T) {
			d, err := newHotDemo(io.Discard, 8, "127.0.0.1:0", "off")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(d.fleet.Close)
			off, err := d.config("off")
			if err != nil {
				t.Fatal(err)
			}
			on, err := d.config(mode)
			if err != nil {
				t.Fatal(err)
			}
			if d.srv, err = proxy.New(off, newLogger(off.Log)); err != nil {
				t.Fatal(err)
			}
			d.srv.Start()
			ctx, end := context.WithCancel(t.Context())
			t.Cleanup(func() {
				end()
				d.clients.Wait()
				d.srv.Shutdown(time.Second)
			})
			d.startClients(ctx)

			window := func(fits func(v *view) bool) func() bool { // in a window of a thousand requests
				from := d.look()
				return func() bool {
					if d.answered.Load() < from.answered+1000 {
						return false
					}
					v := d.since(from, mode)
					from = d.look()
					t.Logf("%.0f requests/s, the fullest node has %.2f times the mean", v.rate, v.unevenness())
					return fits(&v)
				}
			}
			redistest.WaitFor(t, "the hot key's node to have three times the mean", window(func(v *view) bool { return v.unevenness() > 3 }))
			if err := d.srv.Reload(on); err != nil {
				t.Fatal(err)
			}
			redistest.WaitFor(t, "the nodes to have alike much", window(func(v *view) bool { return v.unevenness() < 1.6 }))
		})
	}
}

// TestHotDemo runs it as a whole, without a terminal: it ends by itself, and says what was seen before and after.
func TestHotDemo(t *testing.T) {
	out := mustRun(t, "demo", "--hot", "--nodes", "4", "--seconds", "2", "--mode", "copies", "--listen", "127.0.0.1:0", "--admin", "off")
	for _, want := range []string{
		`(?m)^4 nodes in this process take 500 commands a second each`,
		`(?m)^hot_keys: off +\d+ requests/s, .* each; commands/s of each node: \d+ \d+ \d+ \d+$`,
		`(?m)^hot_keys: copies +\d+ requests/s, .* each; commands/s of each node: \d+ \d+ \d+ \d+$`,
		`(?m)^hot_keys: off .* the fullest node has \d\.\d\d times the mean\nhot_keys: copies .* the fullest node has \d\.\d\d times the mean\n$`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.ContainsRune(out, '\x1b') {
		t.Error("what is no terminal is sent control characters")
	}
	for _, args := range [][]string{{"--seconds", "0"}, {"--mode", "warm"}, {"--nodes", "65"}} {
		if out, err := run(t, append([]string{"demo", "--hot", "--listen", "127.0.0.1:0", "--admin", "off"}, args...)...); err == nil {
			t.Errorf("%v: %s", args, out)
		}
	}
}

// TestHotDemoPicture: a picture takes the place of the last, line for line, and is no wider than a terminal.
func TestHotDemoPicture(t *testing.T) {
	var out strings.Builder
	d := &hotDemo{out: &out, inPlace: true}
	v := &view{mode: "collapse", loads: []float64{500, 250, 3, 0}, rate: 12345, latency: 123456 * time.Microsecond}
	d.draw(v, 12*time.Second)
	first := out.String()
	out.Reset()
	d.draw(v, 11*time.Second)
	second := out.String()
	lines := strings.Count(first, "\n")
	if lines != 5 || !strings.HasPrefix(second, "\x1b[5A") || strings.Count(second, "\n") != lines {
		t.Errorf("%q, then %q", first, second)
	}
	for line := range strings.Lines(first) {
		if n := len([]rune(strings.TrimSuffix(line, "\x1b[K\n"))); n > 80 {
			t.Errorf("%d columns: %q", n, line)
		}
	}
	if bar := strings.Repeat("█", 22) + strings.Repeat(" ", 22); !strings.Contains(first, "node-1  "+bar) || !strings.Contains(first, "500/s  can't keep up") {
		t.Error(first)
	}
}
