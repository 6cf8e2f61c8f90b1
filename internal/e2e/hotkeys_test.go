package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// gets is how many GETs a node has carried out.
func gets(t testing.TB, n *redistest.Redis) int {
	t.Helper()
	for line := range strings.Lines(redistest.Dial(t, n.Addr()).Do("INFO", "commandstats")) {
		if rest, ok := strings.CutPrefix(line, "cmdstat_get:calls="); ok {
			calls, _, _ := strings.Cut(rest, ",")
			n, err := strconv.Atoi(calls)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	return 0
}

// hotKeys is what /hotkeys says of the first pool.
func (r *router) hotKeys(t testing.TB) (keys []map[string]any) {
	t.Helper()
	resp, err := http.Get(r.admin + "/hotkeys")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Pools []struct{ Keys []map[string]any }
	}
	if err := json.Unmarshal(body, &got); err != nil || len(got.Pools) != 1 {
		t.Fatalf("%s: %v", body, err)
	}
	return got.Pools[0].Keys
}

// Many clients read one key while another writes it. The node that has it gets a small part of the reads, and no client ever sees an older value
// than one that had been acknowledged when it asked, or than it has seen before.
func TestAHotKeyThroughTheProgram(t *testing.T) {
	for _, mode := range []string{"auto", "off"} {
		t.Run(mode, func(t *testing.T) {
			nodes := servers(t, 3)
			r := serveWith(t, setup{threads: 2}, pool{nodes: addresses(nodes), options: map[string]string{"hot_keys": mode}})
			owner := owners(t, r.addr(), nodes, []string{"hot"})["hot"]
			writer := redistest.Dial(t, r.addr())
			if got := writer.Do("SET", "hot", "0"); got != "+OK\r\n" {
				t.Fatalf("SET: %q", got)
			}
			var written, acknowledged, asked atomic.Int64
			end := time.Now().Add(size(20*time.Second, 2*time.Second))
			const clients = 64
			var conns []*redistest.Conn
			for range clients {
				conns = append(conns, redistest.Dial(t, r.addr()))
			}
			before := gets(t, nodes[owner])
			eachClient(t, clients+1, func(id int) error {
				if id == clients {
					for n := int64(1); time.Now().Before(end); n++ {
						written.Store(n)
						if reply, err := writer.TryDo("SET", "hot", fmt.Sprint(n)); err != nil || reply != "+OK\r\n" {
							return fmt.Errorf("SET: %q, %v", reply, err)
						}
						acknowledged.Store(n)
						time.Sleep(200 * time.Microsecond) // the key is read more than written
					}
					return nil
				}
				for last := int64(0); time.Now().Before(end); asked.Add(1) {
					least := max(last, acknowledged.Load())
					reply, err := conns[id].TryDo("GET", "hot")
					if err != nil {
						return err
					}
					_, value, _ := strings.Cut(strings.TrimSuffix(reply, "\r\n"), "\r\n")
					n, err := strconv.ParseInt(value, 10, 64)
					if most := written.Load(); err != nil || n < least || n > most {
						return fmt.Errorf("GET: %q, want %d to %d", reply, least, most)
					}
					last = n
				}
				return nil
			})
			got := gets(t, nodes[owner]) - before
			t.Logf("%d GETs were asked for and %d writes acknowledged; the node got %d GETs", asked.Load(), acknowledged.Load(), got)
			switch {
			case mode == "auto" && int64(got) > asked.Load()/3:
				t.Errorf("of %d GETs the node got %d", asked.Load(), got)
			case mode == "off" && int64(got) != asked.Load():
				t.Errorf("of %d GETs the node got %d", asked.Load(), got)
			}
		})
	}
}

func TestHotKeysAreTold(t *testing.T) {
	nodes := servers(t, 3)
	r := serve(t, pool{nodes: addresses(nodes)})
	c := redistest.Dial(t, r.addr())
	ask := func() {
		for i := range 300 {
			c.Send("GET", "hot")
			c.Send("GET", fmt.Sprint("other:", i))
		}
		c.Flush()
		for range 600 {
			c.Recv()
		}
	}
	redistest.WaitFor(t, "HOTKEYS to tell of the key", func() bool {
		ask()
		return strings.Contains(c.Do("HOTKEYS"), redistest.Bulk("hot")) && strings.Contains(c.Do("HOTKEYS", "GET"), redistest.Bulk("near"))
	})
	ask()
	if got := c.Do("INFO", "hotkeys"); !strings.Contains(got, "\r\nhot_keys:1\r\n") || !strings.Contains(got, `key="hot"`) {
		t.Errorf("INFO hotkeys: %q", got)
	}
	keys := r.hotKeys(t)
	if len(keys) == 0 || keys[0]["key"] != "hot" || keys[0]["tier"] != "near" || keys[0]["share"].(float64) < 0.2 {
		t.Errorf("/hotkeys: %v", keys)
	}
	resp, err := http.Get(r.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{`ringway_hot_keys{pool="pool0"} 1`, `ringway_hot_key_promotions_total{pool="pool0"} 1`, `ringway_collapsed_reads_total{pool="pool0"} `} {
		if !strings.Contains(string(body), "\n"+line) {
			t.Errorf("/metrics has no %s", line)
		}
	}
}
