package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"ringway/internal/redistest"
	"ringway/internal/status"
)

var shown = status.Status{
	Version: "1.0", Ready: true, Started: time.Now().Add(-time.Minute), Time: time.Now(),
	Pools: []status.Pool{
		{Name: "first", Verdict: status.Verdict{Level: "warn", Text: "n1 gets 80 % of the load"}, Requests: 123,
			Nodes:   []status.Node{{Name: "n0", State: status.Up, Keys: 0.5, Load: 0.2}, {Name: "n1", State: status.Down, Keys: 0.5, Load: 0.8}},
			HotKeys: []status.HotKey{{Key: "evil\x1b[2J", Node: "n1", Share: 0.6, Tier: "copies", Copies: 2}}},
		{Name: "second", Verdict: status.Verdict{Level: "ok", Text: "All is well."}},
	},
	Events: []status.Event{{Level: "warn", Text: "node down", About: "node=n1"}},
}

// What is asked of the admin address is on the screen; tab shows the next pool, and q ends it.
func TestTop(t *testing.T) {
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/status" {
			http.NotFound(w, r)
			return
		}
		writeStatus(w, &shown)
	}))
	defer admin.Close()
	in, keys := io.Pipe()
	out := &redistest.Buffer{} // what a terminal would be sent
	ended := make(chan error, 1)
	go func() {
		_, err := tea.NewProgram(topModel{asker: newAsker(admin.URL, false), width: 100, height: 40}, tea.WithInput(in), tea.WithOutput(out), tea.WithContext(context.Background())).Run()
		ended <- err
	}()
	for _, text := range []string{"first", "n1 gets 80 % of the load", "123 requests/s", "on 2 nodes", "evil?[2J", "node down"} {
		redistest.WaitFor(t, text, func() bool { return strings.Contains(out.String(), text) })
	}
	if strings.Contains(out.String(), "second") {
		t.Error("the second pool is shown")
	}
	io.WriteString(keys, "\t")
	redistest.WaitFor(t, "the second pool", func() bool { return strings.Contains(out.String(), "second") })
	io.WriteString(keys, "q")
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Without a terminal it is printed once; where there is no Ringway it is said what to do.
func TestTopOnce(t *testing.T) {
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeStatus(w, &shown) }))
	run := func() (string, error) {
		var out bytes.Buffer
		c := topCommand()
		c.SetOut(&out)
		c.SetErr(io.Discard)
		c.SetArgs([]string{"--admin", strings.TrimPrefix(admin.URL, "http://")})
		err := c.Execute()
		return out.String(), err
	}
	out, err := run()
	if err != nil || !strings.Contains(out, "first") || !strings.Contains(out, "second") || strings.Contains(out, "\x1b[2J") {
		t.Errorf("%q, %v", out, err)
	}
	admin.Close()
	if _, err := run(); err == nil || !strings.Contains(err.Error(), "is Ringway running") {
		t.Errorf("without Ringway: %v", err)
	}
}

func writeStatus(w io.Writer, s *status.Status) {
	if err := json.NewEncoder(w).Encode(s); err != nil {
		panic(err)
	}
}
