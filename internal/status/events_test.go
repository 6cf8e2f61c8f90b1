package status

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// The last events are kept, whatever the log itself leaves out.
func TestEventsAreTheLastLinesOfTheLog(t *testing.T) {
	var events Events
	var out bytes.Buffer
	log := slog.New(events.Handler(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn})))
	log.Debug("no event")
	log.With("pool", "p").WithGroup("node").Warn("node down", "name", "a")
	for i := range kept + 10 {
		log.Info("event", "n", i)
	}
	list := events.Last()
	if len(list) != kept || list[0].About != fmt.Sprintf("n=%d", kept+9) || list[kept-1].About != "n=10" || list[0].Level != "info" {
		t.Errorf("%d events, from %+v to %+v", len(list), list[0], list[len(list)-1])
	}
	if text := out.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "node.name=a") {
		t.Errorf("the log: %q", text)
	}
	var first Events
	slog.New(first.Handler(slog.DiscardHandler)).With("pool", "p").WithGroup("node").Warn("node down", "name", "a")
	if got := first.Last(); len(got) != 1 || got[0].Text != "node down" || got[0].About != "pool=p node.name=a" {
		t.Errorf("%+v", got)
	}
}
