package status

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// Event is a line of the log.
type Event struct {
	Time  time.Time `json:"time"`
	Level string    `json:"level"`
	Text  string    `json:"text"`
	About string    `json:"about,omitempty"` // name=value of what was logged with it
}

// kept is how many events are kept.
const kept = 100

// Events keeps what was logged last, of level info and above. Any goroutine may log and ask.
type Events struct {
	mu   sync.Mutex
	list [kept]Event
	n    int // all there ever were
}

// Handler returns a handler that keeps what is logged, and hands on to next what that wants.
func (e *Events) Handler(next slog.Handler) slog.Handler { return &keeper{next: next, events: e} }

// Last returns the events, the last one first.
func (e *Events) Last() []Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := []Event{}
	for i := e.n - 1; i >= max(0, e.n-kept); i-- {
		list = append(list, e.list[i%kept])
	}
	return list
}

func (e *Events) add(event Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list[e.n%kept] = event
	e.n++
}

// keeper is one logger's way to the events. about and group are what WithAttrs and WithGroup have said.
type keeper struct {
	next   slog.Handler
	events *Events
	about  []string
	group  string
}

// Enabled is part of slog.Handler.
func (k *keeper) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo || k.next.Enabled(ctx, level)
}

// Handle is part of slog.Handler.
func (k *keeper) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelInfo {
		about := slices.Clone(k.about)
		r.Attrs(func(a slog.Attr) bool {
			about = append(about, k.text(a))
			return true
		})
		k.events.add(Event{Time: r.Time, Level: strings.ToLower(r.Level.String()), Text: r.Message, About: strings.Join(about, " ")})
	}
	if k.next.Enabled(ctx, r.Level) {
		return k.next.Handle(ctx, r)
	}
	return nil
}

func (k *keeper) text(a slog.Attr) string {
	return fmt.Sprintf("%s%s=%v", k.group, a.Key, a.Value.Resolve())
}

// WithAttrs is part of slog.Handler.
func (k *keeper) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *k
	c.next, c.about = k.next.WithAttrs(attrs), slices.Clone(k.about)
	for _, a := range attrs {
		c.about = append(c.about, k.text(a))
	}
	return &c
}

// WithGroup is part of slog.Handler.
func (k *keeper) WithGroup(name string) slog.Handler {
	c := *k
	c.next, c.group = k.next.WithGroup(name), k.group+name+"."
	return &c
}
