package resp

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// text returns n bytes.
func text(n int) string { return strings.Repeat("0123456789abcdef", n/16+1)[:n] }

// many returns a command with n keys.
func many(command string, n int) []string {
	args := []string{command}
	for i := range n {
		args = append(args, fmt.Sprintf("key:%012d", i))
	}
	return args
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
