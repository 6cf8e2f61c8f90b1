package discover

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// follower is a router that does nothing with what a source tells it but to remember it.
type follower struct {
	t      testing.TB
	source Source
	cancel context.CancelFunc
	gone   chan struct{}

	mu      sync.Mutex
	updates []Update
	copies  []Update // of the updates as they were published
}

// follow runs a source until the test ends, then checks that it has kept its promises: Run returns, no update was equal to the
// one before, and none was changed afterwards.
func follow(t testing.TB, source Source) *follower {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := &follower{t: t, source: source, cancel: cancel, gone: make(chan struct{})}
	go func() {
		defer close(f.gone)
		source.Run(ctx, f.take)
	}()
	t.Cleanup(f.stop)
	return f
}

func (f *follower) take(u Update) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.updates = append(f.updates, u)
	f.copies = append(f.copies, copyOf(u))
}

func copyOf(u Update) Update {
	u.Nodes = slices.Clone(u.Nodes)
	for i := range u.Nodes {
		u.Nodes[i].Replicas = slices.Clone(u.Nodes[i].Replicas)
	}
	if u.Slots != nil {
		slots := *u.Slots
		u.Slots = &slots
	}
	return u
}

func (f *follower) stop() {
	f.cancel()
	select {
	case <-f.gone:
	case <-time.After(redistest.Patience):
		f.t.Errorf("Run has not returned %v after its ctx has ended", redistest.Patience)
		return
	}
	for i, u := range f.updates {
		if !same(u, f.copies[i]) {
			f.t.Errorf("update %d was changed after it was published", i)
		}
		if i > 0 && same(u, f.updates[i-1]) {
			f.t.Errorf("update %d is equal to the one before", i)
		}
	}
}

// last returns the last update.
func (f *follower) last() (u Update) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.updates) > 0 {
		u = f.updates[len(f.updates)-1]
	}
	return u
}

// count returns how many updates there were.
func (f *follower) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.updates)
}

// await waits for an update.
func (f *follower) await(what string, ok func(Update) bool) Update {
	f.t.Helper()
	var u Update
	deadline := time.Now().Add(redistest.Patience)
	for u = f.last(); !ok(u); u = f.last() {
		if time.Now().After(deadline) {
			f.t.Fatalf("waited %v for %s; the last update is %+v", redistest.Patience, what, u.Nodes)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return u
}

// logbook is a log that a test can read.
type logbook struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// count returns how often the log has a text.
func (l *logbook) count(text string) int { return strings.Count(l.String(), text) }

func (l *logbook) await(t testing.TB, text string) {
	t.Helper()
	redistest.WaitFor(t, "the log to have "+text, func() bool { return l.count(text) > 0 })
}

// options are quick ones with a log.
func options(t testing.TB) (Options, *logbook) {
	book := new(logbook)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%s", book)
		}
	})
	return Options{Pool: "p", Log: slog.New(slog.NewTextHandler(book, nil)), Interval: 50 * time.Millisecond}, book
}
