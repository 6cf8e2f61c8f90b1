package command

import (
	"strings"
	"testing"

	"ringway/internal/redistest"
	"ringway/resp"
)

func TestErrorsAreAServersOwn(t *testing.T) {
	long := strings.Repeat("x", 200)
	tests := [][]string{
		{"foo"}, {"foo", "a b", "ccc"}, {""}, {"", ""}, {"get|x"}, {"client|id"}, {"foo", ""}, {"FoO", "Bar"},
		{long}, {long, long}, {"foo", long}, {"foo", long[:128]}, {"foo", long[:127]}, {"foo", long[:120], "12345678"},
		{"foo", long[:60], long[:60], "abcdefgh", "z"}, {"foo", long[:62], long[:61], "x"}, {"foo", long[:124], "x", "y"},
		{"foo", long[:125], "x", "y"}, {"foo", long[:126], "x", "y"},
		{"fo\x00o", "a\x00b"}, {"foo\r\nbar", "a\r\nb"}, {"foo", "\xff\xfe'"}, {"\x00"},
		{"get"}, {"GET"}, {"get", "a", "b"}, {"SET", "a"}, {"mget"}, {"hset", "a", "b"},
		{"client"}, {"CLIENT", "foo"}, {"client", "foo", "bar"}, {"client", ""}, {"client", "a\x00b"}, {"client", "a\nb"},
		{"object", long}, {"object", "encoding"}, {"client", "id", "3"}, {"CLIENT", "ID", "3"}, {"xinfo", "stream"},
		{"config", "get"}, {"ACL", "nosuch"}, {"latency", "x"}, {"function", "x"}, {"Memory", "x"}, {"module", "x"}, {"cluster", "x"},
		{"georadius\x7fro"}, {"geor"}, {"\x47\x45\x14"}, {"g\x05t", "k"}, {"G%T", "k"},
	}
	c := redistest.Dial(t, redistest.Server(t).Addr())
	for _, args := range tests {
		cmd, sentence := Resolve(request(args...))
		if cmd != nil {
			t.Errorf("%q is taken for %s", args, cmd.Name)
			continue
		}
		got := string(resp.AppendError(nil, sentence))
		if want := c.Do(args...); got != want {
			t.Errorf("%q:\n got %q\nwant %q", args, got, want)
		}
	}
}

func TestArityIsCheckedAsAServerDoes(t *testing.T) {
	c := redistest.Dial(t, redistest.Server(t).Addr())
	c.Do("MULTI") // queues what is right, runs nothing
	for _, row := range All() {
		if row.Source != generated || row.Flags.Has(NoMulti) || row.Name == "quit" {
			continue
		}
		for n := 1; n < 8; n++ {
			args := strings.Split(row.Name, "|")
			if row.Container() || n < len(args) || row.Name == "exec" || row.Name == "discard" || row.Name == "reset" ||
				row.Name == "multi" || row.Name == "watch" {
				continue
			}
			for len(args) < n {
				args = append(args, "1")
			}
			got := c.Do(args...)
			if wrong := strings.HasPrefix(got, "-ERR wrong number of arguments"); wrong == row.CheckArity(n) {
				t.Errorf("%q: CheckArity says %v, the server %q", args, row.CheckArity(n), got)
			} else if wrong && got != "-"+WrongArity(row)+"\r\n" {
				t.Errorf("%q: got %q, want %q", args, WrongArity(row), got)
			}
		}
	}
}
