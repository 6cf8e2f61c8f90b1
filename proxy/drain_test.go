package proxy

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

// Clients that never pause are cut short in the middle of their pipelines. Each gets a reply to all that was carried out, and then the end of its stream,
// not a reset; nothing that it has sent after that is carried out.
func TestCutShort(t *testing.T) {
	a := redistest.NewAuthority(t)
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			node := redistest.Server(t)
			srv, _ := serveLogged(t, func(c *config.Config) {
				c.Threads = 2
				if secure {
					c.Pools[0].TLS = forClients(a.Issue(redistest.Issue{}))
				}
			}, node.Addr())
			const clients = 8
			var sent, heard [clients]atomic.Int64
			over := make(chan error, 2*clients)
			for id := range clients {
				c, err := redistest.Connect(srv.Addr(0))
				if secure {
					c, err = redistest.ConnectTLS(srv.Addr(0), a.Trust(nil))
				}
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.Close() })
				go func() { // it writes for as long as it is let
					for {
						for range 20 {
							c.Send("INCR", fmt.Sprint("n", id))
						}
						if c.TryFlush() != nil {
							over <- nil
							return
						}
						sent[id].Add(20)
					}
				}()
				go func() {
					for {
						b, err := c.TryRecv(nil)
						if err != nil {
							if err != io.EOF || len(b) > 0 {
								over <- fmt.Errorf("client %d: after %d replies %q, %w", id, heard[id].Load(), b, err)
							} else {
								over <- nil
							}
							c.Close() // its writer ends, too
							return
						}
						if want := fmt.Sprintf(":%d\r\n", heard[id].Add(1)); string(b) != want {
							over <- fmt.Errorf("client %d: %q, want %q", id, b, want)
							return
						}
					}
				}()
			}
			for id := range clients {
				redistest.WaitFor(t, "replies", func() bool { return heard[id].Load() > 100 })
			}
			if cutOff := srv.Shutdown(2 * time.Second); cutOff != 0 {
				t.Errorf("%d clients were cut off", cutOff)
			}
			for range 2 * clients {
				if err := <-over; err != nil && !errors.Is(err, syscall.EPIPE) {
					t.Error(err)
				}
			}
			unheard := int64(0)
			for id := range clients {
				if got, want := node.Do("GET", fmt.Sprint("n", id)), redistest.Bulk(fmt.Sprint(heard[id].Load())); got != want {
					t.Errorf("client %d: the node has %q, and the client was told %q", id, got, want)
				}
				unheard += sent[id].Load() - heard[id].Load()
			}
			t.Logf("of what was sent %d were never read, let alone carried out", unheard)
			if unheard == 0 {
				t.Error("nobody was cut short: the test shows nothing")
			}
		})
	}
}
