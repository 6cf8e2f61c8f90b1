package proxy

import (
	"fmt"
	"net"
	"testing"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

func TestOneNodeCluster(t *testing.T) {
	srv := serve(t, onPool(func(p *config.Pool) { p.ClusterMode = true }), redistest.Server(t).Addr())
	c := client(t, srv)
	_, port, _ := net.SplitHostPort(srv.Addr(0))
	id := string(text([]byte(c.Do("CLUSTER", "MYID"))))
	if len(id) != 40 {
		t.Fatalf("CLUSTER MYID: %q", id)
	}
	bulk := redistest.Bulk
	for _, x := range []struct{ name, reply string }{
		{"SLOTS", "*1\r\n*3\r\n:0\r\n:16383\r\n*4\r\n" + bulk("127.0.0.1") + ":" + port + "\r\n" + bulk(id) + "*0\r\n"},
		{"NODES", bulk(fmt.Sprintf("%s 127.0.0.1:%s@0 myself,master - 0 0 1 connected 0-16383\n", id, port))},
		{"LINKS", "*0\r\n"},
	} {
		want(t, x.name, c.Do("CLUSTER", x.name), x.reply)
	}
	want(t, "KEYSLOT", c.Do("CLUSTER", "KEYSLOT", "123456789"), ":12739\r\n")
	want(t, "KEYSLOT with a tag", c.Do("CLUSTER", "KEYSLOT", "{123456789}x"), ":12739\r\n")
	want(t, "REPLICAS", c.Do("CLUSTER", "REPLICAS", id), "*0\r\n")
	want(t, "REPLICAS of another", c.Do("CLUSTER", "REPLICAS", "abc"), "-ERR Unknown node abc\r\n")
	for _, name := range []string{"READONLY", "READWRITE", "ASKING"} {
		want(t, name, c.Do(name), "+OK\r\n")
	}
	if got := c.Do("CLUSTER", "COUNTKEYSINSLOT", "1"); got[0] != '-' {
		t.Errorf("COUNTKEYSINSLOT: %q", got)
	}
	c.Do("HELLO", "3")
	want(t, "SHARDS", c.Do("CLUSTER", "SHARDS"), "*1\r\n%2\r\n$5\r\nslots\r\n*2\r\n:0\r\n:16383\r\n$5\r\nnodes\r\n*1\r\n%7\r\n"+
		bulk("id")+bulk(id)+bulk("ip")+bulk("127.0.0.1")+bulk("endpoint")+bulk("127.0.0.1")+bulk("role")+bulk("master")+bulk("health")+bulk("online")+
		"$4\r\nport\r\n:"+port+"\r\n$18\r\nreplication-offset\r\n:0\r\n")
}

func TestClusterModeIsOffByDefault(t *testing.T) {
	c := client(t, serve(t, nil, redistest.Server(t).Addr()))
	want(t, "CLUSTER SLOTS", c.Do("CLUSTER", "SLOTS"), "-"+errClusterDisabled+"\r\n")
}
