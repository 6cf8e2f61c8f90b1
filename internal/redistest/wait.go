package redistest

import (
	"testing"
	"time"
)

// Patience is how long the helpers wait for something that should happen at once.
const Patience = 20 * time.Second

// WaitFor returns when ok does, asking again and again, and ends the test if that takes longer than Patience.
// What completes the sentence "waited for ...".
func WaitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	if !poll(ok) {
		t.Fatalf("waited %v for %s", Patience, what)
	}
}

// Run has post, a loop's Post, run f and waits for it.
func Run(t testing.TB, post func(func()) bool, f func()) {
	t.Helper()
	done := make(chan struct{})
	if !post(func() { defer close(done); f() }) {
		t.Fatal("the loop has stopped")
	}
	select {
	case <-done:
	case <-time.After(Patience):
		t.Fatal("the loop hangs")
	}
}

func poll(ok func() bool) bool {
	deadline := time.Now().Add(Patience)
	for pause := time.Millisecond; !ok(); {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(pause)
		pause = min(2*pause, 50*time.Millisecond)
	}
	return true
}
