package command

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// A real server is asked for each pattern which of the keys fit.
func TestGlobIsThatOfRedis(t *testing.T) {
	node := redistest.Server(t)
	word := func(letters string, most int) string {
		var b strings.Builder
		for range 1 + rand.IntN(most) {
			b.WriteByte(letters[rand.IntN(len(letters))])
		}
		return b.String()
	}
	keys := map[string]bool{}
	for range 300 {
		keys[word(`abAB*?[]\^-`, 5)] = true
	}
	for k := range keys {
		node.Do("SET", k, "v")
	}
	patterns := []string{"*", "a*", "*a", "a?b", "[ab]*", "[^ab]*", "[a-b]?", "[b-a]", `\*`, `a\`, "[", "[^", "[a", `[\]]`, "**a**b**", "", "*a*a*a*a*a*a*a*"}
	for range 700 {
		patterns = append(patterns, word(`abA**?[]\^-`, 7))
	}
	for _, p := range patterns {
		reply := node.Do("KEYS", p)
		for k := range keys {
			fits := strings.Contains(reply, fmt.Sprintf("$%d\r\n%s\r\n", len(k), k))
			if got := Glob([]byte(p), []byte(k)); got != fits {
				t.Errorf("%q and %q: got %v, want %v", p, k, got, fits)
			}
		}
	}
}

func TestGlobOfManyStarsEnds(t *testing.T) {
	if Glob([]byte(strings.Repeat("a*", 500)+"b"), []byte(strings.Repeat("a", 5000))) {
		t.Error("it fits")
	}
}
