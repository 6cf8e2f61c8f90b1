package proxy

import (
	"testing"

	"ringway/internal/command"
)

func TestMerge(t *testing.T) {
	const unfit = "-" + errMergedReply + "\r\n"
	cases := []struct {
		name   string
		merge  command.Merge
		owners []uint16 // of each key, its part
		parts  []string
		want   string
	}{
		{"elements stand at their keys' places", command.MergeArray, []uint16{0, 1, 0, 2, 1},
			[]string{"*2\r\n$1\r\na\r\n$-1\r\n", "*2\r\n$1\r\nb\r\n$1\r\ne\r\n", "*1\r\n$0\r\n\r\n"},
			"*5\r\n$1\r\na\r\n$1\r\nb\r\n$-1\r\n$0\r\n\r\n$1\r\ne\r\n"},
		{"elements of RESP3", command.MergeArray, []uint16{1, 0}, []string{"*1\r\n_\r\n", "*1\r\n%1\r\n+a\r\n*1\r\n:1\r\n"},
			"*2\r\n%1\r\n+a\r\n*1\r\n:1\r\n_\r\n"},
		{"too few elements", command.MergeArray, []uint16{0, 1, 0}, []string{"*1\r\n:1\r\n", "*1\r\n:2\r\n"}, unfit},
		{"too many elements", command.MergeArray, []uint16{0, 1}, []string{"*1\r\n:1\r\n", "*2\r\n:2\r\n:3\r\n"}, unfit},
		{"no array", command.MergeArray, []uint16{0, 1}, []string{"+OK\r\n", "*1\r\n:2\r\n"}, unfit},
		{"a null array", command.MergeArray, []uint16{0, 1}, []string{"*-1\r\n", "*1\r\n:2\r\n"}, unfit},
		{"integers are added up", command.MergeSum, []uint16{0, 1, 2}, []string{":1\r\n", ":0\r\n", ":41\r\n"}, ":42\r\n"},
		{"no integer", command.MergeSum, []uint16{0, 1}, []string{":1\r\n", "+OK\r\n"}, unfit},
		{"all OK is OK", command.MergeOK, []uint16{0, 1}, []string{"+OK\r\n", "+OK\r\n"}, "+OK\r\n"},
		{"one error is the answer, of an array", command.MergeArray, []uint16{0, 1}, []string{"*1\r\n:1\r\n", "-LOADING wait\r\n"}, "-LOADING wait\r\n"},
		{"of a sum", command.MergeSum, []uint16{0, 1}, []string{":1\r\n", "-ERR a\r\n"}, "-ERR a\r\n"},
		{"of an OK", command.MergeOK, []uint16{0, 1}, []string{"+OK\r\n", "-OOM no\r\n"}, "-OOM no\r\n"},
		{"the first of several errors", command.MergeSum, []uint16{0, 1, 2}, []string{":1\r\n", "-ERR a\r\n", "-ERR b\r\n"}, "-ERR a\r\n"},
		{"an error of RESP3", command.MergeOK, []uint16{0, 1}, []string{"+OK\r\n", "!5\r\nERR a\r\n"}, "!5\r\nERR a\r\n"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			sp := &split{merge: c.merge, owners: c.owners}
			for i, reply := range c.parts {
				p := part{reply: []byte(reply)}
				for _, o := range c.owners {
					if int(o) == i {
						p.count++
					}
				}
				sp.failed = sp.failed || reply[0] == '-' || reply[0] == '!'
				sp.parts = append(sp.parts, p)
			}
			want(t, "the merged reply", string(sp.appendMerged([]byte("before "))), "before "+c.want)
		})
	}
}
