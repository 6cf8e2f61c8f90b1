package proxy

import (
	"regexp"
	"testing"
)

func TestGenPass(t *testing.T) {
	c := client(t, serve(t, nil, nodes(t, 1)...))
	before := map[string]bool{}
	for _, x := range []struct{ bits, digits string }{{"", "64"}, {"1", "1"}, {"4", "1"}, {"5", "2"}, {"128", "32"}, {"4096", "1024"}} {
		args := []string{"ACL", "GENPASS"}
		if x.bits != "" {
			args = append(args, x.bits)
		}
		got := c.Do(args...)
		if !regexp.MustCompile(`^\$` + x.digits + `\r\n[0-9a-f]+\r\n$`).MatchString(got) {
			t.Errorf("ACL GENPASS %s: %q, want %s digits", x.bits, got, x.digits)
		}
		if len(got) > 20 && before[got] {
			t.Errorf("ACL GENPASS %s gave the same twice: %q", x.bits, got)
		}
		before[got] = true
	}
}
