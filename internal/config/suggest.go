package config

import "slices"

// twemproxyWords says what an option of twemproxy is called in a proxy.yml.
var twemproxyWords = map[string]string{
	"servers":              "backends",
	"redis_auth":           "password for the backends, requirepass for the clients",
	"redis_db":             "database",
	"auto_eject_hosts":     "on_failure: eject",
	"server_failure_limit": "failure_limit",
	"server_retry_timeout": "retry_timeout",
	"client_connections":   "max_clients",
	"server_connections":   "",
	"redis":                "",
}

// unknown refuses an option, with the one that was probably meant.
func (r *reader) unknown(e entry, known []string) {
	if meant, ok := twemproxyWords[e.name]; ok && !slices.Contains(known, e.name) && slices.Contains(known, "backends") {
		if meant == "" {
			r.fail(e.key.Line, "unknown option %s: a twemproxy option without a meaning here; remove the line", quote(e.name))
		} else {
			r.fail(e.key.Line, "unknown option %s: a twemproxy option; here it is %s", quote(e.name), meant)
		}
		return
	}
	if near := nearest(e.name, known); near != "" {
		r.fail(e.key.Line, "unknown option %s (did you mean %s?)", quote(e.name), near)
		return
	}
	r.fail(e.key.Line, "unknown option %s (known: %s)", quote(e.name), join(known))
}

// nearest gives the known word that a third of the letters or less turns into s, or nothing.
func nearest(s string, known []string) string {
	if len(s) > 40 {
		return ""
	}
	best, least := "", max(1, len(s)/3)+1
	for _, k := range known {
		if d := distance(s, k); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance counts the letters to add, remove, change or swap with their neighbour.
func distance(a, b string) int {
	prev2, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], prev2[j-2]+1)
			}
		}
		prev2, prev, row = prev, row, prev2
	}
	return prev[len(b)]
}
