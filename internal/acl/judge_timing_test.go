package acl

import (
	"strings"
	"testing"

	"ringway/internal/command"
)

// What the judgement of a request costs: GET on the short way, MGET of ten keys, and GET by the second selector.
func BenchmarkJudge(b *testing.B) {
	for _, x := range []struct{ name, rules, request string }{
		{"all_keys", "~* +@all -@dangerous", "GET cache:user:1000"},
		{"prefix", "~session:* ~cache:* +@read +@write -@dangerous", "GET cache:user:1000"},
		{"glob", "~*:user:* +@read", "GET cache:user:1000"},
		{"selector", "~session:* +@all (~cache:* +@read)", "GET cache:user:1000"},
		{"keys=10", "~cache:* +@read", "MGET cache:0 cache:1 cache:2 cache:3 cache:4 cache:5 cache:6 cache:7 cache:8 cache:9"},
	} {
		b.Run("rules="+x.name, func(b *testing.B) {
			u := user(b, strings.Fields(x.rules)...)
			a := request(strings.Fields(x.request))
			c, _ := command.Resolve(a)
			keys := make([]int, 0, 16)
			b.ReportAllocs()
			for b.Loop() {
				if !(c.SingleKey && u.JudgePlain(c, a)) && u.Judge(c, a, &keys).Reason != Allowed {
					b.Fatal("denied")
				}
			}
		})
	}
}
